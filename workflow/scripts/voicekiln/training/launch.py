"""Starts the worker, hands signals on to it, passes its progress on, and tells its outcome."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicekiln.training import progress
from voicekiln.training import state as states
from voicekiln.training.status import EXIT_ERROR, read_json
from voicekiln.training.stop import EXCHANGE, LAUNCHER, OUTCOME_FILE, SIGNALS, STOP_FILE

POLL_S = 0.2
SCRIPTS = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Outcome:
    """How the worker ended; `exit_code` is 0 only when the last epoch is done."""

    exit_code: int
    state: str  # finished | stopped | failed
    reason: str


def launch(
    settings: Path,
    directory: Path,
    processes: int,
    threads: int,
    say: Callable[[str], None],
) -> Outcome:
    """Trains in `processes` worker processes and waits for them.

    SIGINT, SIGTERM and SIGUSR1 are requests to save and end; they are handed on.

    Args:
        settings: file for the worker.
        directory: of the training.
        processes: one for each GPU; 1 without.
        threads: CPU threads of each.
        say: called with each new progress line.
    """
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", str(processes)]
    # Left to itself, torch's agent kills its workers 30 s after SIGTERM, saved or not. With no
    # handler of its own it stays deaf to what `_ignore_signals` shuts out, and waits for them.
    command += ["--signals-to-handle", "SIGHUP"]
    command += ["--module", "voicekiln.training.worker", str(settings)]
    with tempfile.TemporaryDirectory(prefix="voicekiln-") as scratch:
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SCRIPTS), os.getenv("PYTHONPATH")])),
            "OMP_NUM_THREADS": str(threads),
            LAUNCHER: str(os.getpid()),
            EXCHANGE: scratch,
        }
        with _stop_file(Path(scratch, STOP_FILE)):
            process = subprocess.Popen(command, env=environment, preexec_fn=_ignore_signals)
            _wait(process, directory / progress.FILE, say)
        record = read_json(Path(scratch, OUTCOME_FILE))
    if record is None:
        code = process.returncode or EXIT_ERROR
        return Outcome(code, "failed", f"the worker ended without a word (exit code {code})")
    return Outcome(record["exit_code"], record["state"], record["reason"])


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


def _wait(process: subprocess.Popen, path: Path, say: Callable[[str], None]) -> None:
    shown = read_json(path)
    while process.poll() is None:
        record = read_json(path)
        if record and record != shown:
            shown = record
            say(record["line"])
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass


@contextmanager
def _stop_file(path: Path) -> Iterator[None]:
    """Inside the `with` a signal does nothing but write its name into a file.

    The workers look for it between batches. They are in sessions of their own, out of reach of a
    signal to this process's group; and a signal to one that is still importing would be lost.
    """

    def write(number: int, frame) -> None:
        part = path.with_suffix(".part")
        part.write_text(f"signal {signal.Signals(number).name}", encoding="utf-8")
        os.replace(part, path)

    before = {number: signal.signal(number, write) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
