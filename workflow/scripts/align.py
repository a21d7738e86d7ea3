"""Hold the transcripts of one shard against the audio and against what is known to be said."""

import logging
from pathlib import Path

from voicekiln import job, tables
from voicekiln.corpus import trust

log = logging.getLogger("align")


def main(smk):
    job.start(smk)
    table = tables.read(Path(smk.input.table))
    table = trust.inspect(table)
    tables.write(table, Path(smk.output.table), tables.SEGMENTS)


if "snakemake" in globals():
    main(snakemake)
