"""Starts the worker, forwards signals and progress, and returns its outcome."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicekiln.store.files import read_json, write_atomic
from voicekiln.training.log.records import EXIT_ERROR, EXIT_USER_ERROR, write_status
from voicekiln.training.process.events import EXCHANGE, LAUNCHER, EventReader, outcome_of
from voicekiln.training.process.stop import SIGNALS, STOP_FILE, handled_signals
from voicekiln.training.state import checkpoints, lease

POLL_S = 0.2
SHUTDOWN_S = 300
SCRIPTS = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Outcome:
    """How the worker ended; `exit_code` is 0 only if training reached its end."""

    exit_code: int
    state: str  # finished | stopped | failed
    reason: str

    def summary_line(self, directory: Path) -> str:
        """One line for the terminal, with the update from status.json."""
        update = (read_json(directory / "status.json") or {}).get("update", 0)
        if self.state == "finished":
            return f"finished at update {update}: {self.reason}"
        if self.state == "stopped" and update:
            kept = "the state is saved; the same command continues from here"
            return f"stopped at update {update} ({self.reason}): {kept}"
        if self.state == "stopped":
            return f"stopped before the first update ({self.reason}): the same command starts again"
        more = "" if self.exit_code == EXIT_USER_ERROR else "; see the log"
        return f"failed: {self.reason}{more}"


def launch(
    settings: Path,
    directory: Path,
    processes: int,
    threads: int,
    say: Callable[[str], None],
    abandoned: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Train in `processes` worker processes and wait for them.

    The signals of `stop.handled_signals` are requests to save and end; they are forwarded.

    Args:
        settings: settings file for the worker.
        directory: of the training.
        processes: one for each GPU; 1 without a GPU.
        threads: CPU threads of each.
        say: called with each line for the terminal.
        abandoned: whether the caller's own parent is gone; then training saves and ends too.
    """
    command = [sys.executable, "-m", "voicekiln.training.process.agent", "--standalone"]
    command += ["--nproc-per-node", str(processes)]
    # By default torch's agent kills its workers 30 s after SIGTERM, saved or not. Without handlers
    # of its own it ignores what `_ignore_signals` ignores, and waits for them.
    command += ["--signals-to-handle", "SIGQUIT"]
    # If one process fails the agent ends the others; one of them may be writing a checkpoint.
    command += ["--shutdown-timeout", str(SHUTDOWN_S)]
    command += ["--module", "voicekiln.training.worker", str(settings)]
    with tempfile.TemporaryDirectory(prefix="voicekiln-") as scratch:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SCRIPTS), os.getenv("PYTHONPATH")])),
            "OMP_NUM_THREADS": str(threads),
            LAUNCHER: str(os.getpid()),
            EXCHANGE: scratch,
        }
        with _stop_file(Path(scratch, STOP_FILE)) as ask:
            process = subprocess.Popen(command, env=environment, preexec_fn=_ignore_signals)
            ends = []
            for event in _events(process, EventReader(Path(scratch))):
                kind = event.pop("event", None)
                if kind == "end":
                    ends.append(event)
                elif kind:
                    say(event["text"])
                if abandoned():
                    ask("the process that started the training is gone")
    outcome = outcome_of(ends)
    if outcome is None or (outcome["exit_code"] == 0 and process.returncode):
        when = "without reporting a reason" if outcome is None else "after training was finished"
        reason = f"the worker {_how_ended(process.returncode)} {when}; the log may have more"
        outcome = {"exit_code": EXIT_ERROR, "state": "failed", "reason": reason}
    _record_death(directory, outcome, overrides=any(end["state"] == "finished" for end in ends))
    return Outcome(**outcome)


def finished_record(directory: Path) -> dict:
    """Content of finished.json: update, epochs and the hashes of the weights."""
    folder = directory / "checkpoints"
    last, best = checkpoints.pointed(folder, "last"), checkpoints.pointed(folder, "best")
    fingerprint = read_json(directory / "fingerprint.json")
    return {
        "update": last["update"],
        "epochs": last["epoch"],
        "fingerprint": fingerprint["sha256"],
        "last": last,
        "best": best,
    }


def _events(process: subprocess.Popen, reader: EventReader) -> Iterator[dict]:
    """Events until the process ends; an empty one at each poll."""
    while process.poll() is None:
        yield from reader.new()
        yield {}
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass
    yield from reader.new()


def _how_ended(returncode: int) -> str:
    if returncode < 0:
        return f"was ended by {signal.Signals(-returncode).name}"
    return f"ended with exit code {returncode}"


def _record_death(directory: Path, outcome: dict, overrides: bool) -> None:
    """Write the final status for a worker that was killed, unless another training runs there.

    Of several processes another one may have reported the outcome, but only one writes the status.

    Args:
        directory: of the training.
        outcome: of the worker.
        overrides: whether a process of this worker may have written that training is finished.
    """
    status = read_json(directory / "status.json") or {"state": "running"}
    holder = read_json(directory / lease.FILE)
    outdated = status["state"] == "running"
    outdated |= overrides and status["state"] == "finished" and outcome["state"] == "failed"
    if outdated and (holder is None or lease.gone(holder)):
        kept = {k: status[k] for k in ("update", "last", "best", "warnings") if k in status}
        write_status(directory, **outcome, **kept)


@contextmanager
def _stop_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Inside the `with` a signal only writes its name into a file.

    The workers look for it between micro-batches. They are in sessions of their own, which signals
    to this process's group do not reach; and a signal to one that is still importing would be lost.
    """

    def ask(reason: str) -> None:
        if path.exists():
            return
        # A unique name: another signal may arrive between these lines.
        write_atomic(path, reason)

    def signalled(number: int, frame) -> None:
        ask(f"signal {signal.Signals(number).name}")

    before = {number: signal.signal(number, signalled) for number in handled_signals()}
    try:
        yield ask
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
