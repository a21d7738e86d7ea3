"""Starts the worker, hands signals on to it, passes its progress on, and tells its outcome."""

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicekiln.training.log import progress
from voicekiln.training.log.records import EXIT_ERROR, EXIT_USER_ERROR, read_json, write_status
from voicekiln.training.process import terminal
from voicekiln.training.process.stop import (
    EXCHANGE,
    LAUNCHER,
    OUTCOME_FILE,
    SIGNALS,
    STOP_FILE,
    heard,
)
from voicekiln.training.state import checkpoints as states
from voicekiln.training.state import lease

POLL_S = 0.2
SHUTDOWN_S = 300
SCRIPTS = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Outcome:
    """How the worker ended; `exit_code` is 0 only when the last epoch is done."""

    exit_code: int
    state: str  # finished | stopped | failed
    reason: str

    def summary_line(self, directory: Path) -> str:
        """What a person at the terminal has to know, by status.json of the training."""
        update = (read_json(directory / "status.json") or {}).get("update", 0)
        if self.state == "finished":
            return f"finished at update {update}: {self.reason}"
        if self.state == "stopped" and update:
            kept = "everything is saved, the same command goes on from here"
            return f"stopped at update {update} ({self.reason}); {kept}"
        if self.state == "stopped":
            return f"stopped before the first update ({self.reason}); the same command begins again"
        more = "" if self.exit_code == EXIT_USER_ERROR else "; the log has more"
        return f"failed: {self.reason}{more}"


def launch(
    settings: Path,
    directory: Path,
    processes: int,
    threads: int,
    say: Callable[[str], None],
    abandoned: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Trains in `processes` worker processes and waits for them.

    The signals of `stop.heard` are requests to save and end; they are handed on.

    Args:
        settings: file for the worker.
        directory: of the training.
        processes: one for each GPU; 1 without.
        threads: CPU threads of each.
        say: called with each new progress line, and with what else is for the terminal.
        abandoned: whether nobody waits for the outcome any more; then it is to save and end too.
    """
    command = [sys.executable, "-m", "voicekiln.training.process.agent", "--standalone"]
    command += ["--nproc-per-node", str(processes)]
    # Left to itself, torch's agent kills its workers 30 s after SIGTERM, saved or not. With no
    # handler of its own it stays deaf to what `_ignore_signals` shuts out, and waits for them.
    command += ["--signals-to-handle", "SIGQUIT"]
    # When one process fails the agent ends the others; one of them may have a checkpoint to write.
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
            for lines in _lines(process, directory / progress.FILE, Path(scratch, terminal.FILE)):
                for line in lines:
                    say(line)
                if abandoned():
                    ask("the process that started the training is gone")
        record = read_json(Path(scratch, OUTCOME_FILE))
    if record is None:
        code = process.returncode if process.returncode > 0 else EXIT_ERROR
        reason = (
            "the worker ended without a word, as when the system kills it for lack of memory;"
            " the log may have more"
        )
        record = {"exit_code": code, "state": "failed", "reason": reason}
    _record_death(directory, record)
    return Outcome(**record)


def finished_record(directory: Path) -> dict:
    """What a finished training has to show: update, epochs and the hashes of its weights."""
    folder = directory / "checkpoints"
    last, best = states.pointed(folder, "last"), states.pointed(folder, "best")
    fingerprint = read_json(directory / "fingerprint.json")
    return {
        "update": last["update"],
        "epochs": last["epoch"],
        "fingerprint": fingerprint["sha256"],
        "last": last,
        "best": best,
    }


def _lines(process: subprocess.Popen, path: Path, said: Path) -> Iterator[list[str]]:
    """Looks again and again until the process ends: what was said, and a new progress line."""
    lines, shown = terminal.Lines(said), read_json(path)
    while process.poll() is None:
        record = read_json(path)
        yield lines.new() + ([record["line"]] if record and record != shown else [])
        shown = record
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass
    yield lines.new()


def _record_death(directory: Path, outcome: dict) -> None:
    """Says in status.json what a killed worker could not, unless the training is another's by now.

    Of several processes another one may have told the outcome, but one alone writes the status.
    """
    said = read_json(directory / "status.json") or {"state": "running"}
    holder = read_json(directory / lease.FILE)
    if said["state"] == "running" and (holder is None or lease.gone(holder)):
        kept = {k: said[k] for k in ("update", "last", "best", "warnings") if k in said}
        write_status(directory, **outcome, **kept)


@contextmanager
def _stop_file(path: Path) -> Iterator[Callable[[str], None]]:
    """Inside the `with` a signal does nothing but write its name into a file.

    The workers look for it between batches. They are in sessions of their own, out of reach of a
    signal to this process's group; and a signal to one that is still importing would be lost.
    """

    def ask(reason: str) -> None:
        if path.exists():
            return
        # A name of its own: another signal may come between these lines.
        part = path.with_name(secrets.token_hex(4))
        part.write_text(reason, encoding="utf-8")
        os.replace(part, path)

    def signalled(number: int, frame) -> None:
        ask(f"signal {signal.Signals(number).name}")

    before = {number: signal.signal(number, signalled) for number in heard()}
    try:
        yield ask
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
