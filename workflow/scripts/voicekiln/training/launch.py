"""Starts the worker, hands signals on to it, passes its progress on, and tells its outcome."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from voicekiln.training import progress
from voicekiln.training import state as states
from voicekiln.training.status import EXIT_ERROR, read_json
from voicekiln.training.stop import LAUNCHER, OUTCOME, SIGNALS

POLL_S = 0.2
RESEND_S = 1.0
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
    command += ["--module", "voicekiln.training.worker", str(settings)]
    with tempfile.TemporaryDirectory(prefix="voicekiln-") as scratch:
        outcome = Path(scratch, "outcome.json")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(SCRIPTS), os.getenv("PYTHONPATH")])),
            "OMP_NUM_THREADS": str(threads),
            LAUNCHER: str(os.getpid()),
            OUTCOME: str(outcome),
            # Left to itself, torch's agent kills its workers 30 s after SIGTERM, saved or not. With
            # no handler of its own it stays ignorant of signals and waits for the workers.
            "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGHUP",
        }
        with _requests() as asked:
            process = subprocess.Popen(
                command, env=environment, start_new_session=True, preexec_fn=_ignore_signals
            )
            _wait(process, asked, directory / progress.FILE, say)
        record = read_json(outcome)
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


def _wait(
    process: subprocess.Popen, asked: list[int], path: Path, say: Callable[[str], None]
) -> None:
    sent_s, shown = 0.0, read_json(path)
    while process.poll() is None:
        # Again and again: a worker that is still importing ignores what comes too early.
        if asked and time.monotonic() - sent_s > RESEND_S:
            sent_s = time.monotonic()
            _send(process, asked[0])
        record = read_json(path)
        if record and record != shown:
            shown = record
            say(record["line"])
        try:
            process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            pass


def _send(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


@contextmanager
def _requests() -> Iterator[list[int]]:
    """Signals that came inside the `with`; they do nothing else."""
    asked: list[int] = []
    before = {s: signal.signal(s, lambda number, _: asked.append(number)) for s in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
