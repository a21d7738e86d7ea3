"""What each file of a corpus is: content hash, format, duration; or why it cannot be used."""

import json
import os
from pathlib import Path
from typing import Any

from voicekiln.audio.probe import probe
from voicekiln.corpus import sidecars
from voicekiln.corpus.listing import printable
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file

RECORDING_DIGITS = 16  # 64 bits of the content's SHA-256


def examine(row: dict[str, Any], tier: str | None = None) -> dict[str, Any]:
    """The inventory row (`tables.RECORDINGS`) of one listed file, good or bad.

    Args:
        tier: which tier of a TextGrid beside it holds the text.
    """
    path = Path(row["root"], row["path"])
    found = {
        "recording_id": "",
        "root": row["root"],
        "path": printable(row["path"]),
        "bytes": row["bytes"],
        "speaker": row["speaker"],
        "language": row["language"],
        "status": "ok",
    }
    try:
        if row["fault"]:
            raise UserError(row["fault"])
        if found["path"] != row["path"]:
            raise UserError("its name is not UTF-8; rename the file")
        if not os.path.isfile(path):
            raise UserError("there is no such file (or a link that leads nowhere)")
        digest = sha256_file(path)
        found |= {"content_sha256": digest, "recording_id": digest[:RECORDING_DIGITS]}
        what = probe(path)
        known = sidecars.read(Path(row["sidecar"][0]), tier) if row["sidecar"] else row["known"]
        found["known"] = None if known is None else json.dumps(known, ensure_ascii=False)
    # other errors of the system (a full or lost disk) are no fault of the recording: the job fails
    except (UserError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        return refuse(found, "inventory", printable(str(error)))
    return found | {
        "container": what.container,
        "codec": what.codec,
        "source_rate_hz": what.rate_hz,
        "channels": what.channels,
        "duration_s": what.duration_s,
    }


def refuse(row: dict[str, Any], step: str, reason: str) -> dict[str, Any]:
    """The row of a recording that cannot be used, with the step and the reason."""
    path = os.path.join(row["root"], row["path"])
    reason = reason.removeprefix(f"{path}: ")
    return row | {"status": "bad", "step": step, "reason": reason}
