"""Segment edges that cut words, found by energy and word times: moved, or the segment dropped.

An edge is clean if it is quiet within 30 ms of it. Loudness is relative to the recording: for a
10 ms frame it is its place between the local noise floor (0) and the local level of loud speech
(1), in dB. A cut edge moves outward to the next quiet place, unless that is further away than the
rest of a word, in another segment, or makes the segment too long.

A hypothesis lacks the rest of a cut word, so only the decay of a sound is added to its segment; a
reference text contains the whole word.
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
from voicekiln.corpus.segments.segments import ReferenceSpans, cut, still_forced
from voicekiln.store import tables
from voicekiln.store.items import Store

log = logging.getLogger("align")

VERSION = 2
BLOCK_S = 10  # a whole number, see vad.levels_db
TOUCH_FRAMES = 3
MAX_LOUDNESS = 0.25  # at an edge; the padding of a segmenter has at most 0.15
MAX_LOUDNESS_APART = 0.5  # if no word time is near the edge
MAX_LOUDNESS_OUTERMOST = 0.6  # at the ends of the recording, because clips are trimmed tightly
APART_S = 0.15
QUIET, QUIET_FRAMES = 0.2, 3
REACH_FRAMES = {"reference": 50, "hypothesis": 15}
PAD_FRAMES = 15  # of quiet that are added
# columns that the check needs
SEEN = ("root", "path", "recording_id", "item", "start", "end", "rate_hz", "status")
SEEN += ("text_source", "words", "forced_cut")
Row = namedtuple("Row", ("label", *SEEN))


@dataclass(frozen=True)
class Segment:
    """A segment before the check.

    Attributes:
        start, end: samples, end exclusive.
        quiet_start, quiet_end: whether no word time is near that edge.
        reference: whether its text is a reference text, not a hypothesis.
        checked: whether its edges are checked; if not, it only bounds its neighbours.
    """

    start: int
    end: int
    quiet_start: bool = False
    quiet_end: bool = False
    reference: bool = True
    checked: bool = True


@dataclass(frozen=True)
class Checked:
    """A segment after the check; `cut` names the edge that is still inside a word."""

    start: int
    end: int
    cut: str | None = None
    loudness: float | None = None
    limit: float | None = None


def loudness(flac: Path) -> tuple[np.ndarray, int]:
    """`[n_frames]` loudness of each 10 ms frame, 0 noise floor, 1 loud speech; and the rate, Hz.

    Clicks and breath before speech count as noise.
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
    segments: Sequence[Segment], loud: np.ndarray, rate_hz: int, n_samples: int, max_s: float
) -> list[Checked]:
    """Move the edges of a recording's segments to quiet places.

    Args:
        segments: sorted and disjoint.
        loud: from `loudness`.
        max_s: maximum length of a segment whose text is a hypothesis.
    """
    found: list[Checked] = []
    for i, segment in enumerate(segments):
        after = segments[i + 1].start if i + 1 < len(segments) else n_samples
        before = found[-1].end if found else 0
        found.append(
            _check_one(segment, loud, rate_hz, (before, after), n_samples, max_s)
            if segment.checked
            else Checked(segment.start, segment.end)
        )
    return found


def _check_one(segment, loud, rate_hz, room, n_samples, max_s) -> Checked:
    frames = [round(edge * FRAMES_PER_S / rate_hz) for edge in (segment.start, segment.end)]
    first, last = -(-room[0] * FRAMES_PER_S // rate_hz), room[1] * FRAMES_PER_S // rate_hz
    reach = REACH_FRAMES["reference" if segment.reference else "hypothesis"]
    long = 0 if segment.reference else frames[1] - frames[0]
    free = max(0, round(max_s * FRAMES_PER_S) - long)
    moved = [segment.start, segment.end]
    for side, name in enumerate(("start", "end")):
        at = frames[side]
        value = _at_edge(loud, at)
        limit = _limit(at, len(loud), (segment.quiet_start, segment.quiet_end)[side])
        if value <= limit:
            continue
        # the same for both sides: the start is the end of the reversed recording
        if side:
            to = _quiet_after(loud, at, min(last, at + min(reach, free)))
        else:
            n = len(loud)
            to = _quiet_after(loud[::-1], n - at, min(n - first, n - at + min(reach, free)))
            to = None if to is None else n - to
        if to is None:
            return Checked(segment.start, segment.end, name, round(value, 3), limit)
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
    """The first quiet place between two frames; its quietest point within `PAD_FRAMES`."""
    for start, stop in vad.runs(loud[at:end] <= QUIET):
        if stop - start >= QUIET_FRAMES:
            run = loud[at + start : at + min(stop, start + PAD_FRAMES)]
            return at + start + int(np.argmin(ndimage.uniform_filter1d(run, 3))) + 1
    return None


def fix(table: pd.DataFrame, settings: SegmentSettings, audio: Store, store: Store) -> pd.DataFrame:
    """Move cut edges, or drop their segments; `table` (`tables.TRANSCRIBED`).

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
        segments = [_segment(row) for row in rows]
        if not any(segment.checked for segment in segments):
            continue
        item = rows[0].item
        key = store.key(item=item, pieces=[list(vars(one).values()) for one in segments])
        record = store.get(key)
        n_items += 1
        if record is None:
            computed += 1
            record = _record(segments, item, settings, audio)
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


def _segment(row: Row) -> Segment:
    words = None if tables.missing(row.words) else json.loads(row.words)
    seconds = (row.end - row.start) / row.rate_hz
    return Segment(
        int(row.start),
        int(row.end),
        bool(words and words[0][1] >= APART_S),
        bool(words and seconds - words[-1][2] >= APART_S),
        not tables.missing(row.text_source) and row.text_source == "reference",
        row.status == "keep",
    )


def _record(segments, item, settings, audio) -> dict:
    """The record of a recording: for each segment the columns that change, if any."""
    normalized = audio.require(item)
    try:
        loud, rate_hz = loudness(audio.path(item, ".flac"))
        n_samples = soundfile.info(audio.path(item, ".flac")).frames
    except (soundfile.LibsndfileError, OSError) as error:
        audio.report(item, f"cannot be read ({error})")
    checked = check(segments, loud, rate_hz, n_samples, settings.max_s)
    moved = [
        [new.start, new.end]
        for segment, new in zip(segments, checked, strict=True)
        if (new.start, new.end) != (segment.start, segment.end)
    ]
    measured = {}
    if moved:
        record = cut(audio, item, ReferenceSpans(moved, []), normalized["clipped"], settings)
        measured = {(s["start"], s["end"]): s for s in record["segments"]}
    return {"changes": [_change(new, measured) for new in checked]}


def _change(new: Checked, measured: dict) -> dict:
    if new.cut is None:
        return measured.get((new.start, new.end), {})
    return dropped("align", f"word cut at {new.cut}", new.loudness, new.limit)
