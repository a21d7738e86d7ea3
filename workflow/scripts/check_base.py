"""Check that a base fits the run's family and architecture, before hours of other steps."""

from pathlib import Path

from voicekiln import families, job
from voicekiln.families import base as bases
from voicekiln.families import facts
from voicekiln.provenance import require_sha256
from voicekiln.store.files import write_json
from voicekiln.weights import files as checkpoints


def main(smk):
    job.start(smk)
    files = bases.files(smk.params.base)
    for name, path in files.items():
        named = f"runs.{smk.wildcards.run}.base.{name}_sha256"
        require_sha256(path, smk.params.sha256[name], named)
    family = families.get(smk.params.settings["family"])
    weights = family.check(files, family.architecture(smk.params.architecture, files))
    record = {"weights_sha256": checkpoints.state_sha256(weights)}
    write_json(Path(smk.output[0]), record)
    job.say(f"All required files found for model: {bases.model_name(files)}")
    if licence := facts.of(smk.params.settings["family"]).licence:
        job.say(f"licence: {licence}")


if "snakemake" in globals():
    main(snakemake)
