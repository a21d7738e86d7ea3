"""Segments of one recording: where they are, how they sound, what is known to be said."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import soundfile

from voicekiln.asr.hypothesis import MAX_S
from voicekiln.audio import segment as cutting
from voicekiln.store.items import Store
from voicekiln.store.tables import missing
from voicekiln.text.clean import comparable

CONCERN = 0.2  # fraction of the segments from which there is a warning ...
ENOUGH = 5  # ... where there are so many
FEW = 0.1  # share of the recorded time
LOW_MEAN_S = 2.0
OVERLAP_S = 0.1  # by which a text may begin before the one before it ends
FAR_S = 1e7
BEFORE = "cue begins before 0 s"
BEYOND = "cue lies beyond the end of the recording"
WITHIN = "cue lies within another"
OVERLAPS = "overlaps the one before"
DISTURBED = "another speaker begins within it"
MANY_REGIONS = 10  # a segment, more than one a second
HEAR = {
    "auto": "a smaller segment.energy_share, onset, offset or aggressiveness finds more",
    "webrtcvad": (
        "a smaller segment.energy_share or aggressiveness finds more, engine: silero also finds "
        "speech in noise and music"
    ),
    "silero": "a smaller segment.onset and offset, or a smaller energy_share, finds more",
}


@dataclass(frozen=True)
class Given:
    """Spans that come with a recording's known texts.

    Attributes:
        spans: [start, end] in samples, disjoint; empty: the whole recording.
        entries: what is known of each.
        refused: which of them cannot be used, and why. One that began inside the one before begins
            at its end now.
        left_out: how many texts have no span, by reason.
    """

    spans: list[list[int]]
    entries: list[dict]
    refused: Mapping[int, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


def given(
    known: Sequence[dict] | None, rate_hz: int, n_samples: int, whole_s: float = float("inf")
) -> Given | None:
    """The spans that the known texts of a recording give; None where there are none to be had.

    Args:
        known: what `distinct` says, or None.
        rate_hz: of the normalised recording.
        n_samples: its length.
        whole_s: a longer recording with one text for all of it is cut as if it had none, and so is
            one whose texts mostly have spans that are too long to be heard or trained on; the text
            is dealt out to the segments once they are recognised.
    """
    if not known:
        return None
    if len(known) == 1 and known[0]["start_s"] is None:
        return None if n_samples > whole_s * rate_hz else Given([], list(known))
    spans, entries, last = [], [], 0
    refused: dict[int, str] = {}
    left_out: Counter[str] = Counter()
    for entry, start, end in _ordered(known, rate_hz, n_samples):
        why = _outside(start, end, rate_hz, n_samples)
        begins = max(start, last, 0)
        if begins >= min(end, n_samples):
            left_out[why or WITHIN] += 1
            continue
        late = last - start > OVERLAP_S * rate_hz and start >= 0
        if late and _others(entries[-1], entry):
            refused[len(spans) - 1] = DISTURBED
        if why or late:
            refused[len(spans)] = why or OVERLAPS
        last = min(end, n_samples)
        spans.append([begins, last])
        entries.append(entry)
    if not spans:
        return None
    lengths = np.diff(spans).ravel()
    too_long = lengths > max(whole_s, MAX_S) * rate_hz
    several = any(len(entry["texts"]) > 1 for entry in known)
    if lengths[too_long].sum() > lengths.sum() / 2 and not several:
        return None
    return Given(spans, entries, refused, left_out)


def outside(known: Sequence[dict] | None, rate_hz: int, n_samples: int) -> str | None:
    """Why none of the known texts lies within the recording; None where one does."""
    reasons = [
        _outside(start, end, rate_hz, n_samples)
        for _, start, end in _ordered(known or [], rate_hz, n_samples)
    ]
    return Counter(reasons).most_common(1)[0][0] if reasons and all(reasons) else None


def _ordered(known, rate_hz, n_samples):
    """The stretches with their samples, in order; one without an end goes up to the next.

    With stretches, a text of the whole says nothing that they do not.
    """
    ordered = sorted((e for e in known if e["start_s"] is not None), key=start_of)
    starts = [_sample(start_of(entry), rate_hz) for entry in ordered]
    for entry, start, after in zip(ordered, starts, [*starts, n_samples][1:], strict=True):
        yield entry, start, after if entry["end_s"] is None else _sample(entry["end_s"], rate_hz)


def _outside(start, end, rate_hz, n_samples):
    """Why a stretch cannot be that of a recording: most of it, or its beginning, is not there."""
    if start < -OVERLAP_S * rate_hz:
        return BEFORE
    if start >= n_samples or n_samples - start < (end - start) / 2:
        return BEYOND
    return None


def _others(entry, after):
    """Whether two texts are known to be said by two people."""
    first, second = entry.get("speaker"), after.get("speaker")
    return bool(first and second and first != second)


def _sample(seconds, rate_hz):
    """The sample at a time; a time that no recording has lies far beyond any."""
    far = seconds != seconds or abs(seconds) > FAR_S
    return round((FAR_S if far else seconds) * rate_hz)


def distinct(known: Sequence[dict] | None) -> list[dict] | None:
    """`known` with one entry for each stretch, as its first one says who speaks.

    Where the texts of a stretch differ in a letter, its `text` is None and `texts` has them all.
    """
    if not known:
        return None
    stretches: dict[tuple, tuple[dict, dict[str, str]]] = {}
    for entry in known:
        _, texts = stretches.setdefault((entry["start_s"], entry["end_s"]), (entry, {}))
        if entry["text"]:
            texts.setdefault(comparable(entry["text"]), entry["text"])
    return [
        {**first, "text": None if len(texts) > 1 else first["text"], "texts": list(texts.values())}
        for first, texts in stretches.values()
    ]


def speaking(known: Sequence[dict] | None, at_s: float) -> dict[str, str]:
    """`speaker` and `language` at a time, where the known texts of a recording tell them."""
    here = (e for e in known or [] if start_of(e) <= at_s < (e["end_s"] or float("inf")))
    entry = next(here, {})
    return {key: entry[key] for key in ("speaker", "language") if entry.get(key)}


def start_of(entry: dict) -> float:
    """Where a known text begins, in seconds; the recording's begin where it does not say."""
    return entry["start_s"] or 0.0


def cut(
    audio: Store,
    item: str,
    spans: Given | None,
    clipped: Sequence[list[int]],
    settings: cutting.SegmentSettings,
) -> dict:
    """The record of a recording's segments: `segments`, speech `dropped` by the cutting, `events`,
    and the `engine` that found the speech.

    Args:
        audio: the store of normalised audio.
        item: the recording's key in it.
        spans: what `given` says.
        clipped: runs of clipped frames, from the recording's record.
        settings: section `segment`.
    """
    flac = audio.path(item, ".flac")
    try:
        if spans is None:
            result = cutting.segment(flac, settings, clipped)
        elif not spans.spans:
            result = cutting.whole(flac, settings, clipped, trim=True)
        else:
            result = cutting.measured(flac, settings, clipped, spans.spans)
        hashes = pcm_hashes(flac, result.spans)
    except (soundfile.LibsndfileError, EOFError) as error:
        audio.report(item, f"cannot be read ({error})")
    segments = [
        {"start": start, "end": end, "forced_cut": forced, **measures, "audio_sha256": digest}
        for (start, end), forced, measures, digest in zip(
            result.spans, result.forced, result.measures, hashes, strict=True
        )
    ]
    return {
        "segments": segments,
        "events": dict(result.events),
        "dropped": result.dropped,
        "engine": result.engine,
    }


def still_forced(forced: str | None, span: tuple[int, int], moved: Mapping[str, int]) -> str | None:
    """The edges inside speech that a moved segment still has: start, end, both or None.

    Args:
        forced: those of its old span.
        span: its old start and end.
        moved: its new `start` and `end`.
    """
    if missing(forced):
        return None
    still = [
        side
        for side, at in zip(("start", "end"), span, strict=True)
        if forced in (side, "both") and moved[side] == at
    ]
    return "both" if len(still) == 2 else next(iter(still), None)


def by_engine(segments: pd.DataFrame) -> str:
    """How many recordings of `segments` (`tables.SEGMENTS`) each engine found the speech in."""
    engines = segments.drop_duplicates(["root", "path"])["vad"].value_counts().sort_index()
    counts = ", ".join(f"{n} by {engine}" for engine, n in engines.items())
    return f"speech was found in {engines.sum()} recordings: {counts or 'none'}"


def statistics(
    seconds: Sequence[float],
    events: Mapping[str, int],
    recorded_s: float,
    silent: Sequence[str],
    settings: cutting.SegmentSettings,
) -> tuple[str, list[str]]:
    """What a corpus's segments are like, and what of it is a concern (S4-69 ... S4-71), as text.

    Args:
        seconds: length of each segment.
        events: how often what was done (`audio.segment.EVENTS`), of the recordings that were cut.
        recorded_s: length of all recordings.
        silent: paths of recordings without any segment.
        settings: section `segment`.

    Returns:
        one line, and a list of concerns with what to change.
    """
    n, min_s, max_s = len(seconds), settings.min_s, settings.max_s
    mean_s = sum(seconds) / n if n else 0.0
    under, over = sum(s < min_s for s in seconds), sum(s > max_s for s in seconds)
    done = Counter(events)
    n_cut = done["segments"]
    line = (
        f"{n} segments, {mean_s:.2f} s on average, {under} shorter than {min_s:g} s, {over} longer "
        f"than {max_s:g} s; merged {done['regions']} regions into {n_cut} segments with a "
        f"preference for {(min_s + max_s) / 2:g} s, {done['split']} cuts, {done['extended']} "
        "extended"
    )
    concerns = []
    if silent:
        which = ", ".join(silent[:3]) + (" ..." if len(silent) > 3 else "")
        concerns.append(f"no speech was found in {which} ({len(silent)}): {HEAR[settings.engine]}")
    elif sum(seconds) < FEW * recorded_s:
        concerns.append(
            f"{n} segments are few, {sum(seconds):.0f} of {recorded_s:.0f} s: if there is more "
            f"speech, {HEAR[settings.engine]}"
        )
    if done["dropped"] > n_cut:
        concerns.append(
            f"{done['dropped']} stretches were too short to be speech, more than the {n_cut} "
            "segments that were kept: noise, or segment.energy_share is too low"
        )
    if n < ENOUGH:
        return line, concerns
    if under > CONCERN * n:
        concerns.append(
            f"{under} of {n} segments are shorter than segment.min_s = {min_s:g}: a larger "
            "merge_gap_s joins more speech, a smaller min_s accepts it"
        )
    if over > CONCERN * n:
        concerns.append(
            f"{over} of {n} segments are longer than segment.max_s = {max_s:g}: their spans came "
            "with the texts; leave the times out to have them cut at pauses"
        )
    if mean_s < LOW_MEAN_S:
        concerns.append(
            f"the segments are {mean_s:.2f} s long on average, too short to learn a sentence's "
            "melody from: a larger segment.merge_gap_s joins more speech"
        )
    if done["extended"] > CONCERN * n_cut:
        concerns.append(
            f"{done['extended']} of {n_cut} segments had to be extended to segment.min_s = "
            f"{min_s:g}: a larger merge_gap_s joins more speech, a smaller min_s leaves them short"
        )
    if done["regions"] > MANY_REGIONS * n_cut:
        concerns.append(
            f"{done['regions']} regions of speech made {n_cut} segments, so speech is found in "
            "fragments: a larger segment.min_pause_s or a smaller energy_share closes the gaps"
        )
    if done["split_without_pause"] > CONCERN * n_cut:
        concerns.append(
            f"{done['split_without_pause']} cuts found no pause: a larger segment.max_s or a "
            "smaller min_pause_s leaves more room for one"
        )
    return line, concerns


def pcm_hashes(flac, spans: Sequence[Sequence[int]]) -> list[str]:
    """SHA-256 of each span's 16-bit samples.

    Raises:
        EOFError: the file ends before a span does.
    """
    hashes = []
    with soundfile.SoundFile(flac) as file:
        for start, end in spans:
            file.seek(start)
            samples = file.read(end - start, dtype="int16")
            if len(samples) != end - start:
                raise EOFError(f"ends before sample {end}")
            hashes.append(hashlib.sha256(np.ascontiguousarray(samples, "<i2")).hexdigest())
    return hashes
