"""Segments of one recording: spans that reference texts give, and cutting with measures."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from voicekiln.asr.hypothesis import MAX_S
from voicekiln.audio import segment as cutting
from voicekiln.store.items import Store
from voicekiln.store.tables import missing
from voicekiln.text.clean import comparable

OVERLAP_S = 0.1  # by which a text may start before the previous one ends
FAR_S = 1e7
BEFORE = "cue starts before 0 s"
BEYOND = "cue lies beyond the end of the recording"
WITHIN = "cue lies within another"
OVERLAPS = "overlaps the previous one"
DISTURBED = "another speaker starts within it"


@dataclass(frozen=True)
class ReferenceSpans:
    """Spans that come with a recording's reference texts.

    Attributes:
        spans: [start, end] in samples, disjoint; empty: the whole recording.
        entries: the reference text of each span.
        refused: the spans that cannot be used, with the reason. One that overlaps the previous
            span starts at its end.
        left_out: number of texts without a span, by reason.
    """

    spans: list[list[int]]
    entries: list[dict]
    refused: Mapping[int, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)


def reference_spans(
    references: Sequence[dict] | None, rate_hz: int, n_samples: int, whole_s: float = float("inf")
) -> ReferenceSpans | None:
    """The spans that the reference texts of a recording give; None if they give none.

    Args:
        references: from `distinct`, or None.
        rate_hz: of the normalised recording.
        n_samples: its length.
        whole_s: a longer recording with one text for all of it is cut as if it had none, and so is
            one whose spans are mostly too long to be transcribed or trained on; the text is
            distributed over the segments after they are transcribed.
    """
    if not references:
        return None
    if len(references) == 1 and references[0]["start_s"] is None:
        return None if n_samples > whole_s * rate_hz else ReferenceSpans([], list(references))
    spans, entries, last = [], [], 0
    refused: dict[int, str] = {}
    left_out: Counter[str] = Counter()
    for entry, start, end in _ordered(references, rate_hz, n_samples):
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
    several = any(len(entry["texts"]) > 1 for entry in references)
    if lengths[too_long].sum() > lengths.sum() / 2 and not several:
        return None
    return ReferenceSpans(spans, entries, refused, left_out)


def outside(references: Sequence[dict] | None, rate_hz: int, n_samples: int) -> str | None:
    """Why no reference text lies within the recording; None if one does."""
    reasons = [
        _outside(start, end, rate_hz, n_samples)
        for _, start, end in _ordered(references or [], rate_hz, n_samples)
    ]
    return Counter(reasons).most_common(1)[0][0] if reasons and all(reasons) else None


def _ordered(references, rate_hz, n_samples):
    """The reference texts with their samples, in order; one without an end extends to the next.

    If there are spans, a text of the whole recording is ignored.
    """
    ordered = sorted((e for e in references if e["start_s"] is not None), key=start_of)
    starts = [_sample(start_of(entry), rate_hz) for entry in ordered]
    for entry, start, after in zip(ordered, starts, [*starts, n_samples][1:], strict=True):
        yield entry, start, after if entry["end_s"] is None else _sample(entry["end_s"], rate_hz)


def _outside(start, end, rate_hz, n_samples):
    """Why a span is not in the recording: most of it, or its start, lies outside."""
    if start < -OVERLAP_S * rate_hz:
        return BEFORE
    if start >= n_samples or n_samples - start < (end - start) / 2:
        return BEYOND
    return None


def _others(entry, after):
    """Whether two texts name different speakers."""
    first, second = entry.get("speaker"), after.get("speaker")
    return bool(first and second and first != second)


def _sample(seconds, rate_hz):
    """The sample at a time; impossible times lie far beyond any recording."""
    far = seconds != seconds or abs(seconds) > FAR_S
    return round((FAR_S if far else seconds) * rate_hz)


def distinct(references: Sequence[dict] | None) -> list[dict] | None:
    """One entry for each span, with the speaker of the first.

    If the texts of a span differ in a letter, its `text` is None and `texts` has all of them.
    """
    if not references:
        return None
    stretches: dict[tuple, tuple[dict, dict[str, str]]] = {}
    for entry in references:
        _, texts = stretches.setdefault((entry["start_s"], entry["end_s"]), (entry, {}))
        if entry["text"]:
            texts.setdefault(comparable(entry["text"]), entry["text"])
    return [
        {**first, "text": None if len(texts) > 1 else first["text"], "texts": list(texts.values())}
        for first, texts in stretches.values()
    ]


def speaker_at(references: Sequence[dict] | None, at_s: float) -> dict[str, str]:
    """`speaker` and `language` at a time, if the reference texts name them."""
    here = (e for e in references or [] if start_of(e) <= at_s < (e["end_s"] or float("inf")))
    entry = next(here, {})
    return {key: entry[key] for key in ("speaker", "language") if entry.get(key)}


def start_of(entry: dict) -> float:
    """Start of a reference text, in seconds; 0 if it has none."""
    return entry["start_s"] or 0.0


def cut(
    audio: Store,
    item: str,
    spans: ReferenceSpans | None,
    clipped: Sequence[list[int]],
    settings: cutting.SegmentSettings,
) -> dict:
    """Cut a recording: `segments`, `dropped` speech, `events`, and the `engine` that found speech.

    Args:
        audio: the store of normalised audio.
        item: the recording's key in it.
        spans: from `reference_spans`.
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
        hashes = pcm_hashes(flac, result.spans, result.samples)
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
    """The edges of a moved segment that still lie inside speech: start, end, both or None.

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


def pcm_hashes(
    flac: Path, spans: Sequence[Sequence[int]], samples: np.ndarray | None = None
) -> list[str]:
    """SHA-256 of each span's 16-bit samples.

    Args:
        samples: `[n]` int16 of the whole file; None reads the spans from the file.

    Raises:
        EOFError: the file ends before a span does.
    """
    if samples is not None:
        return [_pcm_hash(samples[start:end], start, end) for start, end in spans]
    hashes = []
    with soundfile.SoundFile(flac) as file:
        for start, end in spans:
            file.seek(start)
            hashes.append(_pcm_hash(file.read(end - start, dtype="int16"), start, end))
    return hashes


def _pcm_hash(samples, start, end):
    if len(samples) != end - start:
        raise EOFError(f"ends before sample {end}")
    return hashlib.sha256(np.ascontiguousarray(samples, "<i2")).hexdigest()
