"""One recording per channel, for files whose channels are different people.

Such a recording differs from its file in three columns, which only this module knows: `path` ends
in `#` and the channel, `recording_id` in `-ch` and the channel, and `channel` is its number,
counted from 0. Everything else treats it as an ordinary recording.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

log = logging.getLogger("inventory")

SIDES = {"left": 0, "right": 1}
OF_CHANNEL = r"-ch\d+$"


def recording_id(file_id: str, channel: int | None) -> str:
    """Id of one channel of a file, or of the file itself if the channel is None."""
    return file_id if channel is None else f"{file_id}-ch{channel}"


def parts(recording: str) -> tuple[str, int | None]:
    """Id of the file and channel of a `recording_id`."""
    match = re.search(OF_CHANNEL, recording)
    return (recording[: match.start()], int(match[0][3:])) if match else (recording, None)


def file_ids(recordings: pd.Series) -> pd.Series:
    """Ids of the files that recordings are in; channels of a file contain each other's sound."""
    return recordings.astype(str).str.replace(OF_CHANNEL, "", regex=True)


def file_path(path: str, channel: int | None) -> str:
    """Path of the file that a recording is in."""
    return path if channel is None else path.removesuffix(f"#{channel}")


def split(found: dict[str, Any], listed: Mapping[str, Any], mode: str) -> list[dict[str, Any]]:
    """The recordings (`tables.RECORDINGS`) in one file, good or bad.

    Args:
        found: the file's row of the inventory.
        listed: its row of the listing; `named` is whether a list names the speaker.
        mode: `corpora.<corpus>.channels`. A list that names channels implies `separate`.
    """
    if found["status"] != "ok":
        return [found]
    texts = json.loads(found["reference_texts"]) if found.get("reference_texts") else []
    by_list = any(entry.get("channel") is not None for entry in texts)
    if mode == "mix" and not by_list:
        return [found]
    channels = _wanted(mode, by_list, texts, found["channels"])
    if found["channels"] == 1 and channels in ([0], [1]) and (not by_list or channels == [0]):
        own = [entry for entry in texts if entry.get("channel") in (None, 0)]
        return [found | {"reference_texts": _json(own)}]  # of one channel it is the whole
    if mode not in SIDES and (orphans := [e for e in texts if e.get("channel") is None]):
        return [_refused(found, _without_channel(orphans))]
    rows = []
    for channel in channels:
        own = [e for e in texts if e.get("channel") in (None, channel)]
        row = found | {
            "path": f"{found['path']}#{channel}",
            "channel": channel,
            "recording_id": recording_id(found["recording_id"], channel),
            "reference_texts": _json(own),
            "speaker": _speaker(found, own, listed, channel, mode),
        }
        if channel >= found["channels"]:
            row = _refused(row, _not_there(channel, found["channels"]))
        rows.append(row)
    if unused := sum(e.get("channel") not in (None, *channels) for e in texts):
        log.warning(
            "%s: %d texts of other channels are not used, because channels is %s; set it to "
            "separate to use them",
            *(found["path"], unused, mode),
        )
    return rows


def _wanted(mode, by_list, texts, n_channels):
    if mode in SIDES:
        return [SIDES[mode]]
    if by_list and mode == "mix":
        return sorted({e["channel"] for e in texts if e.get("channel") is not None})
    named = [entry["channel"] + 1 for entry in texts if entry.get("channel") is not None]
    return list(range(max([n_channels, *named])))


def _json(entries):
    """The texts of one channel as a table stores them; null if there are none."""
    own = [
        {key: value for key, value in entry.items() if key != "channel"}
        for entry in entries
        if entry["text"] or entry["start_s"] is not None
    ]
    return json.dumps(own, ensure_ascii=False) if own else None


def _speaker(found, own, listed, channel, mode):
    """The speaker of a channel: the one that a list names, or the file's with the side added."""
    listed_name = next((entry["speaker"] for entry in own if entry.get("speaker")), None)
    if listed_name:
        return listed_name
    if mode in SIDES or (listed.get("named") and any("channel" in entry for entry in own)):
        return found["speaker"]
    sides = list(SIDES) if found["channels"] == 2 else []
    side = sides[channel] if channel < len(sides) else channel + 1
    return f"{found['speaker']}_{side}"


def _refused(row, reason):
    return row | {"status": "bad", "step": "inventory", "reason": reason}


def _not_there(channel, n_channels):
    there = "one channel" if n_channels == 1 else f"{n_channels} channels"
    return f"expected channel {channel} (counted from 0), but the file has {there}"


def _without_channel(orphans):
    return (
        f"{len(orphans)} of its texts have no channel; add a column `channel` (counted from 0) to "
        "the list, or set channels to mix, left or right"
    )
