"""Records of a training for other programs, during it and afterwards.

status.json    current or final state, and the reason
progress.json  the progress line and its numbers, updated about once a second
metrics.jsonl  one object per logged line and per validation; truncated to the checkpoint on resume
"""

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

from voicekiln.store import files
from voicekiln.store.files import read_json

# Exit codes of the worker; 75 is EX_TEMPFAIL of sysexits.h: try again later.
EXIT_FINISHED, EXIT_ERROR, EXIT_USER_ERROR, EXIT_STOPPED = 0, 1, 2, 75


def write_json(path: Path, content: Any) -> None:
    """Write a small record atomically and synced: a power cut leaves the old or the new one."""
    files.write_json(path, content, sort_keys=True, sync=True)


def write_status(directory: Path, state: str, reason: str, **more: Any) -> None:
    """Write status.json.

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
    warnings = (read_json(directory / "status.json") or {}).get("warnings", [])
    return [one for one in warnings if update is None or one["update"] <= update]


class Metrics:
    """The growing file metrics.jsonl."""

    def __init__(self, path: Path):
        self.path = path

    def write(self, kind: str, **values: Any) -> None:
        """Append one object; `kind` is train, validation, voices, earlier or learning_rate."""
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": kind} | values) + "\n")

    def read(self) -> list[dict]:
        """All complete lines; after a kill the last one may be incomplete."""
        return files.read_jsonl(self.path)

    def cut_back(self, update: int, validated: int | None) -> None:
        """Drop lines logged after the state that training continues from.

        Args:
            update: update of that state.
            validated: update of its last validation.
        """
        other = -1 if validated is None else validated
        kept = [
            row
            for row in self.read()
            if row["update"] <= (update if row["kind"] == "train" else other)
        ]
        with files.atomic(self.path, sync=True) as part:
            part.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
