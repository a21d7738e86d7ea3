"""Write the page on which people listen to the segments of a corpus and correct them."""

from pathlib import Path

from voicekiln import job
from voicekiln.provenance import sha256_file
from voicekiln.review import facts
from voicekiln.review.build import Reviewed, build
from voicekiln.store import tables


def main(smk):
    job.start(smk)
    digest, merged = Path(smk.input.digest), Path(smk.input.merged)
    corrections = next(iter(smk.input.corrections), None)
    what = Reviewed(
        corpus=smk.wildcards.corpus,
        segments=tables.read_checked(digest, "segments.parquet"),
        recordings=tables.read_checked(digest, "recordings.parquet"),
        corrections=Path(corrections) if corrections else None,
        conflicts=facts.read_conflicts(merged.parent / "conflicts.jsonl"),
        digest=sha256_file(digest)[:16],
    )
    build(Path(smk.output.page), what, smk.params.settings["review"])


if "snakemake" in globals():
    main(snakemake)
