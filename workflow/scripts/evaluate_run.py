"""Choose the checkpoint of a run and let it speak the test sentences."""

import json
import logging
from pathlib import Path

import soundfile
import torch
from voicekiln import evaluate, families, job
from voicekiln.audio.span import load_span
from voicekiln.corpus.dataset import load
from voicekiln.store.files import temporary, write_atomic
from voicekiln.store.items import Store
from voicekiln.tokenizers.vocab import index, read_vocab
from voicekiln.training.state import WEIGHTS

log = logging.getLogger("evaluate")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    torch.set_num_threads(smk.threads)
    target = Path(smk.output.choice)
    training = Path(smk.input.finished).parent
    settings = smk.params.settings["evaluate"]
    segments = load(smk.input.datasets, smk.params.settings["train_on"])
    by = evaluate.best_by(training / "checkpoints")
    rows = evaluate.candidates(training / "checkpoints", by)
    course = evaluate.course(training, by)
    chosen, why = evaluate.choose(rows, settings["checkpoint"], by, course)
    reference = evaluate.reference(segments, settings["reference"])
    base = evaluate.base_loss(training)
    job.say(f"update {chosen['update']} is chosen: {why}")
    choice = {
        **chosen,
        "why": why,
        "base_validation_loss": base,
        "candidates": rows,
        "reference": {
            "segment_id": reference["segment_id"],
            "speaker": reference["speaker"],
            "text": reference["text"],
        },
        "samples": speak(smk, settings, segments, reference, training / "checkpoints", chosen),
    }
    write_atomic(target, json.dumps(choice, indent=1, ensure_ascii=False) + "\n")


def speak(smk, settings, segments, reference, checkpoints, chosen):
    """Write the spoken sentences beside choice.json; their texts and files."""
    validation = segments[segments["split"] == "val"].sort_values("segment_id")
    texts = settings["sentences"] or list(validation["text"][: settings["n_sentences"]])
    if not texts:
        return []
    family = families.get(smk.params.settings["family"])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    vocab = index(read_vocab(Path(smk.input.vocab)))
    model = family.build(family.architecture(smk.params.architecture), len(vocab))
    family.load(model, family.read_weights(checkpoints / chosen["checkpoint"] / WEIGHTS))
    model = model.to(device).eval()
    vocoder = family.load_vocoder(smk.params.vocoder, device)
    clip = load_span(
        Store(STORE, "normalize"),
        reference["item"],
        reference["start"],
        reference["end"],
        family.RATE_HZ,
    )
    folder = Path(smk.output.choice).parent / "samples"
    folder.mkdir(parents=True, exist_ok=True)
    samples = []
    for i, text in enumerate(job.track(texts, len(texts), "sentences spoken")):
        spoken = family.speak(
            model,
            vocab,
            clip,
            reference["text"],
            text,
            steps=settings["steps"],
            cfg=settings["cfg_strength"],
            seed=settings["seed"] + i,
            vocoder=vocoder,
        )
        file = folder / f"{i:02d}.wav"
        part = temporary(file)
        soundfile.write(part, spoken.clip(-1, 1), family.RATE_HZ, subtype="PCM_16")
        part.replace(file)
        samples.append({"file": f"samples/{file.name}", "text": text})
        log.info("%s: %.2f s, %s", file, len(spoken) / family.RATE_HZ, text)
    return samples


if "snakemake" in globals():
    main(snakemake)
