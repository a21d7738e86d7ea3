"""Transcripts of segments, in blocks that are items of the store.

A block is up to `BLOCK` neighbouring segments of one recording: small enough that a killed job
loses a minute of work, large enough that a million segments are not a million files.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import soundfile
import soxr

from voicekiln.errors import UserError
from voicekiln.store.items import Store

BLOCK = 32  # segments


class Recogniser(Protocol):
    """An engine: at most `batch` segments of mono float32 at 16 kHz in, hypotheses out."""

    batch: int

    def __call__(self, segments: Sequence[np.ndarray]) -> list[Any]: ...


def blocks(spans: Sequence[tuple[int, int]]) -> Iterator[Sequence[tuple[int, int]]]:
    """The spans of a recording in runs of at most `BLOCK`."""
    for i in range(0, len(spans), BLOCK):
        yield spans[i : i + BLOCK]


def block_key(store: Store, item: str, spans: Sequence[tuple[int, int]]) -> str:
    """Key of the transcripts of these spans (samples) of a normalised recording."""
    return store.key(item=item, spans=[list(span) for span in spans])


def load_span(
    store: Store, item: str, start: int, end: int, rate_hz: int | None = None
) -> np.ndarray:
    """Samples `[n] float32` of a normalised recording's span.

    Args:
        store: the store of normalised audio.
        item: key of the recording in it.
        start, end: samples at the recording's own rate, end exclusive.
        rate_hz: convert to this rate; None leaves it.
    """
    path = store.path(item, ".flac")
    try:
        with soundfile.SoundFile(path) as file:
            file.seek(start)
            samples = file.read(end - start, dtype="float32")
            source_hz = file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        store.report(item, f"cannot be read ({error})")
    if len(samples) != end - start:
        store.report(item, f"ends before sample {end}")
    if rate_hz is None or rate_hz == source_hz:
        return samples
    return soxr.resample(samples, source_hz, rate_hz, quality="HQ").astype(np.float32)


def transcribe(
    wanted: Iterable[tuple[str, str, Sequence[tuple[int, int]]]],
    audio: Store,
    transcripts: Store,
    recogniser: Recogniser,
    rate_hz: int,
    advance: Callable[[int], None] = lambda n: None,
) -> int:
    """Make the items of the blocks that are wanted, batching across blocks and recordings.

    Args:
        wanted: `(key, item, spans)` of each block to be made.
        audio: the store of normalised audio.
        transcripts: the store that takes the blocks.
        recogniser: the engine.
        rate_hz: the engine's rate.
        advance: called with the number of segments done after each batch.

    Returns:
        the number of segments transcribed.
    """
    done: dict[str, list[dict | None]] = {}
    queue: list[tuple[str, int, np.ndarray]] = []
    count = 0

    def flush() -> None:
        nonlocal count
        if not queue:
            return
        hypotheses = recogniser([samples for _, _, samples in queue])
        if len(hypotheses) != len(queue):
            raise UserError("the recogniser gave fewer answers than segments; please report this")
        for (key, i, _), hypothesis in zip(queue, hypotheses, strict=True):
            done[key][i] = asdict(hypothesis)
            if all(entry is not None for entry in done[key]):
                transcripts.put(key, {"segments": done.pop(key)})
        count += len(queue)
        advance(len(queue))
        queue.clear()

    for key, item, spans in wanted:
        if key in done:  # byte-equal recordings share the block
            continue
        done[key] = [None] * len(spans)
        for i, (start, end) in enumerate(spans):
            queue.append((key, i, load_span(audio, item, start, end, rate_hz)))
            if len(queue) == recogniser.batch:
                flush()
    flush()
    return count
