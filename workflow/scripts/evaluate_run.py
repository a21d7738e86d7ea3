"""Choose the checkpoint of a run and synthesise the test sentences with it."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import soundfile
import torch
from voicekiln import families, job
from voicekiln.audio.span import load_span
from voicekiln.corpus.dataset import load
from voicekiln.families import base as bases
from voicekiln.gpu import device
from voicekiln.store.files import atomic_folder, write_json
from voicekiln.store.items import STORE, Store
from voicekiln.training.state.checkpoints import WEIGHTS
from voicekiln.voice import choice, references, sentences

log = logging.getLogger("evaluate")


def main(smk):
    job.start(smk)
    torch.set_num_threads(smk.threads)
    target = Path(smk.output.choice)
    training = Path(smk.input.finished).parent
    settings = smk.params.settings["evaluate"]
    family = families.get(smk.params.settings["family"])
    segments = load(smk.input.datasets, smk.params.settings["train_on"])
    by = choice.best_by(training / "checkpoints")
    rows = choice.candidates(training / "checkpoints", by)
    course = choice.course(training, by)
    chosen, why = choice.choose(rows, settings["checkpoint"], by, course)
    good_s = references.Range(*family.REFERENCE_S)
    found = references.references(segments, good_s, settings["reference"])
    for warning in references.poor(found):
        log.warning("%s", warning)
    lines = sentences.plan(segments, found, settings)
    warn_of_silent(found, settings["speakers"])
    base = choice.base_loss(training)
    job.say(f"update {chosen['update']} is chosen: {why}")
    checkpoint = training / "checkpoints" / chosen["checkpoint"]
    # replaced as a whole, so that no sample of an earlier evaluation stays
    with atomic_folder(target.parent / "samples") as folder:
        samples = speak(smk, family, settings, found, lines, checkpoint, folder)
    record = {
        **chosen,
        "why": why,
        "base_validation_loss": base,
        "candidates": rows,
        "reference": found[0].record(),
        "references": [one.record() for one in found],
        "samples": samples,
    }
    write_json(target, record)


def warn_of_silent(found, wanted):
    """Warn if `evaluate.speakers` is a number that leaves speakers without samples."""
    everyone = len(sentences.speaking(found, "all"))
    n = len(sentences.speaking(found, wanted))
    if isinstance(wanted, int) and n < everyone:
        log.warning(
            "only the %d of %d speakers with most training audio get audio samples; "
            "set evaluate.speakers to all to hear everyone",
            n,
            everyone,
        )


def speak(smk, family, settings, found, lines, checkpoint, folder):
    """Synthesise the sentences into a folder.

    Returns:
        entries of choice.json, one per sample.
    """
    samples, n_of = [], Counter()
    if lines:
        voice = load_voice(smk, family, checkpoint)
        stems = references.stems([one.record() for one in found])
        names = dict(zip(map(id, found), stems, strict=True))
        prompts: dict = {}
    for i, line in enumerate(job.track(lines, len(lines), "sentences synthesised")):
        one = line.reference
        if id(one) not in prompts:
            prompts = {id(one): prompt(voice, family, one.row)}
        audio = family.speak(
            voice.model,
            voice.tokenizer,
            voice.decoder,
            prompts[id(one)],
            line.text,
            line.language,
            seed=settings["seed"] + i,
            **smk.params.settings["speak"],
        )
        name = f"{names[id(one)]}_{n_of[id(one)]:02d}.wav"
        n_of[id(one)] += 1
        soundfile.write(folder / name, audio.clip(-1, 1), family.SPEECH_HZ, subtype="PCM_16")
        samples.append(
            {
                "file": f"samples/{name}",
                "text": line.text,
                "language": line.language,
                "speaker": one.speaker,
                "reference": one.row["segment_id"],
            }
        )
        log.info("%s: %.2f s, %s", name, len(audio) / family.SPEECH_HZ, line.text)
    return samples


class Voice(NamedTuple):
    """Arguments of the family's `speak`, and its extractor for prompts."""

    model: torch.nn.Module
    tokenizer: families.Tokenizer
    decoder: Any
    extractor: Callable[[torch.Tensor], families.Arrays]


def load_voice(smk, family, checkpoint):
    """Load the model with the EMA weights of a checkpoint."""
    on, base = device(smk.resources.gpu), bases.files(smk.params.base)
    tokenizer = family.tokenizer(Path(smk.input.coverage).parent)
    model = family.build(family.architecture(smk.params.architecture, base), tokenizer.n_tokens)
    model.load_state_dict(family.read_weights(checkpoint / WEIGHTS), strict=True)
    return Voice(
        model.to(on).eval(),
        tokenizer,
        family.decoder(base, smk.params.vocoder, on),
        family.extractor(base, smk.params.settings["features"], on),
    )


def prompt(voice, family, row):
    """The reference clip of a row of the data set."""
    store = Store(STORE, "normalize")
    samples = load_span(store, row["item"], row["start"], row["end"], family.RATE_HZ)
    samples = torch.from_numpy(samples)
    language = row["language"] if isinstance(row["language"], str) else ""
    ids = torch.tensor(voice.tokenizer.encode(row["text"], language))
    arrays = voice.extractor(samples)
    return families.Clip(row["segment_id"], row["text"], language, ids, arrays, samples=samples)


if "snakemake" in globals():
    main(snakemake)
