"""Events from the worker to the launcher, one append-only file in the folder that they share.

    {"event": "log", "text"}                            a line for the terminal
    {"event": "progress", "text"}                       the progress line, about once a second
    {"event": "end", "exit_code", "state", "reason"}    how a process ended

Each event is one write with O_APPEND, so events of several processes have one order. Of several
`end` events the first failure counts, because the process that fails first knows why; without a
failure, the first stop; otherwise the first event.
"""

import contextlib
import json
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Environment variables by which a launcher names its process id (a worker stops if it is gone) and
# the folder for events and the request to stop.
LAUNCHER, EXCHANGE = "VOICEKILN_LAUNCHER", "VOICEKILN_EXCHANGE"
FILE = "events.jsonl"
# `log.info(..., extra=ON_TERMINAL)` also goes to the terminal; a warning with LOG_ONLY does not
ON_TERMINAL, LOG_ONLY = {"on_terminal": True}, {"on_terminal": False}


def exchange() -> Path | None:
    """The folder shared with the launcher; None if the worker has no launcher."""
    folder = os.environ.get(EXCHANGE)
    return Path(folder) if folder else None


class EventWriter:
    """Appends events; does nothing without a launcher."""

    def __init__(self):
        folder, self._file = exchange(), None
        if folder:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            self._file = os.open(folder / FILE, flags, 0o600)

    def write(self, event: str, **values: Any) -> None:
        """Append one event."""
        if self._file is not None:
            line = json.dumps({"event": event} | values, ensure_ascii=False) + "\n"
            with contextlib.suppress(OSError):  # a full disk must not end the training
                os.write(self._file, line.encode(errors="replace"))


class EventHandler(logging.Handler):
    """Logging handler that forwards warnings, and lines marked ON_TERMINAL, as `log` events."""

    def __init__(self):
        super().__init__(logging.INFO)
        self._events = EventWriter()

    def emit(self, record: logging.LogRecord) -> None:
        """Forward one record."""
        if getattr(record, "on_terminal", record.levelno == logging.WARNING):
            sign = "warning: " if record.levelno == logging.WARNING else ""
            self._events.write("log", text=sign + record.getMessage())


class EventReader:
    """Reads events while they are appended.

    Args:
        folder: shared with the worker.
    """

    def __init__(self, folder: Path):
        self._path, self._offset = folder / FILE, 0

    def new(self) -> list[dict]:
        """Events that were completed since the last call."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._offset += len(whole) + len(newline)
        events = []
        for line in whole.splitlines():
            with contextlib.suppress(ValueError):  # cut short by a full disk
                events.append(json.loads(line))
        return events


def outcome_of(ends: Iterable[dict]) -> dict | None:
    """The decisive one of several processes' outcomes, in the order of their ends; None if none."""
    order = {"failed": 0, "stopped": 1}
    return min(
        ends, key=lambda end: order.get(end["state"], 2), default=None
    )  # the first of equals


def reported_end(folder: Path) -> dict | None:
    """The decisive outcome reported so far (`exit_code`, `state`, `reason`), or None."""
    events = EventReader(folder).new()
    return outcome_of(event for event in events if event.pop("event") == "end")
