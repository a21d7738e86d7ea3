"""What training leaves to be read while it runs and when it has ended.

status.json    how training stands or ended, and why
progress.json  the progress line and the numbers in it, renewed about once a second
metrics.jsonl  one object per logged update and per validation; grows, and is cut back on resume
"""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from voicekiln.store.files import atomic

# What the worker's exit code says. 75 is EX_TEMPFAIL of sysexits.h: come back later.
EXIT_FINISHED, EXIT_ERROR, EXIT_USER_ERROR, EXIT_STOPPED = 0, 1, 2, 75


def write_json(path: Path, content: Any) -> None:
    """Writes a small record so that a reader, or a power cut, finds the old or the new one."""
    with atomic(path, sync=True) as temporary:
        temporary.write_text(
            json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n",
            encoding="utf-8",
        )


def read_json(path: Path) -> dict | None:
    """A record, or None where there is none or it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_status(directory: Path, state: str, reason: str, **more: Any) -> None:
    """Writes status.json.

    Args:
        directory: of the training.
        state: running | finished | stopped | failed.
        reason: one sentence.
        more: update, epoch, exit_code, warnings, ...
    """
    record = {"state": state, "reason": reason, "time": round(time.time(), 1)} | more
    record |= {"host": socket.gethostname(), "pid": os.getpid()}
    write_json(directory / "status.json", record)


def read_warnings(directory: Path, update: int | None = None) -> list[dict]:
    """Warnings of the run, `{"update", "message"}` each, up to an update if one is given."""
    said = (read_json(directory / "status.json") or {}).get("warnings", [])
    return [one for one in said if update is None or one["update"] <= update]


class Metrics:
    """The growing file metrics.jsonl."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, kind: str, **values: Any) -> None:
        """Appends one object; `kind` is train, validation, earlier or learning_rate."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind} | values) + "\n")

    def read(self) -> list[dict]:
        """All whole lines; the last may be a torn one after a kill."""
        if not self.path.exists():
            return []
        rows = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def cut_back(self, update: int, validated: int | None) -> None:
        """Drops what was logged after the state that training goes on from.

        Args:
            update: of that state.
            validated: update of its last validation.
        """
        other = -1 if validated is None else validated
        kept = [
            row
            for row in self.read()
            if row["update"] <= (update if row["kind"] == "train" else other)
        ]
        with atomic(self.path, sync=True) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
