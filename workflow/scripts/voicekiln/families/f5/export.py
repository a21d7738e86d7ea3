"""The voice as a folder that f5_tts's own inference loads.

model_<update>.pt        {"ema_model_state_dict": {initted, step, ema_model.*}}, or the inner
                         dictionary as model_<update>.safetensors
vocab.txt                tokens in the order of their ids
config.yaml              architecture and mel in the layout of upstream's configs/
reference.wav, .txt      the clip whose voice it speaks in, and what is said there
MANIFEST.json            all of these with size and hash; written last
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml

from voicekiln import checkpoints
from voicekiln.errors import UserError
from voicekiln.families.f5.architecture import shapes
from voicekiln.families.f5.mel import MEL_SPEC, RATE_HZ
from voicekiln.families.f5.reset import fresh_counters
from voicekiln.families.f5.weights import EMA_PREFIX, require_shapes
from voicekiln.provenance import sha256_file
from voicekiln.tokenizers.vocab import write_vocab

MANIFEST = "MANIFEST.json"
FORMATS = ("pt", "safetensors")


def export(
    folder: Path,
    *,
    weights: Mapping[str, torch.Tensor],
    update: int,
    arch: dict,
    vocab: Sequence[str],
    reference: np.ndarray,
    reference_text: str,
    name: str,
    checkpoint_format: str,
    about: Mapping,
) -> dict:
    """Writes the folder and returns its manifest. The same bytes for the same arguments.

    The EMA's counters are written as a new EMA has them, not as this one had them: whoever trains
    on from the voice starts at update 0, with an average that follows the weights from the start.
    The number of updates is in the file's name and in the manifest.

    Args:
        folder: where to write; the model files of an earlier export there are removed.
        weights: tensors by CFM's names, the EMA's.
        update: number of the update they are from.
        arch: what `architecture` returned.
        vocab: tokens in the order of their ids.
        reference: `[n]` samples at 24 kHz.
        reference_text: what is said in it.
        name: of the voice, for config.yaml.
        checkpoint_format: `pt` or `safetensors`.
        about: more for the manifest (base, data, licences); builtin types, no times, no paths.

    Raises:
        UserError: weights that do not fit, an unknown format, an empty reference.
    """
    folder = Path(folder)
    if checkpoint_format not in FORMATS:
        raise UserError(f"export.format: expected pt or safetensors, got {checkpoint_format!r}")
    if not reference_text.strip() or len(reference) == 0:
        raise UserError("export: the reference clip or its text is empty")
    require_shapes(dict(weights), shapes(arch, len(vocab)), "the chosen checkpoint")
    (folder / MANIFEST).unlink(missing_ok=True)

    checkpoint = f"model_{update}.{checkpoint_format}"
    entries = {EMA_PREFIX + key: tensor for key, tensor in weights.items()} | fresh_counters()
    content = {"ema_model_state_dict": entries} if checkpoint_format == "pt" else entries
    checkpoints.write_atomic(folder / checkpoint, content)
    for old in folder.glob("model_*"):
        if old.name != checkpoint and old.suffix[1:] in FORMATS:
            old.unlink()

    write_vocab(folder / "vocab.txt", vocab)
    write_text(folder / "config.yaml", config_yaml(name, arch))
    write_text(folder / "reference.txt", reference_text.strip() + "\n")
    with checkpoints.atomic(folder / "reference.wav") as temporary:
        soundfile.write(temporary, reference, RATE_HZ, subtype="PCM_16", format="WAV")

    names = (checkpoint, "config.yaml", "reference.txt", "reference.wav", "vocab.txt")
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
        "files": [
            {
                "path": path,
                "sha256": sha256_file(folder / path),
                "bytes": (folder / path).stat().st_size,
            }
            for path in sorted(names)
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


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 in one step."""
    with checkpoints.atomic(path) as temporary:
        temporary.write_bytes(text.encode("utf-8"))
