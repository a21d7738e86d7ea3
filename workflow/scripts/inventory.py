"""List the recordings of one shard and look into each."""

import logging
from pathlib import Path

from voicekiln import job, tables
from voicekiln.corpus.inventory import examine
from voicekiln.corpus.listing import deal, list_recordings

log = logging.getLogger("inventory")


def main(smk):
    job.start(smk)
    corpus = smk.params.corpus
    shard = int(smk.wildcards.shard)
    notes = []
    rows = list_recordings(corpus, smk.wildcards.corpus, notes.append)
    mine = deal(rows, corpus["shards"])[shard]
    for note in notes if shard == 0 else []:  # of the whole corpus: said once
        log.warning("%s", note)
        job.say(note)
    found = []
    for row in job.track(mine, len(mine), "recordings looked into"):
        found.append(examine(row, corpus["textgrid_tier"]))
        if found[-1]["status"] == "bad":
            log.warning("%s: not used: %s", found[-1]["path"], found[-1]["reason"])
    bad = sum(row["status"] == "bad" for row in found)
    log.info("%d recordings, %d of them cannot be used", len(found), bad)
    tables.write(tables.frame(found, tables.RECORDINGS), Path(smk.output.table), tables.RECORDINGS)


if "snakemake" in globals():
    main(snakemake)
