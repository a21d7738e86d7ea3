"""The voice as a folder that coqui-tts's own inference loads.

model.pth                {"config", "model"}, the tensors of coqui's `Xtts`; no optimiser or DVAE
unoptimize_model.pth     the same weights with the DVAE, in the layout of coqui's trainer (optional)
config.json              the release's, with this vocabulary's size and the voice's languages
vocab.json               tokens and merges
speakers_xtts.pth        the release's own voices
reference.wav, .txt      the main reference clip and its text
references/<name>.*      one for every speaker and language
HOW_TO_SPEAK.md          coqui-tts's calls for these files

The caller adds MANIFEST.json, see `voicekiln.voice.manifest`. A run that starts from the voice
takes the DVAE and the mel statistics, which no training changes, from the release.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from voicekiln.errors import UserError
from voicekiln.families import Files, facts
from voicekiln.families.xtts import how_to_speak, mel, sizes
from voicekiln.families.xtts import weights as xtts_weights
from voicekiln.families.xtts.cleaners import TAG, code
from voicekiln.families.xtts.text import VOCAB, Pieces
from voicekiln.families.xtts.vocoder import SPEECH_HZ
from voicekiln.store.files import atomic
from voicekiln.tokenizers import bpe
from voicekiln.weights import files as checkpoints

MODEL, UNOPTIMIZED = "model.pth", "unoptimize_model.pth"
CONFIG, SPEAKERS = "config.json", "speakers_xtts.pth"
BASE_FILES = {"config": CONFIG, "model": MODEL, "speakers": SPEAKERS, "vocab": VOCAB}


def export(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    base: Files,
    arch: Mapping[str, Any],
    tokenizer: Pieces,
    prompt_audio: Mapping[str, np.ndarray],
    prompt_text: Mapping[str, str],
    settings: Mapping[str, Any],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the folder, apart from its manifest. The same bytes for the same arguments.

    Args:
        folder: an empty one.
        weights: of the GPT, by its own names.
        base: the release, whose decoder, speakers and DVAE go with the voice.
        arch: from `architecture`.
        tokenizer: the run's.
        prompt_audio: samples `[n]` at 24 kHz of each reference clip, by file name without suffix,
            the main one first.
        prompt_text: text of each.
        settings: `unoptimized`: whether to write unoptimize_model.pth.
        about: `name` of the voice, `update` that the weights are from, and its `languages`.

    Returns:
        entries for the manifest.

    Raises:
        UserError: weights that do not fit, an empty reference.
    """
    folder = Path(folder)
    for stem, samples in prompt_audio.items():
        if not prompt_text[stem].strip() or len(samples) == 0:
            raise UserError(f"export: the reference clip {stem} or its text is empty")
    sizes.require_shapes(weights, arch, tokenizer.n_tokens, "the chosen checkpoint")

    languages = list(about.get("languages", ()))
    config = configuration(base, arch, tokenizer)
    state = {xtts_weights.GPT + name: tensor for name, tensor in weights.items()}
    state |= xtts_weights.read(base["model"]).rest
    state.setdefault(xtts_weights.MEL_STATS, mel.read_stats(base["mel_stats"]))
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.write_atomic(folder / MODEL, {"config": config, "model": state})
    if settings["unoptimized"]:
        whole = {xtts_weights.TRAINER + name: tensor for name, tensor in state.items()}
        whole |= {f"dvae.{name}": t for name, t in checkpoints.read(base["dvae"]).items()}
        # programs that make model.pth from this file delete its optimiser, and fail without one
        content = {"config": config, "model": whole, "optimizer": {}, "step": about["update"]}
        checkpoints.write_atomic(folder / UNOPTIMIZED, content)
    write_text(folder / CONFIG, json.dumps(config, indent=4, ensure_ascii=False) + "\n")
    bpe.write(folder / VOCAB, tokenizer.content)
    shutil.copyfile(base["speakers"], folder / SPEAKERS)
    (folder / "references").mkdir()
    stems = list(prompt_audio)
    for stem in stems:
        write_reference(folder / "references" / stem, prompt_audio[stem], prompt_text[stem])
    write_reference(folder / "reference", prompt_audio[stems[0]], prompt_text[stems[0]])
    page = how_to_speak.page(about["name"], stems, languages, facts.of("xtts").licence)
    write_text(folder / "HOW_TO_SPEAK.md", page)
    return {
        "checkpoint": MODEL,
        "base_files": BASE_FILES,
        "architecture": dict(arch),
        "weights_sha256": checkpoints.state_sha256(weights),
        "unoptimized": UNOPTIMIZED if settings["unoptimized"] else None,
    }


def configuration(base: Files, arch: Mapping[str, Any], tokenizer: Pieces) -> dict[str, Any]:
    """The release's config.json with the values that the voice has changed.

    Its languages are those that the vocabulary has: also of earlier runs in a chain of voices.
    """
    config = sizes.read_config(base["config"])
    args = config["model_args"] | {
        "gpt_number_text_tokens": tokenizer.n_tokens,
        "gpt_start_text_token": arch["start_text"],
        "gpt_stop_text_token": arch["stop_text"],
    }
    known = list(config.get("languages", ()))
    tags = sorted(token.strip("[]") for token in tokenizer.vocab if TAG.fullmatch(token))
    new = [one for one in tags if code(one) not in map(code, known)]
    return config | {"model_args": args, "languages": known + new}


def write_reference(path: Path, samples: np.ndarray, text: str) -> None:
    """Write a clip and its text as `path` with the suffixes .wav and .txt."""
    write_text(path.with_name(path.name + ".txt"), text.strip() + "\n")
    with atomic(path.with_name(path.name + ".wav"), sync=True) as temporary:
        soundfile.write(temporary, samples, SPEECH_HZ, subtype="PCM_16", format="WAV")


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 atomically."""
    with atomic(path, sync=True) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
