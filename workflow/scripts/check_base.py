"""Look whether a base is one and fits vocabulary and architecture, before hours of other steps."""

import json
from pathlib import Path

from voicekiln import checkpoints, families, job
from voicekiln.store.files import write_atomic
from voicekiln.tokenizers import vocab


def main(smk):
    job.start(smk)
    family = families.get(smk.params.settings["family"])
    found = family.check_base(
        Path(smk.input.checkpoint),
        vocab.read_vocab(smk.input.base_vocab),
        family.architecture(smk.params.architecture),
    )
    record = {
        "weights_from": found.source,
        "weights_sha256": checkpoints.state_sha256(found.weights),
    }
    write_atomic(Path(smk.output[0]), json.dumps(record, indent=1) + "\n")


if "snakemake" in globals():
    main(snakemake)
