"""Requests to stop early: signals, here or at the launcher; a time limit; a launcher that is gone.

A request is only remembered; the loop asks between batches, saves and ends. So it does no harm that
a signal comes two or three times, as it does at the end of a SLURM job's time.
"""

import os
import signal
import time
from pathlib import Path

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
# The environment in which a launcher tells the worker its process id (without its launcher a worker
# would train on unseen), and a folder for what they have to say to each other: why to stop, what is
# for the terminal, and how it ended (exit_code, state, reason).
LAUNCHER, EXCHANGE = "VOICEKILN_LAUNCHER", "VOICEKILN_EXCHANGE"
STOP_FILE, OUTCOME_FILE = "stop.txt", "outcome.json"


def heard() -> list[signal.Signals]:
    """Signals to listen to; a hang-up is none of them under nohup."""
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (nohup and number == signal.SIGHUP)]


class Stop:
    """Remembers the first reason to stop.

    Args:
        after_minutes: of wall-clock time from now on; None for no limit.
    """

    def __init__(self, after_minutes: float | None = None):
        self._reason: str | None = None
        self._deadline = None if after_minutes is None else time.monotonic() + 60 * after_minutes
        self._after_minutes = after_minutes
        self._launcher = int(os.environ.get(LAUNCHER, "0"))
        self._file = Path(os.environ[EXCHANGE], STOP_FILE) if EXCHANGE in os.environ else None

    def on_signals(self) -> None:
        """From now on a signal is a request to stop."""
        for number in heard():
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame) -> None:
        self.request(f"signal {signal.Signals(number).name}")

    def request(self, reason: str) -> None:
        """Asks for a stop; the first reason counts."""
        self._reason = self._reason or reason

    def reason(self) -> str | None:
        """Why to stop now, or None."""
        if self._reason is None and self._deadline and time.monotonic() > self._deadline:
            self.request(
                f"time limit of {self._after_minutes:g} minutes (train.stop_after_minutes)"
            )
        if self._reason is None and self._file and self._file.exists():
            self.request(self._file.read_text(encoding="utf-8"))
        if self._reason is None and self._launcher and not _alive(self._launcher):
            self.request("the process that started the training is gone")
        return self._reason


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
