"""Merge the shards of a corpus into one table, apply the user's corrections, clean the texts."""

import logging
from pathlib import Path

from voicekiln import job, notices
from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import corrections, facts
from voicekiln.corpus.limits import stop, too_much_dropped
from voicekiln.store import tables
from voicekiln.store.items import STORE, Store
from voicekiln.text.normalize import TextSettings

log = logging.getLogger("correct")


def main(smk):
    job.start(smk)
    corpus, settings, digest = smk.wildcards.corpus, smk.params.settings, Path(smk.output.digest)
    shards = {
        "recordings": [Path(path) for path in smk.input.recordings],
        "segments": [Path(path) for path in smk.input.segments],
        "acoustics": [Path(path) for path in smk.input.acoustics],
    }
    names = [path.parent.name for path in shards["recordings"]]
    notices.repeat(notices.AFTER_TEXTS, corpus, names, log)
    corrected_by = next(iter(smk.input.corrections), None)
    given = corrections.read(corrected_by)
    found = facts.gather(
        shards,
        given,
        Store(STORE, "normalize"),
        SegmentSettings(**settings["segment"]),
        TextSettings(**settings["text"]),
        mos=bool(smk.params.mos),
    )
    facts.warn(found, corpus, corrected_by)
    log.info(
        "%d recordings, %d segments, %d with edges moved by hand, %d corrections, %d of them not "
        "applied",
        len(found.recordings),
        len(found.segments),
        found.n_moved,
        len(given),
        len(found.conflicts),
    )
    files = facts.write(found, digest.parent)
    stop(too_much_dropped(found.segments, facts.STEPS, settings["max_loss"], corpus))
    tables.write_digest(digest, files)


if "snakemake" in globals():
    main(snakemake)
