"""Hold every segment of a corpus against the rules."""

import logging
from pathlib import Path

from voicekiln import job, tables
from voicekiln.corpus.corrections import uphold
from voicekiln.corpus.validate import ValidateSettings, validate

log = logging.getLogger("validate")


def main(smk):
    job.start(smk)
    segments = tables.read_checked(Path(smk.input.digest), "segments.parquet")
    table = uphold(validate(segments, ValidateSettings(**smk.params.settings["validate"])))
    dropped = table[table["step"] == "validate"]
    for reason, rows in dropped.groupby("reason"):
        log.info("dropped, %s: %d segments", reason, len(rows))
    log.info("%d of %d segments kept", int((table["status"] == "keep").sum()), len(table))
    digest = Path(smk.output.digest)
    target = digest.parent / "segments.parquet"
    tables.write(table, target, tables.SEGMENTS)
    tables.write_digest(digest, [target])


if "snakemake" in globals():
    main(snakemake)
