"""Interface between a rule and the library: log file, terminal, errors.

The only library module that uses Snakemake's `snakemake` object.
"""

import logging
import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

from voicekiln import notices
from voicekiln.errors import UserError
from voicekiln.store.files import no_space

log = logging.getLogger("voicekiln")
Item = TypeVar("Item")

SHELLS = {"bash", "dash", "sh"}  # Snakemake starts one to activate an environment

_terminal = None  # the terminal's descriptor, kept when 1 and 2 go to the log
_label = ""
_starters: list[int] = []


def start(smk) -> None:
    """Redirect all output of this job, including that of C code, to the rule's log file."""
    global _terminal, _label, _starters
    _starters = starters()
    _label = " ".join([smk.rule, *(str(value) for value in smk.wildcards)])
    path = Path(smk.log[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    _terminal = os.fdopen(os.dup(2), "w", buffering=1, errors="replace")
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    logging.captureWarnings(True)
    sys.excepthook = _explain
    if smk.rule != "train_run":  # its worker has its own terminal and records
        notices.start(smk.rule, [str(value) for value in smk.wildcards], say)


def _explain(kind, error, trace) -> None:
    if isinstance(error, UserError):
        print(f"Error: {error}", file=sys.stderr)
    elif full := no_space(error):
        print(f"Error: {full}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def starters() -> list[int]:
    """Process id of the parent and, if it is a shell, of its parent, and so on."""
    found = [os.getppid()]
    try:
        while psutil.Process(found[-1]).name() in SHELLS:
            found.append(psutil.Process(found[-1]).ppid())
    except psutil.Error:  # it has just ended
        pass
    return found


def abandoned() -> bool:
    """Whether the Snakemake that runs this job has ended."""
    return starters() != _starters


def say(text: str) -> None:
    """Print a line on the terminal (or on standard error outside a job)."""
    out = _terminal or sys.stderr
    try:
        out.write(f"[{_label}] {text}\n" if _label else text + "\n")
        out.flush()
    except OSError:  # the terminal was closed; the job continues
        pass


class Progress:
    """Prints progress at most every `every_s` seconds.

    The time left is estimated from the first finished item on: imports and the loading of models,
    which come before it, happen once.

    Args:
        total: number of items.
        what: their description, as in "12/40 recordings normalised".
    """

    def __init__(self, total: int, what: str, every_s: float = 10.0):
        self.total, self.what, self.every_s = total, what, every_s
        self.done = 0
        self._first = 0  # items reported by the first call
        self._started = self._last = time.monotonic()

    def __call__(self, n: int = 1) -> None:
        """Count `n` more finished items."""
        now = time.monotonic()
        self.done += n
        if not self._first:
            self._first, self._started = self.done, now
        if now - self._last < self.every_s:
            return
        self._last = now
        measured = self.done - self._first
        left = ""
        if measured:
            left_s = (now - self._started) / measured * (self.total - self.done)
            left = f", {left_s:.0f} s left"
        say(f"{self.done}/{self.total} {self.what}{left}")


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield `items` and print progress."""
    progress = Progress(total, what)
    for item in items:
        yield item
        progress()
