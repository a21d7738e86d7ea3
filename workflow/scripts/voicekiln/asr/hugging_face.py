"""Whisper models in the Hugging Face layout: a folder with `config.json` and tensors.

A model is identified by the file with its tensors, or by the index of several such files. Tensor
names are mapped to those of openai-whisper; no code in the folder is executed.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError

# in order of preference; an index lists the files with the tensors
SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")
WEIGHTS = SAFETENSORS + PICKLES
INDEXES = (SAFETENSORS[1], PICKLES[1])
CONFIG = "config.json"
MAX_JSON_BYTES = 64 << 20
MAX_DIMENSION = 100_000  # far above the largest model, far below memory limits
VOCABULARIES = (51864, 51865, 51866)  # of the standard tokenizers: English, v1 and v2, v3
DIMENSIONS = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}
# names in Hugging Face and in openai-whisper, in order of application
NAMES = (
    (r"^model\.", ""),
    (r"\.layers\.", ".blocks."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.fc1\.", ".mlp.0."),
    (r"\.fc2\.", ".mlp.2."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"^decoder\.embed_tokens\.", "decoder.token_embedding."),
    (r"\.embed_positions\.weight$", ".positional_embedding"),
)
TIED = "proj_out.weight"  # duplicate of the token embedding


def weights_file(folder: Path, names: Sequence[str] = WEIGHTS) -> Path | None:
    """File that identifies the model in a folder; None if the folder has another layout.

    Args:
        folder: with `config.json`.
        names: of the files that may, in order of preference.
    """
    if not (Path(folder) / CONFIG).is_file():
        return None
    return next((path for name in names if (path := Path(folder) / name).is_file()), None)


def is_model_file(model: Path) -> bool:
    """Whether a file identifies a model of this layout."""
    return Path(model).name in WEIGHTS and (Path(model).parent / CONFIG).is_file()


def files(model: Path) -> list[Path]:
    """All files of the model: configuration, index, tensors.

    Raises:
        UserError: a file is missing.
    """
    model = Path(model)
    found = [model.parent / CONFIG, model]
    if model.name in INDEXES:
        shards = read_json(model).get("weight_map")
        if not isinstance(shards, Mapping) or not shards:
            raise UserError(f"{model}: expected an index of tensor files (weight_map)")
        for name in sorted(set(map(str, shards.values()))):
            if Path(name).name != name:
                raise UserError(f"{model}: refers to {name!r}, expected files in the same folder")
            if not (model.parent / name).is_file():
                raise UserError(
                    f"{model.parent / name}: missing, but listed in {model.name};"
                    " copy the whole folder"
                )
            found.append(model.parent / name)
    return found


def problem(folder: Path) -> str | None:
    """Why a folder is not a usable Whisper model of Hugging Face, or None."""
    folder = Path(folder)
    if (folder / "adapter_config.json").is_file() and weights_file(folder) is None:
        return "it has only a LoRA adapter; merge it into its base first (peft: merge_and_unload)"
    if not (folder / CONFIG).is_file():
        return f"it has no {CONFIG}"
    if weights_file(folder) is None:
        return f"it has no tensors; expected one of {', '.join(WEIGHTS)}"
    try:
        files(weights_file(folder))
        dimensions(folder / CONFIG)
    except UserError as error:
        return str(error)
    return None


def read(model: Path) -> dict[str, Any]:
    """`dims` and `model_state_dict` as in a checkpoint of openai-whisper.

    Raises:
        UserError: not a Whisper model, another tokenizer, or files missing or damaged.
    """
    import torch

    from voicekiln.weights import files as checkpoints

    config, *rest = files(model)
    dims = dimensions(config)
    tensors: dict[str, torch.Tensor] = {}
    for path in rest:
        if path.name not in INDEXES:
            tensors |= checkpoints.read(path)
    output = tensors.pop(TIED, None)
    state = dict(_renamed(tensors))
    embedding = state.get("decoder.token_embedding.weight")
    if output is not None and embedding is not None and not torch.equal(output, embedding):
        raise UserError(
            f"{model}: {TIED} differs from the token embedding; models with a separate output "
            "layer are not supported"
        )
    return {"dims": dims, "model_state_dict": state}


def dimensions(config: Path) -> dict[str, int]:
    """openai-whisper's dimensions from a `config.json`.

    Raises:
        UserError: not a Whisper model, or with a custom tokenizer.
    """
    found = read_json(config)
    if found.get("model_type") != "whisper":
        raise UserError(f"{config}: model_type is {found.get('model_type')!r}, expected whisper")
    missing = [key for key in dict.fromkeys(DIMENSIONS.values()) if type(found.get(key)) is not int]
    if missing:
        raise UserError(f"{config}: {', '.join(missing)} is missing or not a whole number")
    beyond = [key for key in DIMENSIONS.values() if not 1 <= found[key] <= MAX_DIMENSION]
    beyond += [
        key
        for key in ("encoder_attention_heads", "decoder_attention_heads")
        if not beyond and found["d_model"] % found[key]
    ]
    if beyond:
        raise UserError(
            f"{config}: {beyond[0]} is {found[beyond[0]]}, not valid for a Whisper model"
        )
    if found["vocab_size"] not in VOCABULARIES:
        raise UserError(
            f"{config}: vocab_size is {found['vocab_size']}, expected that of a Whisper tokenizer "
            f"({', '.join(map(str, VOCABULARIES))}); custom tokens are not supported"
        )
    for key in ("encoder_ffn_dim", "decoder_ffn_dim"):
        if found.get(key, 4 * found["d_model"]) != 4 * found["d_model"]:
            raise UserError(f"{config}: {key} is {found[key]}, expected 4 x d_model")
    return {ours: found[theirs] for ours, theirs in DIMENSIONS.items()}


def _renamed(tensors: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, tensor in tensors.items():
        for pattern, ours in NAMES:
            name = re.sub(pattern, ours, name)
        yield name, tensor


def read_json(path: Path) -> dict:
    """The object in a JSON file.

    Raises:
        UserError: it is missing, too large, damaged, or holds something else.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{path.stat().st_size} bytes")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected an object, found {type(found).__name__}")
    return found
