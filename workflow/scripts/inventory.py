"""List the recordings of one shard and look into each."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.corpus.sources import channels, inventory
from voicekiln.corpus.sources.listing import deal, list_recordings
from voicekiln.corpus.sources.lists import Summary
from voicekiln.store import tables
from voicekiln.store.items import Store

log = logging.getLogger("inventory")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    corpus = smk.params.corpus
    shard = int(smk.wildcards.shard)
    notes = []
    rows = list_recordings(corpus, smk.wildcards.corpus, notes.append)
    mine = deal(rows, corpus["shards"])[shard]
    for note in notes if shard == 0 else []:  # they are about the whole corpus
        if isinstance(note, Summary):
            log.info("%s", note)
            job.say(note)
        else:
            log.warning("%s", note)
    store = Store(STORE, "inventory", {"version": inventory.VERSION})
    look = inventory.remembering(store)
    found = []
    for row in job.track(mine, len(mine), "recordings looked into"):
        file = inventory.examine(row, corpus["textgrid_tier"], look, corpus["keep"])
        for one in channels.split(file, row, corpus["channels"]):
            found.append(one)
            if one["status"] == "bad":
                log.info("%s: not used: %s", one["path"], one["reason"])
    bad = sum(row["status"] == "bad" for row in found)
    log.info("%d recordings, %d of them cannot be used", len(found), bad)
    table = tables.frame(found, tables.RECORDINGS)
    tables.write(table, Path(smk.output.table), tables.RECORDINGS, store)


if "snakemake" in globals():
    main(snakemake)
