"""The voice as a folder that f5_tts's own inference loads.

model_<update>.pt        {"ema_model_state_dict": {initted, step, ema_model.*}}, or the inner
                         dictionary as model_<update>.safetensors
vocab.txt                tokens in the order of their ids
config.yaml              architecture and mel in the layout of upstream's configs/
reference.wav, .txt      the main reference clip and its text
references/<name>.*      one for every speaker and language
checkpoints/vocos-mel-24khz/   the vocoder, if configured, where upstream's program looks for it
HOW_TO_SPEAK.md          upstream's commands for these files

The caller adds MANIFEST.json, see `voicekiln.voice.manifest`.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml

from voicekiln.errors import UserError
from voicekiln.families import Files, facts
from voicekiln.families.f5 import how_to_speak
from voicekiln.families.f5.architecture import shapes
from voicekiln.families.f5.mel import MEL_SPEC, RATE_HZ
from voicekiln.families.f5.reset import fresh_counters
from voicekiln.families.f5.text import VOCAB, Characters
from voicekiln.families.f5.weights import EMA_PREFIX, require_shapes
from voicekiln.store.files import atomic
from voicekiln.tokenizers.characters import write_vocab
from voicekiln.weights import files as checkpoints

FORMATS = ("pt", "safetensors")
VOCODER = how_to_speak.VOCODER
VOCODER_FILES = facts.of("f5").vocoder.files


def export(
    folder: Path,
    weights: Mapping[str, torch.Tensor],
    base: Files,
    arch: Mapping,
    tokenizer: Characters,
    prompt_audio: Mapping[str, np.ndarray],
    prompt_text: Mapping[str, str],
    settings: Mapping[str, Any],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Write the folder, apart from its manifest. The same bytes for the same arguments.

    The EMA's counters are written as a new EMA has them, not as this one had them: a
    training that starts from the voice begins at update 0, with EMA weights that follow its own.
    The number of updates is in the file's name and in the manifest.

    Args:
        folder: an empty one.
        weights: EMA weights, by CFM's names.
        base: not used; the voice holds all of the model.
        arch: from `architecture`.
        tokenizer: the run's.
        prompt_audio: samples `[n]` at 24 kHz of each reference clip, by file name without suffix,
            the main one first.
        prompt_text: text of each.
        settings: `format` (`pt` or `safetensors`) and `vocoder`, a folder with Vocos weights to go
            with the voice, or None.
        about: `name` of the voice, and `update` that the weights are from.

    Returns:
        entries for the manifest.

    Raises:
        UserError: weights that do not fit, an unknown format, an empty reference.
    """
    folder, vocoder = Path(folder), settings["vocoder"]
    suffix = settings["format"]
    if suffix not in FORMATS:
        raise UserError(f"export.format: expected pt or safetensors, got {suffix!r}")
    for stem, samples in prompt_audio.items():
        if not prompt_text[stem].strip() or len(samples) == 0:
            raise UserError(f"export: the reference clip {stem} or its text is empty")
    vocab = tokenizer.vocab
    require_shapes(dict(weights), shapes(arch, len(vocab)), "the chosen checkpoint")

    checkpoint = f"model_{about['update']}.{suffix}"
    entries = {EMA_PREFIX + key: tensor for key, tensor in weights.items()} | fresh_counters()
    content = {"ema_model_state_dict": entries} if suffix == "pt" else entries
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.write_atomic(folder / checkpoint, content)
    write_vocab(folder / VOCAB, vocab)
    write_text(folder / "config.yaml", config_yaml(about["name"], arch))
    (folder / "references").mkdir()
    for stem, samples in prompt_audio.items():
        write_reference(folder / "references" / stem, samples, prompt_text[stem])
    stems = list(prompt_audio)
    write_reference(folder / "reference", prompt_audio[stems[0]], prompt_text[stems[0]])
    if vocoder is not None:
        copy_vocoder(Path(vocoder), folder / VOCODER)
    write_text(
        folder / "HOW_TO_SPEAK.md",
        how_to_speak.page(about["name"], checkpoint, stems, with_vocoder=vocoder is not None),
    )
    return {
        "checkpoint": checkpoint,
        "base_files": {"checkpoint": checkpoint, "vocab": VOCAB},
        "architecture": dict(arch),
        "weights_sha256": checkpoints.state_sha256(weights),
        "vocoder": VOCODER if vocoder is not None else None,
    }


def config_yaml(name: str, arch: Mapping) -> str:
    """The voice's configuration, as f5_tts's programs read it with `--model_cfg`."""
    values = {key: value for key, value in arch.items() if key != "backbone"}
    model = {
        "name": name,
        "tokenizer": "custom",
        "tokenizer_path": "vocab.txt",
        "backbone": arch["backbone"],
        "arch": values,
        "mel_spec": MEL_SPEC,
        "vocoder": {"is_local": False, "local_path": None},
    }
    return yaml.safe_dump({"model": model}, sort_keys=False, allow_unicode=True)


def write_reference(path: Path, samples: np.ndarray, text: str) -> None:
    """Write a clip and its text as `path` with the suffixes .wav and .txt."""
    write_text(path.with_name(path.name + ".txt"), text.strip() + "\n")
    with atomic(path.with_name(path.name + ".wav"), sync=True) as temporary:
        soundfile.write(temporary, samples, RATE_HZ, subtype="PCM_16", format="WAV")


def copy_vocoder(source: Path, target: Path) -> None:
    """Copy a Vocos folder with its licence files."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        licence = path.name.upper().startswith(("LICENSE", "LICENCE", "README", "NOTICE"))
        if path.is_file() and (licence or path.name in VOCODER_FILES):
            shutil.copyfile(path, target / path.name)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 atomically."""
    with atomic(path, sync=True) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
