"""Strip the training state of the base and add rows for the new tokens."""

from pathlib import Path

from voicekiln import families, job
from voicekiln.families import base as bases
from voicekiln.store.files import read_json, write_json


def main(smk):
    job.start(smk)
    settings = smk.params.settings
    family = families.get(settings["family"])
    base = bases.files(smk.params.base)
    record = Path(smk.output.record)
    done = family.reset(
        base,
        family.architecture(smk.params.architecture, base),
        family.tokenizer(Path(smk.input.coverage).parent),
        settings["reset"],
        read_json(Path(smk.input.coverage))["held_out"],
        record.parent,
    )
    write_json(record, done)
    added = len(done["vocabulary"]["added"])
    job.say(f"training state removed, {added} rows added; every other tensor is bit-equal")


if "snakemake" in globals():
    main(snakemake)
