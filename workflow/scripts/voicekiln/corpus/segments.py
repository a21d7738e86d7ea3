"""Segments of one recording: where they are, how they sound, what is known to be said."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from voicekiln.asr.hypothesis import MAX_S
from voicekiln.audio import segment as cutting
from voicekiln.store.items import Store
from voicekiln.text.clean import comparable


@dataclass(frozen=True)
class Given:
    """Spans that come with a recording's known texts.

    Attributes:
        spans: [start, end] in samples, disjoint, one for each text; empty: the whole recording.
        overlapping: which of them began inside the one before, and begin at its end now.
    """

    spans: list[list[int]]
    overlapping: list[int]


def given(
    known: Sequence[dict] | None, rate_hz: int, n_samples: int, whole_s: float = float("inf")
) -> Given | None:
    """The spans that the known texts of a recording give; None where there are none to be had.

    Args:
        known: `{"start_s", "end_s", "text"}` each, or None.
        rate_hz: of the normalised recording.
        n_samples: its length.
        whole_s: a longer recording with one text for all of it is cut as if it had none, and so is
            one whose texts mostly have spans that are too long to be heard or trained on; the text
            is dealt out to the segments once they are recognised.
    """
    if not known:
        return None
    if len(known) == 1 and known[0]["start_s"] is None:
        return None if n_samples > whole_s * rate_hz else Given([], [])
    spans, overlapping, last = [], [], 0
    for i, entry in enumerate(sorted(known, key=start_of)):
        start = round(start_of(entry) * rate_hz)
        end = n_samples if entry["end_s"] is None else round(entry["end_s"] * rate_hz)
        if start < last:
            overlapping.append(i)
        start = min(max(start, last), n_samples)
        last = min(max(end, start), n_samples)
        spans.append([start, last])
    lengths = np.diff(spans).ravel()
    too_long = lengths > max(whole_s, MAX_S) * rate_hz
    if lengths[too_long].sum() > lengths.sum() / 2 and all(entry["text"] for entry in known):
        return None
    return Given(spans, overlapping)


def distinct(known: Sequence[dict] | None) -> list[dict] | None:
    """`known` with one entry for each stretch.

    Where the texts of a stretch differ in a letter, its `text` is None and `texts` has them all.
    """
    if not known:
        return None
    stretches: dict[tuple, dict[str, str]] = {}
    for entry in known:
        texts = stretches.setdefault((entry["start_s"], entry["end_s"]), {})
        texts.setdefault(comparable(entry["text"]), entry["text"])
    return [
        {"start_s": start_s, "end_s": end_s, "text": text, "texts": [text, *others]}
        | ({"text": None} if others else {})
        for (start_s, end_s), (text, *others) in (
            (stretch, texts.values()) for stretch, texts in stretches.items()
        )
    ]


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
    """The record of a recording's segments: `segments`, speech `dropped` by the cutting, `events`.

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
    return {"segments": segments, "events": dict(result.events), "dropped": result.dropped}


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
