"""Transcripts of segments, in blocks that are items of the store.

A block is up to `BLOCK` neighbouring spans of one recording: small enough that a killed job loses
only minutes of work, large enough that a million segments are not a million items.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from voicekiln.asr.hypothesis import (
    MAX_S,
    RATE_HZ,
    UPSTREAM,
    WHISPER_CODES,
    Block,
    Clip,
    Limits,
    Span,
)
from voicekiln.asr.transcriber import Transcriber
from voicekiln.audio.span import load_span
from voicekiln.corpus.segments.chunks import VERSION as CHUNKS_VERSION
from voicekiln.corpus.segments.chunks import chunks
from voicekiln.store.items import Store

VERSION = 2
BLOCK = 32  # spans
WINDOW_BATCHES = 8  # that are sorted by length together


@dataclass(frozen=True)
class Plan:
    """The blocks that the rows of a table need.

    Attributes:
        blocks: distinct blocks, in the table's order.
        spans_of: by the index of each row its recording's item, language, rate and the spans in
            which it is transcribed.
    """

    blocks: list[Block]
    spans_of: dict[int, tuple[str, str | None, int, tuple[Span, ...]]]

    def records(self, transcripts: Store, limits: Limits = UPSTREAM) -> dict[int, dict]:
        """The record of each row, by its index.

        Raises:
            UserError: a block is missing in the store.
        """
        found = {}
        for block in self.blocks:
            entries = transcripts.require(block.key)["segments"]
            for span, entry in zip(block.spans, entries, strict=True):
                found[block.item, block.language, span] = entry
        return {
            index: joined([found[item, language, span] for span in spans], spans, rate_hz, limits)
            for index, (item, language, rate_hz, spans) in self.spans_of.items()
        }


def plan(rows: pd.DataFrame, language: str | None, audio: Store, transcripts: Store) -> Plan:
    """The blocks that `rows` (`tables.SEGMENTS`) need.

    Args:
        rows: the segments.
        language: to decode in; `auto` detects it, None takes the language of each row.
        audio: the store of normalised audio.
        transcripts: the store of the blocks.
    """
    of_rows, of_items = {}, {}
    for row in rows.itertuples():
        spoken = row.language if language is None else language
        spoken = None if spoken == "auto" else WHISPER_CODES.get(spoken, spoken)
        span = (int(row.start), int(row.end))
        spans = chunked(transcripts, audio, row.item, span, int(row.rate_hz))
        of_rows[row.Index] = (row.item, spoken, int(row.rate_hz), spans)
        of_items.setdefault((row.item, spoken), {}).update(dict.fromkeys(spans))
    found = [
        block
        for (item, spoken), spans in of_items.items()
        for block in blocks(transcripts, item, spoken, list(spans))
    ]
    return Plan(found, of_rows)


def blocks(
    transcripts: Store, item: str, language: str | None, spans: Sequence[Span]
) -> Iterator[Block]:
    """The blocks of a recording's spans, `BLOCK` spans each."""
    for i in range(0, len(spans), BLOCK):
        part = tuple(spans[i : i + BLOCK])
        key = transcripts.key(item=item, language=language, spans=[list(span) for span in part])
        yield Block(key, item, language, part)


def chunked(
    transcripts: Store, audio: Store, item: str, span: Span, rate_hz: int
) -> tuple[Span, ...]:
    """`span`, or the chunks in which it is transcribed if it is too long."""
    if span[1] - span[0] <= MAX_S * rate_hz:
        return (span,)
    key = transcripts.key(pieces=CHUNKS_VERSION, item=item, span=list(span))
    record = transcripts.get(key)
    if record is None:
        record = {"pieces": chunks(audio, item, *span)}
        transcripts.put(key, record)
    return tuple((start, end) for start, end in record["pieces"])


def transcribe(
    wanted: Iterable[Block],
    audio: Store,
    transcripts: Store,
    transcriber: Transcriber,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Transcribe blocks into the store, in batches across blocks and recordings.

    Spans for several batches are loaded at a time, so that clips of similar length are decoded
    together; this much work is lost when the job is killed.

    Args:
        wanted: the blocks.
        audio: the store of normalised audio.
        transcripts: the store that takes the blocks.
        transcriber: the recognisers and how they are used.
        advance: called after each batch with the number of spans done.
    """
    done: dict[str, list[dict | None]] = {}
    queue: list[tuple[str, int]] = []
    clips: list[Clip] = []

    def flush() -> None:
        for (key, i), record in zip(queue, transcriber(clips, advance), strict=True):
            done[key][i] = record
            if all(entry is not None for entry in done[key]):
                transcripts.put(key, {"segments": done.pop(key)})
        queue.clear()
        clips.clear()

    for block in wanted:
        if block.key in done:  # byte-equal recordings share the block
            continue
        done[block.key] = [None] * len(block.spans)
        for i, span in enumerate(block.spans):
            queue.append((block.key, i))
            clips.append(Clip(load_span(audio, block.item, *span, RATE_HZ), block.language))
            if len(queue) == WINDOW_BATCHES * transcriber.batch:
                flush()
    if queue:
        flush()


def joined(
    records: Sequence[dict], spans: Sequence[Span], rate_hz: int, limits: Limits = UPSTREAM
) -> dict:
    """One record for a segment that was transcribed in chunks.

    Chunks without speech add no text. Scores are means weighted by length, except
    `compression_ratio`, of which the highest is taken.
    """
    if len(records) == 1:
        return records[0]
    lengths = [end - start for start, end in spans]
    speaking = [not limits.silent(r["avg_logprob"], r["no_speech_prob"]) for r in records]
    words = []
    for record, (start, _), speaks in zip(records, spans, speaking, strict=True):
        offset_s = (start - spans[0][0]) / rate_hz
        for i, (word, start_s, end_s, probability) in enumerate(record["words"] or []):
            if speaks:
                text = f" {word.lstrip()}" if words and not i else word
                times = (round(offset_s + start_s, 2), round(offset_s + end_s, 2))
                words.append([text, *times, probability])
    texts = [record["text"] for record, speaks in zip(records, speaking, strict=True) if speaks]
    means = {
        name: _mean([record[name] for record in records], lengths)
        for name in ("avg_logprob", "no_speech_prob", "language_prob", "agreement")
    }
    return records[0] | {
        "text": " ".join(text for text in texts if text),
        "words": None if records[0]["words"] is None else words,
        "compression_ratio": max(record["compression_ratio"] for record in records),
        "again": any(record["again"] for record in records),
        **means,
    }


def _mean(values: Sequence[float | None], weights: Sequence[int]) -> float | None:
    """Weighted mean of the values that are not missing."""
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    if not pairs:
        return None
    return round(sum(v * w for v, w in pairs) / sum(w for _, w in pairs), 5)
