"""Measure the segments of one shard: noise, bandwidth, pitch, speaker, fingerprint."""

import logging
from pathlib import Path

from voicekiln import job, tables

log = logging.getLogger("measure")


def main(smk):
    job.start(smk)
    table = tables.read(Path(smk.input.table))
    tables.write(table, Path(smk.output.table), tables.SEGMENTS)
    acoustics = tables.frame(table[["segment_id"]].to_dict("records"), tables.ACOUSTICS)
    tables.write(acoustics, Path(smk.output.acoustics), tables.ACOUSTICS)


if "snakemake" in globals():
    main(snakemake)
