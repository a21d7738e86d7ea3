"""Cut the recordings of one shard into segments; known texts bring their own."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from voicekiln import job, tables
from voicekiln.audio import segment as audio
from voicekiln.corpus.segments import known_spans, measure
from voicekiln.store.items import Store

log = logging.getLogger("segment")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    config = smk.params.settings["segment"]
    settings = audio.SegmentSettings(**config)
    normalised = Store(STORE, "normalize")
    store = Store(STORE, "segment", {"settings": config, "version": audio.VERSION})
    recordings = tables.read(Path(smk.input.table))
    recordings = recordings[recordings["status"] == "ok"]
    rows, computed, events = [], 0, {}
    for recording in job.track(
        recordings.to_dict("records"), len(recordings), "recordings segmented"
    ):
        known = (
            None if tables.missing(recording["known"]) else json.loads(recording["known"])
        )
        item = recording["item"]
        given = known_spans(known, recording["rate_hz"], recording["n_samples"])
        key = store.key(item=item, given=given)
        record = store.get(key)
        if record is None:
            computed += 1
            clipped = normalised.require(item)["clipped"]
            record = measure(normalised, item, given, clipped, settings)
            store.put(key, record)
        for event, count in record["events"].items():
            events[event] = events.get(event, 0) + count
        texts = [entry["text"] for entry in known] if known else [None] * len(record["spans"])
        for text, span in zip(texts, record["spans"], strict=True):
            start, end = span["start"], span["end"]
            rows.append(
                {
                    "segment_id": f"{recording['recording_id']}_{start}_{end}",
                    **{
                        name: recording[name]
                        for name in (
                            "recording_id",
                            "root",
                            "path",
                            "item",
                            "rate_hz",
                            "speaker",
                            "language",
                        )
                    },
                    **span,
                    "text": text,
                    "raw_text": text,
                    "text_source": None if text is None else "known",
                    "status": "keep",
                }
            )
    log.info("%d recordings, %d segments, %d items computed", len(recordings), len(rows), computed)
    log.info("events: %s", ", ".join(f"{n} {name}" for name, n in sorted(events.items())))
    tables.write(tables.frame(rows, tables.SEGMENTS), Path(smk.output.table), tables.SEGMENTS)


if "snakemake" in globals():
    main(snakemake)
