"""What the worker's log has for the terminal: warnings, and lines that are marked for it."""

import logging
import os
from pathlib import Path

FILE = "terminal.txt"  # in the EXCHANGE folder
# `log.info(..., extra=SHOWN)` goes to the terminal too; a warning with `extra=HIDDEN` does not
SHOWN, HIDDEN = {"shown": True}, {"shown": False}


class ToTerminal(logging.Handler):
    """Hands such lines to the launcher, which says them.

    Args:
        folder: of what worker and launcher have to say to each other.
    """

    def __init__(self, folder: Path):
        super().__init__(logging.INFO)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(folder / FILE, flags, 0o600)

    def emit(self, record: logging.LogRecord) -> None:
        """Appends a line at one go."""
        if getattr(record, "shown", record.levelno == logging.WARNING):
            sign = "warning: " if record.levelno == logging.WARNING else ""
            os.write(self._file, f"{sign}{record.getMessage()}\n".encode())


class Lines:
    """Reads a file that grows.

    Args:
        path: need not be there yet.
    """

    def __init__(self, path: Path):
        self._path, self._at = path, 0

    def new(self) -> list[str]:
        """Whole lines that were added since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._at)
                whole, _, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        if not whole:
            return []
        self._at += len(whole) + 1
        return whole.decode().split("\n")
