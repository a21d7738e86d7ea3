"""Read the header, content hash and text of each recording of one shard."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.corpus.sources import channels, inventory, listing
from voicekiln.store import tables
from voicekiln.store.items import STORE, Store

log = logging.getLogger("inventory")


def main(smk):
    job.start(smk)
    settings = smk.params.settings
    folder = Path("results/corpora", smk.wildcards.corpus)
    rows = listing.read(folder, smk.wildcards.shard, smk.params.listing)
    store = Store(STORE, "inventory", {"version": inventory.VERSION})
    look = inventory.remembering(store)
    found = []
    for row in job.track(rows, len(rows), "recordings looked into"):
        file = inventory.examine(row, settings["textgrid_tier"], look, settings["keep"])
        for one in channels.split(file, row, settings["channels"]):
            found.append(one)
            if one["status"] == "bad":
                log.info("%s: not used: %s", one["path"], one["reason"])
    bad = sum(row["status"] == "bad" for row in found)
    log.info("%d recordings, %d of them cannot be used", len(found), bad)
    table = tables.frame(found, tables.RECORDINGS)
    tables.write(table, Path(smk.output.table), tables.RECORDINGS, store)


if "snakemake" in globals():
    main(snakemake)
