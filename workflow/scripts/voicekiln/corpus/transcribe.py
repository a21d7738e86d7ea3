"""Transcripts of segments, in blocks that are items of the store.

A block is up to `BLOCK` neighbouring stretches of one recording: small enough that a killed job
loses minutes of work, large enough that a million segments are not a million items.
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
from voicekiln.asr.listen import Listener
from voicekiln.audio.span import load_span
from voicekiln.corpus.segments.pieces import VERSION as PIECES_VERSION
from voicekiln.corpus.segments.pieces import pieces
from voicekiln.store.items import Store

VERSION = 2
BLOCK = 32  # stretches
WINDOW_BATCHES = 8  # that are sorted by length together


@dataclass(frozen=True)
class Plan:
    """What has to be heard for the rows of a table.

    Attributes:
        blocks: distinct blocks, in the table's order.
        heard_in: for each row's index its recording's item, language, rate and the stretches that
            it is heard in.
    """

    blocks: list[Block]
    heard_in: dict[int, tuple[str, str | None, int, tuple[Span, ...]]]

    def records(self, transcripts: Store, limits: Limits = UPSTREAM) -> dict[int, dict]:
        """The record of each row, by its index.

        Raises:
            UserError: a block is missing in the store.
        """
        heard = {}
        for block in self.blocks:
            entries = transcripts.require(block.key)["segments"]
            for span, entry in zip(block.spans, entries, strict=True):
                heard[block.item, block.language, span] = entry
        return {
            index: joined([heard[item, language, span] for span in spans], spans, rate_hz, limits)
            for index, (item, language, rate_hz, spans) in self.heard_in.items()
        }


def plan(rows: pd.DataFrame, language: str | None, audio: Store, transcripts: Store) -> Plan:
    """What has to be heard for `rows` (`tables.SEGMENTS`).

    Args:
        rows: the segments.
        language: to decode in; `auto` detects it, None takes that of each row.
        audio: the store of normalised audio.
        transcripts: the store of the blocks.
    """
    heard_in, spans_of = {}, {}
    for row in rows.itertuples():
        spoken = row.language if language is None else language
        spoken = None if spoken == "auto" else WHISPER_CODES.get(spoken, spoken)
        span = (int(row.start), int(row.end))
        stretches = hearable(transcripts, audio, row.item, span, int(row.rate_hz))
        heard_in[row.Index] = (row.item, spoken, int(row.rate_hz), stretches)
        spans_of.setdefault((row.item, spoken), {}).update(dict.fromkeys(stretches))
    found = [
        block
        for (item, spoken), spans in spans_of.items()
        for block in blocks(transcripts, item, spoken, list(spans))
    ]
    return Plan(found, heard_in)


def blocks(
    transcripts: Store, item: str, language: str | None, spans: Sequence[Span]
) -> Iterator[Block]:
    """The blocks of a recording's spans, `BLOCK` of them each."""
    for i in range(0, len(spans), BLOCK):
        part = tuple(spans[i : i + BLOCK])
        key = transcripts.key(item=item, language=language, spans=[list(span) for span in part])
        yield Block(key, item, language, part)


def hearable(
    transcripts: Store, audio: Store, item: str, span: Span, rate_hz: int
) -> tuple[Span, ...]:
    """`span` itself, or the pieces that it is heard in because it is too long."""
    if span[1] - span[0] <= MAX_S * rate_hz:
        return (span,)
    key = transcripts.key(pieces=PIECES_VERSION, item=item, span=list(span))
    record = transcripts.get(key)
    if record is None:
        record = {"pieces": pieces(audio, item, *span)}
        transcripts.put(key, record)
    return tuple((start, end) for start, end in record["pieces"])


def transcribe(
    wanted: Iterable[Block],
    audio: Store,
    transcripts: Store,
    listener: Listener,
    advance: Callable[[int], None] = lambda n: None,
) -> None:
    """Make the items of the blocks that are wanted, batching across blocks and recordings.

    Some batches' worth of stretches are loaded at a time, so that clips of similar length can be
    decoded together; that much work is lost when the job is killed.

    Args:
        wanted: the blocks to be made.
        audio: the store of normalised audio.
        transcripts: the store that takes the blocks.
        listener: how they are heard.
        advance: called with the number of stretches done after each batch.
    """
    done: dict[str, list[dict | None]] = {}
    queue: list[tuple[str, int]] = []
    clips: list[Clip] = []

    def flush() -> None:
        for (key, i), record in zip(queue, listener(clips, advance), strict=True):
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
            if len(queue) == WINDOW_BATCHES * listener.batch:
                flush()
    if queue:
        flush()


def joined(
    records: Sequence[dict], spans: Sequence[Span], rate_hz: int, limits: Limits = UPSTREAM
) -> dict:
    """One record for a segment that was heard in pieces.

    Pieces without speech say nothing. Scores are means over the pieces by their length, except
    `compression_ratio`, of which the worst counts.
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
                text = f" {word.lstrip()}" if words and not i else word  # pieces are apart
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
    """Weighted mean of the values that are there."""
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if v is not None]
    if not pairs:
        return None
    return round(sum(v * w for v, w in pairs) / sum(w for _, w in pairs), 5)
