"""The voice as a folder that f5_tts's own inference loads.

model_<update>.pt        {"ema_model_state_dict": {initted, step, ema_model.*}}, or the inner
                         dictionary as model_<update>.safetensors
vocab.txt                tokens in the order of their ids
config.yaml              architecture and mel in the layout of upstream's configs/
reference.wav, .txt      the clip whose voice it speaks in, and its text
references/<name>.*      the same for every speaker and language
checkpoints/vocos-mel-24khz/   the vocoder, if one was given, where upstream's program looks for it
HOW_TO_SPEAK.md          upstream's commands for these files
MANIFEST.json            all of these with size and hash; written last
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from voicekiln.errors import UserError
from voicekiln.families.f5 import how_to_speak
from voicekiln.families.f5.architecture import shapes
from voicekiln.families.f5.mel import MEL_SPEC, RATE_HZ
from voicekiln.families.f5.reset import fresh_counters
from voicekiln.families.f5.weights import EMA_PREFIX, require_shapes
from voicekiln.provenance import sha256_file
from voicekiln.store.files import atomic
from voicekiln.tokenizers.vocab import write_vocab
from voicekiln.voice import vocoders
from voicekiln.weights import files as checkpoints

MANIFEST = "MANIFEST.json"
FORMATS = ("pt", "safetensors")
VOCODER = how_to_speak.VOCODER


def export(
    folder: Path,
    *,
    weights: Mapping[str, torch.Tensor],
    update: int,
    arch: dict,
    vocab: Sequence[str],
    references: Sequence[tuple[str, np.ndarray, str]],
    vocoder: Path | None,
    name: str,
    checkpoint_format: str,
    about: Mapping,
    extra: Mapping[str, str],
) -> dict:
    """Writes the folder and returns its manifest. The same bytes for the same arguments.

    The EMA's counters are written as a new EMA has them, not as this one had them: whoever trains
    on from the voice starts at update 0, with an average that follows the weights from the start.
    The number of updates is in the file's name and in the manifest.

    Args:
        folder: where to write; an empty one.
        weights: tensors by CFM's names, the EMA's.
        update: number of the update they are from.
        arch: what `architecture` returned.
        vocab: tokens in the order of their ids.
        references: name for files, `[n]` samples at 24 kHz, and text of each; the main one first.
        vocoder: folder with Vocos weights to go with the voice.
        name: of the voice, for config.yaml.
        checkpoint_format: `pt` or `safetensors`.
        about: more for the manifest (base, data, licences); builtin types, no times, no paths.
        extra: texts of more files, by name.

    Raises:
        UserError: weights that do not fit, an unknown format, an empty reference.
    """
    folder = Path(folder)
    if checkpoint_format not in FORMATS:
        raise UserError(f"export.format: expected pt or safetensors, got {checkpoint_format!r}")
    for stem, samples, text in references:
        if not text.strip() or len(samples) == 0:
            raise UserError(f"export: the reference clip {stem} or its text is empty")
    require_shapes(dict(weights), shapes(arch, len(vocab)), "the chosen checkpoint")

    checkpoint = f"model_{update}.{checkpoint_format}"
    entries = {EMA_PREFIX + key: tensor for key, tensor in weights.items()} | fresh_counters()
    content = {"ema_model_state_dict": entries} if checkpoint_format == "pt" else entries
    folder.mkdir(parents=True, exist_ok=True)
    checkpoints.write_atomic(folder / checkpoint, content)
    write_vocab(folder / "vocab.txt", vocab)
    write_text(folder / "config.yaml", config_yaml(name, arch))
    (folder / "references").mkdir()
    for stem, samples, text in references:
        write_reference(folder / "references" / stem, samples, text)
    write_reference(folder / "reference", *references[0][1:])
    if vocoder is not None:
        copy_vocoder(Path(vocoder), folder / VOCODER)
    stems = [stem for stem, _, _ in references]
    write_text(
        folder / "HOW_TO_SPEAK.md",
        how_to_speak.page(name, checkpoint, stems, with_vocoder=vocoder is not None),
    )
    for path, text in extra.items():
        write_text(folder / path, text)

    paths = (path for path in folder.rglob("*") if path.is_file())
    manifest = {
        **about,
        "family": "f5",
        "name": name,
        "update": update,
        "checkpoint": checkpoint,
        "tokens": len(vocab),
        "rate_hz": RATE_HZ,
        "architecture": arch,
        "weights_sha256": checkpoints.state_sha256(weights),
        "vocoder": VOCODER if vocoder is not None else None,
        "files": [
            {
                "path": path.relative_to(folder).as_posix(),
                "sha256": sha256_file(path),
                "bytes": path.stat().st_size,
            }
            for path in sorted(paths)
        ],
    }
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_text(folder / MANIFEST, text)
    return manifest


def config_yaml(name: str, arch: dict) -> str:
    """The voice's configuration, as f5_tts's programs take one with `--model_cfg`."""
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
    """Writes a clip and its text as `path` with the suffixes .wav and .txt."""
    write_text(path.with_name(path.name + ".txt"), text.strip() + "\n")
    with atomic(path.with_name(path.name + ".wav"), sync=True) as temporary:
        soundfile.write(temporary, samples, RATE_HZ, subtype="PCM_16", format="WAV")


def copy_vocoder(source: Path, target: Path) -> None:
    """Copies a Vocos folder with its licence files."""
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        licence = path.name.upper().startswith(("LICENSE", "LICENCE", "README", "NOTICE"))
        if path.is_file() and (licence or path.name in vocoders.NAMES):
            shutil.copyfile(path, target / path.name)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 in one step."""
    with atomic(path, sync=True) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
