"""Look whether a base is one and fits vocabulary and architecture, before hours of other steps."""

from pathlib import Path

from voicekiln import families, job
from voicekiln.provenance import require_sha256
from voicekiln.store.files import write_json
from voicekiln.tokenizers import vocab
from voicekiln.weights import files as checkpoints


def main(smk):
    job.start(smk)
    for key, path in (("checkpoint", smk.input.checkpoint), ("vocab", smk.input.base_vocab)):
        named = f"runs.{smk.wildcards.run}.base.{key}_sha256"
        require_sha256(Path(path), smk.params.sha256[key], named)
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
    write_json(Path(smk.output[0]), record)


if "snakemake" in globals():
    main(snakemake)
