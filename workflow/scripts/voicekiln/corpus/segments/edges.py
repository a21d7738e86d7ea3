"""Words that a segment's edge cuts through: found by energy and word times, moved or dropped.

An edge is clean where it is quiet within 30 ms of it. Quiet and loud are relative to the recording:
the loudness of a 10 ms frame is where it lies between the noise floor around it (0) and the level
of loud speech there (1), in dB. A cut edge moves outward to the next quiet place, unless that is
further off than the rest of a word, in another segment, or makes the segment too long.

The rest of a cut word is not in the text that a recogniser made of the first part of it, so there
only the decay of a sound is added; a given text holds the whole word.
"""

import json
import logging
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from scipy import ndimage

from voicekiln.audio import vad
from voicekiln.audio.segment import SegmentSettings
from voicekiln.audio.vad import FRAMES_PER_S
from voicekiln.corpus.decisions import dropped
from voicekiln.corpus.segments.segments import Given, cut, still_forced
from voicekiln.store import tables
from voicekiln.store.items import Store

log = logging.getLogger("align")

VERSION = 2
BLOCK_S = 10  # a whole number, see vad.levels_db
TOUCH_FRAMES = 3
MAX_LOUDNESS = 0.25  # at an edge; padding that a segmenter leaves has 0.15 at most
MAX_LOUDNESS_APART = 0.5  # where the recogniser places its words elsewhere
MAX_LOUDNESS_OUTERMOST = 0.6  # where the recording itself begins or ends: clips are trimmed tightly
APART_S = 0.15
QUIET, QUIET_FRAMES = 0.2, 3
REACH_FRAMES = {"given": 50, "recognised": 15}
PAD_FRAMES = 15  # of quiet taken along
# what of a table the check needs
SEEN = ("root", "path", "recording_id", "item", "start", "end", "rate_hz", "status")
SEEN += ("text_source", "words", "forced_cut")
Row = namedtuple("Row", ("label", *SEEN))


@dataclass(frozen=True)
class Piece:
    """A segment as the check of its edges sees it.

    Attributes:
        start, end: samples, end exclusive.
        quiet_start, quiet_end: whether the recogniser says that no word is near that edge.
        given: whether its text was given, not recognised.
        checked: whether its edges are looked at; if not, it only bounds its neighbours.
    """

    start: int
    end: int
    quiet_start: bool = False
    quiet_end: bool = False
    given: bool = True
    checked: bool = True


@dataclass(frozen=True)
class Checked:
    """Where a segment is after the check; `cut` names the edge that is still inside a word."""

    start: int
    end: int
    cut: str | None = None
    loudness: float | None = None
    limit: float | None = None


def loudness(flac: Path) -> tuple[np.ndarray, int]:
    """`[n_frames]` loudness of each 10 ms frame, 0 noise floor, 1 loud speech; and the rate, Hz.

    Clicks and breath before speech are as quiet as noise.
    """
    with soundfile.SoundFile(flac) as sound:
        rate_hz = sound.samplerate
        blocks = sound.blocks(BLOCK_S * rate_hz, dtype="int16")
        levels = np.concatenate([vad.levels_db(block, rate_hz) for block in blocks])
    floor = vad.threshold_db(levels, 0.0) - vad.MIN_MARGIN_DB
    speech = np.maximum(vad.threshold_db(levels, 1.0), floor + vad.MIN_MARGIN_DB)
    loud = (levels - floor) / (speech - floor)
    spoken = np.zeros(len(loud), bool)
    for start, end in vad.with_vowels(vad.runs(loud > QUIET), levels):
        spoken[start:end] = True
    return np.where(spoken, loud, np.minimum(loud, 0)), rate_hz


def check(
    pieces: Sequence[Piece], loud: np.ndarray, rate_hz: int, n_samples: int, max_s: float
) -> list[Checked]:
    """The segments of a recording with their edges moved to quiet places.

    Args:
        pieces: sorted and disjoint.
        loud: what `loudness` says.
        max_s: no recognised segment grows beyond this; a given text has its own length.
    """
    found: list[Checked] = []
    for i, piece in enumerate(pieces):
        after = pieces[i + 1].start if i + 1 < len(pieces) else n_samples
        before = found[-1].end if found else 0
        found.append(
            _check_one(piece, loud, rate_hz, (before, after), n_samples, max_s)
            if piece.checked
            else Checked(piece.start, piece.end)
        )
    return found


def _check_one(piece, loud, rate_hz, room, n_samples, max_s) -> Checked:
    frames = [round(edge * FRAMES_PER_S / rate_hz) for edge in (piece.start, piece.end)]
    first, last = -(-room[0] * FRAMES_PER_S // rate_hz), room[1] * FRAMES_PER_S // rate_hz
    reach = REACH_FRAMES["given" if piece.given else "recognised"]
    long = 0 if piece.given else frames[1] - frames[0]
    free = max(0, round(max_s * FRAMES_PER_S) - long)
    moved = [piece.start, piece.end]
    for side, name in enumerate(("start", "end")):
        at = frames[side]
        value = _at_edge(loud, at)
        limit = _limit(at, len(loud), (piece.quiet_start, piece.quiet_end)[side])
        if value <= limit:
            continue
        # both sides alike: the start is the end of the recording played backwards
        if side:
            to = _quiet_after(loud, at, min(last, at + min(reach, free)))
        else:
            n = len(loud)
            to = _quiet_after(loud[::-1], n - at, min(n - first, n - at + min(reach, free)))
            to = None if to is None else n - to
        if to is None:
            return Checked(piece.start, piece.end, name, round(value, 3), limit)
        free -= abs(to - at)
        moved[side] = min(to * rate_hz // FRAMES_PER_S, n_samples)
    return Checked(*moved)


def _at_edge(loud, at) -> float:
    return float(loud[max(0, at - TOUCH_FRAMES) : at + TOUCH_FRAMES].min(initial=np.inf))


def _limit(at, n_frames, quiet) -> float:
    if at < TOUCH_FRAMES or at > n_frames - TOUCH_FRAMES:
        return MAX_LOUDNESS_OUTERMOST
    return MAX_LOUDNESS_APART if quiet else MAX_LOUDNESS


def _quiet_after(loud, at, end) -> int | None:
    """The first quiet place between two frames: its quietest point within `PAD_FRAMES`."""
    for start, stop in vad.runs(loud[at:end] <= QUIET):
        if stop - start >= QUIET_FRAMES:
            run = loud[at + start : at + min(stop, start + PAD_FRAMES)]
            return at + start + int(np.argmin(ndimage.uniform_filter1d(run, 3))) + 1
    return None


def mend(
    table: pd.DataFrame, settings: SegmentSettings, audio: Store, store: Store
) -> pd.DataFrame:
    """`table` (`tables.TRANSCRIBED`) with cut edges moved or their segments dropped.

    Args:
        settings: section `segment`.
        audio: the store of normalised audio.
        store: the store of step `align`.
    """
    table = table.copy()
    columns = table[list(SEEN)].sort_values(["root", "path", "start"], kind="stable")
    ordered = [columns.index.tolist(), *(columns[name].tolist() for name in SEEN)]
    whole = map(Row._make, zip(*ordered, strict=True))
    n_items = computed = moved = n_dropped = 0
    for _, recording in groupby(whole, lambda row: (row.root, row.path)):
        rows = list(recording)
        pieces = [_piece(row) for row in rows]
        if not any(piece.checked for piece in pieces):
            continue
        item = rows[0].item
        key = store.key(item=item, pieces=[list(vars(piece).values()) for piece in pieces])
        record = store.get(key)
        n_items += 1
        if record is None:
            computed += 1
            record = _record(pieces, item, settings, audio)
            store.put(key, record)
        for row, values in zip(rows, record["changes"], strict=True):
            if "start" in values:
                moved += 1
                name = f"{row.recording_id}_{values['start']}_{values['end']}"
                forced = still_forced(row.forced_cut, (row.start, row.end), values)
                values = values | {"segment_id": name, "forced_cut": forced}
            n_dropped += "status" in values
            for column, value in values.items():
                table.at[row.label, column] = value
    log.info(
        "%d recordings, %d items computed; edges of %d segments moved, %d segments dropped",
        n_items,
        computed,
        moved,
        n_dropped,
    )
    return table


def _piece(row: Row) -> Piece:
    words = None if tables.missing(row.words) else json.loads(row.words)
    seconds = (row.end - row.start) / row.rate_hz
    return Piece(
        int(row.start),
        int(row.end),
        bool(words and words[0][1] >= APART_S),
        bool(words and seconds - words[-1][2] >= APART_S),
        not tables.missing(row.text_source) and row.text_source == "known",
        row.status == "keep",
    )


def _record(pieces, item, settings, audio) -> dict:
    """What changes for each segment of a recording: columns and values, or nothing."""
    known = audio.require(item)
    try:
        loud, rate_hz = loudness(audio.path(item, ".flac"))
        n_samples = soundfile.info(audio.path(item, ".flac")).frames
    except (soundfile.LibsndfileError, OSError) as error:
        audio.report(item, f"cannot be read ({error})")
    checked = check(pieces, loud, rate_hz, n_samples, settings.max_s)
    moved = [
        [new.start, new.end]
        for piece, new in zip(pieces, checked, strict=True)
        if (new.start, new.end) != (piece.start, piece.end)
    ]
    measured = {}
    if moved:
        record = cut(audio, item, Given(moved, []), known["clipped"], settings)
        measured = {(s["start"], s["end"]): s for s in record["segments"]}
    return {"changes": [_change(new, measured) for new in checked]}


def _change(new: Checked, measured: dict) -> dict:
    if new.cut is None:
        return measured.get((new.start, new.end), {})
    return dropped("align", f"word cut at {new.cut}", new.loudness, new.limit)
