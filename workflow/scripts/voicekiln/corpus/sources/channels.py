"""A recording for each channel of a file whose channels are different people.

What tells such a recording from the file is in three places, and only here: `path` ends in `#` and
the channel, `recording_id` in `-ch` and the channel, and the column `channel` has it as a number,
counted from 0. Everything else treats it as a recording of its own.
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
    """Id of one channel of the file with `file_id`; of the file itself without a channel."""
    return file_id if channel is None else f"{file_id}-ch{channel}"


def parts(recording: str) -> tuple[str, int | None]:
    """Id of the file and channel of a `recording_id`."""
    match = re.search(OF_CHANNEL, recording)
    return (recording[: match.start()], int(match[0][3:])) if match else (recording, None)


def file_ids(recordings: pd.Series) -> pd.Series:
    """The ids of the files that recordings are in: channels of a file hear each other."""
    return recordings.astype(str).str.replace(OF_CHANNEL, "", regex=True)


def file_path(path: str, channel: int | None) -> str:
    """The path of the file that a recording is in."""
    return path if channel is None else path.removesuffix(f"#{channel}")


def split(found: dict[str, Any], listed: Mapping[str, Any], mode: str) -> list[dict[str, Any]]:
    """The recordings (`tables.RECORDINGS`) in one file, good or bad.

    Args:
        found: the file's row of the inventory.
        listed: its row of the listing; `named` tells whether a list names the speaker.
        mode: `corpora.<corpus>.channels`. A list that names channels asks for `separate`.
    """
    if found["status"] != "ok":
        return [found]
    known = json.loads(found["reference_texts"]) if found.get("reference_texts") else []
    by_list = any(entry.get("channel") is not None for entry in known)
    if mode == "mix" and not by_list:
        return [found]
    channels = _wanted(mode, by_list, known, found["channels"])
    if found["channels"] == 1 and channels in ([0], [1]) and (not by_list or channels == [0]):
        own = [entry for entry in known if entry.get("channel") in (None, 0)]
        return [found | {"reference_texts": _json(own)}]  # of one channel it is the whole
    if mode not in SIDES and (orphans := [e for e in known if e.get("channel") is None]):
        return [_refused(found, _without_channel(orphans))]
    rows = []
    for channel in channels:
        own = [e for e in known if e.get("channel") in (None, channel)]
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
    if unused := sum(e.get("channel") not in (None, *channels) for e in known):
        log.warning(
            "%s: %d texts of other channels are not used, because channels is %s; set it to "
            "separate to use them",
            *(found["path"], unused, mode),
        )
    return rows


def _wanted(mode, by_list, known, n_channels):
    if mode in SIDES:
        return [SIDES[mode]]
    if by_list and mode == "mix":
        return sorted({e["channel"] for e in known if e.get("channel") is not None})
    named = [entry["channel"] + 1 for entry in known if entry.get("channel") is not None]
    return list(range(max([n_channels, *named])))


def _json(entries):
    """The texts of one channel as a table has them; null where there is nothing to know."""
    own = [
        {key: value for key, value in entry.items() if key != "channel"}
        for entry in entries
        if entry["text"] or entry["start_s"] is not None
    ]
    return json.dumps(own, ensure_ascii=False) if own else None


def _speaker(found, own, listed, channel, mode):
    """Who speaks in a channel: as a list says, or the file's name for it with the side."""
    said = next((entry["speaker"] for entry in own if entry.get("speaker")), None)
    if said:
        return said
    if mode in SIDES or (listed.get("named") and any("channel" in entry for entry in own)):
        return found["speaker"]
    sides = list(SIDES) if found["channels"] == 2 else []
    side = sides[channel] if channel < len(sides) else channel + 1
    return f"{found['speaker']}_{side}"


def _refused(row, reason):
    return row | {"status": "bad", "step": "inventory", "reason": reason}


def _not_there(channel, n_channels):
    there = "one channel" if n_channels == 1 else f"{n_channels} channels"
    return f"channel {channel}, counted from 0, is wanted, and the file has {there}"


def _without_channel(orphans):
    return (
        f"{len(orphans)} of its texts do not say in which channel they are spoken; add a column "
        "channel (counted from 0) to the list, or set channels to mix, left or right"
    )
