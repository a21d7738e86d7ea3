"""Rows of the table of segments, one recording at a time."""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus.decisions import dropped
from voicekiln.corpus.segments.segments import (
    ReferenceSpans,
    cut,
    distinct,
    outside,
    reference_spans,
    speaker_at,
)
from voicekiln.provenance import to_json
from voicekiln.store import tables
from voicekiln.store.items import Store

log = logging.getLogger("segment")
WHOLE_S = 60.0  # the highest validate.max_s that the configuration allows
INHERITED = ("recording_id", "root", "path", "item", "rate_hz", "speaker", "language")
TOO_LITTLE = "too little speech"
TOO_LONG = "long text, and no transcribe.model or align.acoustic_model to cut it by"
Row = dict[str, Any]


class Cutter:
    """Cuts the recordings of a shard.

    Attributes:
        computed: items that were not in the store.
        events: what was done, as `statistics.summary` takes it.
    """

    def __init__(self, settings: SegmentSettings, audio: Store, store: Store, recogniser: bool):
        """
        Args:
            settings: section `segment`.
            audio: the store of normalised audio.
            store: the store of this step.
            recogniser: whether segments without a text can be transcribed.
        """
        self.computed = 0
        self.events: Counter[str] = Counter()
        self._settings, self._audio, self._store = settings, audio, store
        self._recogniser = recogniser
        self._whole_s = settings.max_s if recogniser else float("inf")

    def rows(self, recording: Mapping[str, Any]) -> list[Row]:
        """The segments of a usable recording, a row of `tables.RECORDINGS`."""
        length = recording["rate_hz"], recording["n_samples"]
        texts = recording["reference_texts"]
        references = distinct(None if tables.missing(texts) else json.loads(texts))
        spans = reference_spans(references, *length, self._whole_s)
        nothing = outside(references, *length)
        left_out = spans.left_out if spans else {nothing: len(references)} if nothing else {}
        for reason, n in left_out.items():
            log.warning(
                "%s: %d of %d texts are left out (%s); check that they belong to this recording",
                recording["path"],
                n,
                len(references),
                reason,
            )
        record = self._record(recording, spans)
        self.events.update(record["events"])
        found = list(segment_rows(recording, references, spans, record["segments"]))
        found += [
            row_of(recording, {"start": start, "end": end}) | dropped("segment", TOO_LITTLE)
            for start, end in record["dropped"]
        ]
        if nothing and not self._recogniser:
            why = dropped("segment", nothing)
            found = [row | why if row["status"] == "keep" else row for row in found]
        return [row | {"vad": record["engine"]} for row in found]

    def _record(self, recording, spans):
        item = recording["item"]
        key = self._store.key(item=item, given=None if spans is None else spans.spans)
        record = self._store.get(key)
        if record is None:
            self.computed += 1
            log.info("%s:", recording["path"])
            clipped = self._audio.require(item)["clipped"]
            record = cut(self._audio, item, spans, clipped, self._settings)
            self._store.put(key, record)
        return record


def segment_rows(
    recording: Mapping[str, Any],
    references: Sequence[dict] | None,
    spans: ReferenceSpans | None,
    segments: Sequence[Mapping[str, Any]],
) -> Iterator[Row]:
    """The rows of the segments that were cut.

    Args:
        recording: a row of `tables.RECORDINGS`.
        references: its texts, from `distinct`.
        spans: the spans they give, from `reference_spans`.
        segments: of the record that `cut` returns.
    """
    refused = spans.refused if spans else {}
    for i, segment in enumerate(segments):
        middle_s = (segment["start"] + segment["end"]) / 2 / recording["rate_hz"]
        nothing = speaker_at(references, middle_s) | {"text": None, "texts": []}
        entry = spans.entries[i] if spans else nothing
        row = row_of(recording, segment)
        row |= {key: entry[key] for key in ("speaker", "language") if entry.get(key)}
        row |= {"text": entry["text"], "raw_text": entry["text"], "status": "keep"}
        row["text_source"] = None if entry["text"] is None else "reference"
        if len(entry["texts"]) > 1:
            row |= {"raw_text": to_json(entry["texts"]), "text_source": "several"}
        if i in refused:
            row |= dropped("segment", refused[i])
        seconds = (segment["end"] - segment["start"]) / recording["rate_hz"]
        if spans and not spans.spans and seconds > WHOLE_S:
            row |= dropped("segment", TOO_LONG, seconds, WHOLE_S)
        yield row


def row_of(recording: Mapping[str, Any], stretch: Mapping[str, Any]) -> Row:
    """The columns that every stretch of a recording has."""
    segment_id = f"{recording['recording_id']}_{stretch['start']}_{stretch['end']}"
    inherited = {name: recording[name] for name in INHERITED}
    return {**inherited, **stretch, "segment_id": segment_id}
