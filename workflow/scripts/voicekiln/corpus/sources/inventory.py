"""Content hash, format and duration of each file of a corpus, or why it cannot be used."""

import json
import logging
import os
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from voicekiln import notices
from voicekiln.audio.probe import probe
from voicekiln.corpus.sources import sidecars
from voicekiln.corpus.sources.names import printable
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, to_json
from voicekiln.store.items import Store

log = logging.getLogger("inventory")

VERSION = 2
SETTLED_S = 2.0
RECORDING_DIGITS = 16  # 64 bits of the content's SHA-256


def look_into(path: Path) -> dict[str, Any]:
    """Content hash and header of a file.

    Raises:
        UserError: the file cannot be used.
        OSError: it cannot be read.
    """
    digest = sha256_file(path)
    what = probe(path)
    if what.n_tracks > 1:
        log.warning(
            "%s: it has %d sound tracks; number %d, the default track, is used; to use another, "
            "extract it (ffmpeg -i FILE -map 0:a:N -c copy NEW.mka, N from 0) and list "
            "that file instead",
            *(path, what.n_tracks, what.track + 1),
        )
    return {
        "content_sha256": digest,
        "container": what.container,
        "codec": what.codec,
        "source_rate_hz": what.rate_hz,
        "channels": what.channels,
        "duration_s": what.duration_s,
    }


def remembering(store: Store) -> Callable[[Path], dict[str, Any]]:
    """`look_into`, with results stored by path, size and time of change.

    The result for a file that was written a moment ago is not stored: the file may change again
    within the resolution of its time.
    """

    def look(path: Path) -> dict[str, Any]:
        stat = os.stat(path)
        name = os.path.abspath(path)
        key = store.key(path=name, bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
        found = store.get(key)
        if found is not None:
            notices.replay(found.get("warnings", ()), path, log)
        else:
            with notices.collecting(path) as warnings:
                found = look_into(path)
            found["warnings"] = warnings
            if time.time() - stat.st_mtime > SETTLED_S:
                store.put(key, found)
        return found

    return look


def examine(
    row: dict[str, Any],
    tier: str | None = None,
    look: Callable[[Path], dict[str, Any]] = look_into,
    keep: Collection[str] = (),
) -> dict[str, Any]:
    """The inventory row (`tables.RECORDINGS`) of one listed file, good or bad.

    Args:
        tier: the tier with the text, in a TextGrid or .eaf beside the recording.
        look: `look_into`, or `remembering` of it.
        keep: kinds of unspoken text that stay in a sidecar's text.
    """
    path = Path(row["root"], row["path"])
    found = {
        "recording_id": "",
        "root": str(row["source"]),
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
            raise UserError("no such file, or a broken link")
        found |= look(path)
        found["recording_id"] = found["content_sha256"][:RECORDING_DIGITS]
        texts, removed = row["reference_texts"], {}
        if row["sidecar"]:
            texts = _in_channel(
                sidecars.read(Path(row["sidecar"][0]), tier, keep, removed), row["reference_texts"]
            )
        found["reference_texts"] = None if texts is None else json.dumps(texts, ensure_ascii=False)
        found["unspoken"] = to_json(removed) if removed else None
    # other system errors (a full or lost disk) are not the recording's fault: the job fails
    except (UserError, FileNotFoundError, IsADirectoryError, PermissionError) as error:
        return refuse(found, "inventory", printable(str(error)), path)
    return found


def _in_channel(texts, listed):
    """The texts of a sidecar, in the channel that a list names for the whole recording."""
    channels = {utterance.get("channel") for utterance in listed or []}
    if texts is None or len(channels) != 1 or channels == {None}:
        return texts
    (channel,) = channels
    return [{"channel": channel} | text for text in texts]


def refuse(row: dict[str, Any], step: str, reason: str, path: Path) -> dict[str, Any]:
    """The row of a recording that cannot be used, with the step and the reason.

    Args:
        path: of the recording. Its folder is removed from the reason, so that tables stay the same
            when recordings are moved.
    """
    reason = reason.removeprefix(f"{path}: ").replace(f"{path.parent}/", "")
    return row | {"status": "bad", "step": step, "reason": reason}
