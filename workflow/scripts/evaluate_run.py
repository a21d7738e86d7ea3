"""Choose the checkpoint of a run and speak the test sentences with it."""

import json
import logging
import os
import shutil
from collections import Counter
from pathlib import Path

import soundfile
import torch
from voicekiln import families, job
from voicekiln.audio.span import load_span
from voicekiln.corpus.dataset import load
from voicekiln.store.files import temporary, write_atomic
from voicekiln.store.items import Store
from voicekiln.tokenizers.vocab import index, read_vocab
from voicekiln.training.state.checkpoints import WEIGHTS
from voicekiln.voice import choice as evaluate
from voicekiln.voice import references as reference
from voicekiln.voice import sentences as spoken

log = logging.getLogger("evaluate")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    torch.set_num_threads(smk.threads)
    target = Path(smk.output.choice)
    training = Path(smk.input.finished).parent
    settings = smk.params.settings["evaluate"]
    family = families.get(smk.params.settings["family"])
    segments = load(smk.input.datasets, smk.params.settings["train_on"])
    by = evaluate.best_by(training / "checkpoints")
    rows = evaluate.candidates(training / "checkpoints", by)
    course = evaluate.course(training, by)
    chosen, why = evaluate.choose(rows, settings["checkpoint"], by, course)
    good_s = reference.Range(*family.REFERENCE_S)
    references = reference.references(segments, good_s, settings["reference"])
    for warning in reference.poor(references):
        log.warning("%s", warning)
    lines = spoken.plan(segments, references, settings)
    warn_of_silent(references, settings["speakers"])
    base = evaluate.base_loss(training)
    job.say(f"update {chosen['update']} is chosen: {why}")
    checkpoint = training / "checkpoints" / chosen["checkpoint"]
    choice = {
        **chosen,
        "why": why,
        "base_validation_loss": base,
        "candidates": rows,
        "reference": references[0].record(),
        "references": [one.record() for one in references],
        "samples": speak(smk, family, settings, references, lines, checkpoint),
    }
    write_atomic(target, json.dumps(choice, indent=1, ensure_ascii=False) + "\n")


def warn_of_silent(references, wanted):
    """Warn if `evaluate.speakers` is a number that leaves speakers without samples."""
    everyone = len(spoken.speaking(references, "all"))
    n = len(spoken.speaking(references, wanted))
    if isinstance(wanted, int) and n < everyone:
        log.warning(
            "samples are spoken for the %d of %d speakers with most training audio; "
            "set evaluate.speakers to all to hear everyone",
            n,
            everyone,
        )


def speak(smk, family, settings, references, lines, checkpoint):
    """Write the spoken sentences into the folder samples beside choice.json.

    The folder is replaced as a whole, so that no sample of an earlier evaluation stays.
    """
    folder = Path(smk.output.choice).parent / "samples"
    part = temporary(folder)
    part.mkdir(parents=True)
    samples, n_of = [], Counter()
    if lines:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        vocab = index(read_vocab(Path(smk.input.vocab)))
        model = family.build(family.architecture(smk.params.architecture), len(vocab))
        family.load(model, family.read_weights(checkpoint / WEIGHTS))
        model = model.to(device).eval()
        vocoder = family.load_vocoder(smk.params.vocoder, device)
        stems = reference.stems([one.record() for one in references])
        names = dict(zip(map(id, references), stems, strict=True))
        clips: dict = {}
    for i, line in enumerate(job.track(lines, len(lines), "sentences spoken")):
        one = line.reference
        if id(one) not in clips:
            clips = {id(one): clip_of(one.row, family.RATE_HZ)}
        audio = family.speak(
            model,
            vocab,
            clips[id(one)],
            one.row["text"],
            line.text,
            steps=settings["steps"],
            cfg=settings["cfg_strength"],
            seed=settings["seed"] + i,
            vocoder=vocoder,
        )
        name = f"{names[id(one)]}_{n_of[id(one)]:02d}.wav"
        n_of[id(one)] += 1
        soundfile.write(part / name, audio.clip(-1, 1), family.RATE_HZ, subtype="PCM_16")
        samples.append(
            {
                "file": f"samples/{name}",
                "text": line.text,
                "language": line.language,
                "speaker": one.speaker,
                "reference": one.row["segment_id"],
            }
        )
        log.info("%s: %.2f s, %s", name, len(audio) / family.RATE_HZ, line.text)
    if folder.exists():
        old = temporary(folder)
        os.rename(folder, old)
        shutil.rmtree(old)
    os.rename(part, folder)
    return samples


def clip_of(row, rate_hz):
    """Samples of a segment."""
    return load_span(Store(STORE, "normalize"), row["item"], row["start"], row["end"], rate_hz)


if "snakemake" in globals():
    main(snakemake)
