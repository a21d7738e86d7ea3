"""Segments of one recording: where they are, how they sound, what is known to be said."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

from voicekiln.asr.hypothesis import MAX_S
from voicekiln.audio import segment as cutting
from voicekiln.store.items import Store
from voicekiln.store.tables import missing
from voicekiln.text.clean import comparable

OVERLAP_S = 0.1  # by which a text may begin before the one before it ends
FAR_S = 1e7
BEFORE = "cue begins before 0 s"
BEYOND = "cue lies beyond the end of the recording"
WITHIN = "cue lies within another"
OVERLAPS = "overlaps the one before"
DISTURBED = "another speaker begins within it"


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
