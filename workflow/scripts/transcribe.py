"""Transcribe the segments of one shard that have no text yet, and check those that do."""

from pathlib import Path

from voicekiln import job
from voicekiln.corpus.transcripts import Models, complete
from voicekiln.store import tables
from voicekiln.store.items import STORE, Store


def main(smk):
    job.start(smk)
    settings = smk.params.settings["transcribe"]
    table = tables.read(Path(smk.input.table))
    table["words"] = None
    models = None
    if settings["model"] is not None:
        files = [Path(path) for path in (smk.input.model, smk.input.second_model) if path]
        models = Models(files, smk.params.sha256, settings, smk.threads, smk.resources.gpu)
    made = complete(table, models, Store(STORE, "normalize"), STORE, smk.params.decoded_later)
    tables.write(table, Path(smk.output.table), tables.TRANSCRIBED, *made)


if "snakemake" in globals():
    main(snakemake)
