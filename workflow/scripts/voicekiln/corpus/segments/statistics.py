"""Statistics of the segments of a corpus, and warnings about how they were cut."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from voicekiln.audio.segment import SegmentSettings

MANY = 0.2  # fraction of the segments that raises a warning
ENOUGH = 5  # segments, below which fractions mean nothing
FEW = 0.1  # fraction of the recorded time
LOW_MEAN_S = 2.0
MANY_REGIONS = 10  # regions for each segment, more than one a second
# settings that make each engine find more speech
MORE_SPEECH = {
    "auto": "a smaller segment.energy_share, onset, offset or aggressiveness finds more",
    "webrtcvad": (
        "a smaller segment.energy_share or aggressiveness finds more, engine: silero also finds "
        "speech in noise and music"
    ),
    "silero": "a smaller segment.onset and offset, or a smaller energy_share, finds more",
}


class Check(NamedTuple):
    """A warning and when to raise it; `text` is formatted with the numbers of `summary`."""

    raised: Callable[[Mapping[str, Any]], bool]
    text: str
    least: int = ENOUGH  # segments


CHECKS = (
    Check(
        lambda n: n["silent"] > 0,
        "no speech was found in {silent_files} ({silent}): {more_speech}",
        least=0,
    ),
    Check(
        lambda n: not n["silent"] and n["total_s"] < FEW * n["recorded_s"],
        "{segments} segments are few, {total_s:.0f} of {recorded_s:.0f} s: if there is more "
        "speech, {more_speech}",
        least=0,
    ),
    Check(
        lambda n: n["dropped"] > n["cut"],
        "{dropped} stretches were too short to be speech, more than the {cut} segments that were "
        "kept: noise, or segment.energy_share is too low",
        least=0,
    ),
    Check(
        lambda n: n["under"] > MANY * n["segments"],
        "{under} of {segments} segments are shorter than segment.min_s = {min_s:g}: a larger "
        "merge_gap_s joins more speech, a smaller min_s accepts it",
    ),
    Check(
        lambda n: n["over"] > MANY * n["segments"],
        "{over} of {segments} segments are longer than segment.max_s = {max_s:g}: their spans came "
        "with the texts; leave the times out to have them cut at pauses",
    ),
    Check(
        lambda n: n["mean_s"] < LOW_MEAN_S,
        "the segments are {mean_s:.2f} s long on average, too short to learn a sentence's melody "
        "from: a larger segment.merge_gap_s joins more speech",
    ),
    Check(
        lambda n: n["extended"] > MANY * n["cut"],
        "{extended} of {cut} segments had to be extended to segment.min_s = {min_s:g}: a larger "
        "merge_gap_s joins more speech, a smaller min_s leaves them short",
    ),
    Check(
        lambda n: n["regions"] > MANY_REGIONS * n["cut"],
        "{regions} regions of speech made {cut} segments, so speech is found in fragments: a "
        "larger segment.min_pause_s or a smaller energy_share closes the gaps",
    ),
    Check(
        lambda n: n["split_without_pause"] > MANY * n["cut"],
        "{split_without_pause} cuts found no pause: a larger segment.max_s or a smaller "
        "min_pause_s leaves more room for one",
    ),
)
EVENTS = ("regions", "split", "extended", "dropped", "split_without_pause")


def summary(
    seconds: Sequence[float],
    events: Mapping[str, int],
    recorded_s: float,
    silent: Sequence[str],
    settings: SegmentSettings,
) -> tuple[str, list[str]]:
    """A line about the segments of a corpus, and the warnings of `CHECKS`, each with a remedy.

    Args:
        seconds: length of each segment.
        events: how often what was done (`audio.segment.EVENTS`), of the recordings that were cut.
        recorded_s: length of all recordings.
        silent: paths of recordings without any segment.
        settings: section `segment`.
    """
    min_s, max_s = settings.min_s, settings.max_s
    n = {
        "segments": len(seconds),
        "total_s": sum(seconds),
        "mean_s": sum(seconds) / len(seconds) if seconds else 0.0,
        "under": sum(s < min_s for s in seconds),
        "over": sum(s > max_s for s in seconds),
        "cut": events.get("segments", 0),
        **{name: events.get(name, 0) for name in EVENTS},
        "recorded_s": recorded_s,
        "silent": len(silent),
        "silent_files": ", ".join(silent[:3]) + (" ..." if len(silent) > 3 else ""),
        "more_speech": MORE_SPEECH[settings.engine],
        "min_s": min_s,
        "max_s": max_s,
        "middle_s": (min_s + max_s) / 2,
    }
    line = (
        "{segments} segments, {mean_s:.2f} s on average, {under} shorter than {min_s:g} s, {over} "
        "longer than {max_s:g} s; merged {regions} regions into {cut} segments with a preference "
        "for {middle_s:g} s, {split} cuts, {extended} extended"
    ).format(**n)
    raised = [check for check in CHECKS if n["segments"] >= check.least and check.raised(n)]
    return line, [check.text.format(**n) for check in raised]


def by_engine(segments: pd.DataFrame) -> str:
    """A line: in how many recordings of `tables.SEGMENTS` each engine found the speech."""
    engines = segments.drop_duplicates(["root", "path"])["vad"].value_counts().sort_index()
    counts = ", ".join(f"{n} by {engine}" for engine, n in engines.items())
    return f"speech was found in {engines.sum()} recordings: {counts or 'none'}"
