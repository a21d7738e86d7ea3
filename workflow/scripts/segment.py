"""Cut the recordings of one shard into segments; reference texts bring their own spans."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.audio import segment as cutting
from voicekiln.corpus.segments.rows import Cutter
from voicekiln.corpus.segments.statistics import by_engine
from voicekiln.store import tables
from voicekiln.store.files import write_json
from voicekiln.store.items import STORE, Store

log = logging.getLogger("segment")


def main(smk):
    job.start(smk)
    settings = cutting.SegmentSettings(**smk.params.settings["segment"])
    store = Store(STORE, "segment", cutting.identity(settings))
    cutter = Cutter(settings, Store(STORE, "normalize"), store, smk.params.recogniser)
    recordings = tables.read(Path(smk.input.table))
    recordings = recordings[recordings["status"] == "ok"].to_dict("records")
    rows = []
    for recording in job.track(recordings, len(recordings), "recordings segmented"):
        rows += cutter.rows(recording)
    log.info(
        "%d recordings, %d segments, %d items computed",
        len(recordings),
        len(rows),
        cutter.computed,
    )
    table = tables.frame(rows, tables.SEGMENTS)
    log.info("%s", by_engine(table))
    tables.write(table, Path(smk.output.table), tables.SEGMENTS, store)
    write_json(Path(smk.output.events), cutter.events, sort_keys=True)


if "snakemake" in globals():
    main(snakemake)
