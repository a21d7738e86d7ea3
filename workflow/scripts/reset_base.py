"""Strip the training state of the base and grow its vocabulary."""

import json
from pathlib import Path

from voicekiln import families, job
from voicekiln.store.files import write_json
from voicekiln.tokenizers import vocab


def main(smk):
    job.start(smk)
    settings = smk.params.settings
    family = families.get(settings["family"])
    record = Path(smk.output.record)
    checkpoint = Path(smk.input.checkpoint)
    if checkpoint.name == "MANIFEST.json":  # another run's voice
        checkpoint = checkpoint.parent / json.loads(checkpoint.read_text())["checkpoint"]
    done = family.reset(
        checkpoint,
        vocab.read_vocab(smk.input.base_vocab),
        vocab.read_vocab(smk.input.vocab),
        record.parent
        / "pretrained_base.safetensors",  # upstream's Trainer starts from it under this name,
        settings["reset"]["seed"],
        family.architecture(smk.params.architecture),
    )
    write_json(record, done)
    added = len(done["vocabulary"]["added"])
    job.say(f"training state taken away, {added} rows added; every other tensor is bit-equal")


if "snakemake" in globals():
    main(snakemake)
