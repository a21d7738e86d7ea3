"""Write the chosen checkpoint as a voice that upstream's own inference loads."""

import json
from pathlib import Path

from voicekiln import families, job
from voicekiln.audio.span import load_span
from voicekiln.corpus.dataset import load
from voicekiln.store.items import Store
from voicekiln.tokenizers.vocab import read_vocab
from voicekiln.training.state import WEIGHTS

STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    manifest = Path(smk.output.manifest)
    settings = smk.params.settings
    family = families.get(settings["family"])
    choice = json.loads(Path(smk.input.choice).read_text())
    reset = json.loads(Path(smk.input.reset).read_text())
    segments = load(smk.input.datasets, smk.params.settings["train_on"]).set_index("segment_id")
    reference = segments.loc[choice["reference"]["segment_id"]]
    checkpoint = manifest.parent.parent / "training" / "checkpoints" / choice["checkpoint"]
    done = family.export(
        manifest.parent,
        weights=family.read_weights(checkpoint / WEIGHTS),
        update=choice["update"],
        arch=family.architecture(smk.params.architecture),
        vocab=read_vocab(Path(smk.input.vocab)),
        reference=load_span(
            Store(STORE, "normalize"),
            reference["item"],
            reference["start"],
            reference["end"],
            family.RATE_HZ,
        ),
        reference_text=reference["text"],
        name=smk.wildcards.run,
        checkpoint_format=settings["export"]["format"],
        about={
            "base": reset["base"],
            "corpora": sorted({Path(path).parent.name for path in smk.input.datasets}),
            "languages": sorted(segments["language"].unique()),
            "speakers": sorted(segments["speaker"].unique()),
            "epoch": choice["epoch"],
            "validation_loss": choice["validation_loss"],
            "reference_speaker": reference["speaker"],
        },
    )
    job.say(f"the voice is in {manifest.parent} ({done['checkpoint']})")


if "snakemake" in globals():
    main(snakemake)
