"""Requests to stop early: a signal to this process or the launcher, a time limit, a dead launcher.

A request is only remembered; the loop asks between micro-batches, saves and ends. So repeated
signals, as at the end of a SLURM job's time, do no harm.
"""

import os
import signal
import time

import psutil

from voicekiln.training.process.events import LAUNCHER, exchange

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
STOP_FILE = "stop.txt"  # in the folder shared with the launcher: why to stop


def handled_signals() -> list[signal.Signals]:
    """Signals that request a stop; under nohup without SIGHUP."""
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return [number for number in SIGNALS if not (nohup and number == signal.SIGHUP)]


class Stop:
    """Remembers the first reason to stop.

    Args:
        after_minutes: wall-clock time from now on; None for no limit.
    """

    def __init__(self, after_minutes: float | None = None):
        self._reason: str | None = None
        self._deadline = None if after_minutes is None else time.monotonic() + 60 * after_minutes
        self._after_minutes = after_minutes
        self._launcher = int(os.environ.get(LAUNCHER, "0"))
        folder = exchange()
        self._file = folder / STOP_FILE if folder else None

    def on_signals(self) -> None:
        """Make signals to this process requests to stop."""
        for number in handled_signals():
            signal.signal(number, self._signalled)

    def _signalled(self, number: int, frame) -> None:
        self.request(f"signal {signal.Signals(number).name}")

    def request(self, reason: str) -> None:
        """Request a stop; the first reason counts."""
        self._reason = self._reason or reason

    def reason(self) -> str | None:
        """Why to stop now, or None."""
        if self._reason is None and self._deadline and time.monotonic() > self._deadline:
            self.request(
                f"time limit of {self._after_minutes:g} minutes (train.stop_after_minutes)"
            )
        if self._reason is None and self._file and self._file.exists():
            self.request(self._file.read_text(encoding="utf-8"))
        if self._reason is None and self._launcher and not psutil.pid_exists(self._launcher):
            self.request("the process that started the training is gone")
        return self._reason
