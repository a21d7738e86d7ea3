"""Hold the transcripts of one shard against the audio and against what is known to be said."""

import json
import logging
from pathlib import Path

from voicekiln import job
from voicekiln.audio.segment import SegmentSettings, identity
from voicekiln.corpus import trust
from voicekiln.corpus.segments import edges
from voicekiln.corpus.segments.reading import read_along
from voicekiln.store import tables
from voicekiln.store.files import write_atomic
from voicekiln.store.items import Store

log = logging.getLogger("align")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    settings = smk.params.settings["align"]
    table = tables.read(Path(smk.input.table))
    recordings = tables.read(Path(smk.input.recordings))
    made = []
    if settings["check_edges"]:
        cutting = SegmentSettings(**smk.params.settings["segment"])
        store = Store(STORE, "align", {"segment": identity(cutting), "version": edges.VERSION})
        made.append(store)
        audio = Store(STORE, "normalize")
        table = edges.mend(table, cutting, audio, store)
    table, unsaid = read_along(table, recordings, settings["max_cer"])
    table = trust.inspect(table)
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in unsaid]
    write_atomic(Path(smk.output.unsaid), "".join(lines))
    tables.write(table, Path(smk.output.table), tables.SEGMENTS, *made)


if "snakemake" in globals():
    main(snakemake)
