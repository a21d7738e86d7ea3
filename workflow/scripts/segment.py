"""Cut the recordings of one shard into segments; known texts bring their own spans."""

import json
import logging
from collections import Counter
from pathlib import Path

from voicekiln import job
from voicekiln.audio import segment as cutting
from voicekiln.corpus.segments.segments import by_engine, cut, distinct, given, outside, speaking
from voicekiln.provenance import to_json
from voicekiln.store import tables
from voicekiln.store.files import write_atomic
from voicekiln.store.items import Store

log = logging.getLogger("segment")
STORE = Path("results", "store")
WHOLE_S = 60.0  # validate.max_s goes no higher
INHERITED = ("recording_id", "root", "path", "item", "rate_hz", "speaker", "language")


def main(smk):
    job.start(smk)
    config = smk.params.settings["segment"]
    settings = cutting.SegmentSettings(**config)
    whole_s = settings.max_s if smk.params.recogniser else float("inf")
    audio = Store(STORE, "normalize")
    store = Store(STORE, "segment", cutting.identity(settings))
    recordings = tables.read(Path(smk.input.table))
    recordings = recordings[recordings["status"] == "ok"].to_dict("records")
    rows, computed, events = [], 0, Counter()
    for recording in job.track(recordings, len(recordings), "recordings segmented"):
        known = None if tables.missing(recording["known"]) else json.loads(recording["known"])
        known = distinct(known)
        spans = given(known, recording["rate_hz"], recording["n_samples"], whole_s)
        nothing = outside(known, recording["rate_hz"], recording["n_samples"])
        left_out = spans.left_out if spans else {nothing: len(known)} if nothing else {}
        for reason, n in left_out.items():
            log.warning(
                "%s: %d of %d texts are left out (%s); check that they belong to this recording",
                recording["path"],
                n,
                len(known),
                reason,
            )
        item = recording["item"]
        key = store.key(item=item, given=None if spans is None else spans.spans)
        record = store.get(key)
        if record is None:
            computed += 1
            log.info("%s:", recording["path"])
            clipped = audio.require(item)["clipped"]
            record = cut(audio, item, spans, clipped, settings)
            store.put(key, record)
        events.update(record["events"])
        found = list(segment_rows(recording, known, spans, record["segments"]))
        found += [
            row_of(recording, {"start": start, "end": end})
            | {"status": "drop", "step": "segment", "reason": "too little speech"}
            for start, end in record["dropped"]
        ]
        if nothing and not smk.params.recogniser:
            dropped = {"status": "drop", "step": "segment", "reason": nothing}
            found = [row | dropped if row["status"] == "keep" else row for row in found]
        rows += [row | {"vad": record["engine"]} for row in found]
    log.info("%d recordings, %d segments, %d items computed", len(recordings), len(rows), computed)
    table = tables.frame(rows, tables.SEGMENTS)
    log.info("%s", by_engine(table))
    tables.write(table, Path(smk.output.table), tables.SEGMENTS, store)
    write_atomic(Path(smk.output.events), json.dumps(events, sort_keys=True) + "\n")


def segment_rows(recording, known, spans, segments):
    """The table's rows of one recording."""
    refused = spans.refused if spans else {}
    for i, segment in enumerate(segments):
        middle_s = (segment["start"] + segment["end"]) / 2 / recording["rate_hz"]
        nothing = speaking(known, middle_s) | {"text": None, "texts": []}
        entry = spans.entries[i] if spans else nothing
        row = row_of(recording, segment)
        row |= {key: entry[key] for key in ("speaker", "language") if entry.get(key)}
        row |= {"text": entry["text"], "raw_text": entry["text"], "status": "keep"}
        row["text_source"] = None if entry["text"] is None else "known"
        if len(entry["texts"]) > 1:
            row |= {"raw_text": to_json(entry["texts"]), "text_source": "several"}
        if i in refused:
            row |= {"status": "drop", "step": "segment", "reason": refused[i]}
        seconds = (segment["end"] - segment["start"]) / recording["rate_hz"]
        if spans and not spans.spans and seconds > WHOLE_S:
            row |= {"status": "drop", "step": "segment", "value": seconds, "limit": WHOLE_S}
            row["reason"] = "long text, and no transcribe.model to cut it by"
        yield row


def row_of(recording, stretch):
    """What every stretch of a recording has in the table."""
    segment_id = f"{recording['recording_id']}_{stretch['start']}_{stretch['end']}"
    inherited = {name: recording[name] for name in INHERITED}
    return inherited | stretch | {"segment_id": segment_id}


if "snakemake" in globals():
    main(snakemake)
