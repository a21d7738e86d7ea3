"""XTTS's constructor values, from the shapes of its tensors; config.json has to agree with them.

Only the number of attention heads and the ids of the audio's start and stop are in config.json
alone; the ids of the text's start and stop are in the vocabulary, where upstream takes them from.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.families import Files
from voicekiln.families.xtts import weights as xtts_weights
from voicekiln.families.xtts.model import build
from voicekiln.weights.entries import differences

START_TEXT, STOP_TEXT = "[START]", "[STOP]"
BLOCKS, LATENTS = "gpt.h.", "conditioning_perceiver.latents"
DROPOUT = 0.1  # of upstream's GPT; no release holds it
# Values of config.json that the features and the code of this family are made for.
FIXED = {
    ("model_args", "gpt_code_stride_len"): 1024,
    ("model_args", "gpt_use_perceiver_resampler"): True,
    ("audio", "sample_rate"): 22050,
    ("audio", "output_sample_rate"): 24000,
}
# Constructor value -> key of config.json's model_args, and the tensor that has it.
CHECKED = {
    "layers": ("gpt_layers", "gpt.gpt.h.*"),
    "width": ("gpt_n_model_channels", "gpt.mel_embedding.weight"),
    "n_audio_tokens": ("gpt_num_audio_tokens", "gpt.mel_embedding.weight"),
    "max_text_tokens": ("gpt_max_text_tokens", "gpt.text_pos_embedding.emb.weight"),
    "max_audio_tokens": ("gpt_max_audio_tokens", "gpt.mel_pos_embedding.emb.weight"),
}
CONFIG_ALONE = {
    "heads": "gpt_n_heads",
    "start_audio": "gpt_start_audio_token",
    "stop_audio": "gpt_stop_audio_token",
}


def architecture(model: None, base: Files) -> dict[str, Any]:
    """Arguments of `XttsGpt`, apart from the size of the vocabulary.

    Args:
        model: not used: a release has all values.
        base: its files `model`, `config` and `vocab`.

    Raises:
        UserError: a file that is not XTTS v2's, or values that contradict each other.
    """
    return of(xtts_weights.read(base["model"]).gpt, base)


def of(gpt: Mapping[str, torch.Tensor], base: Files) -> dict[str, Any]:
    """As `architecture`, of the weights in `base["model"]`."""
    file, config_file = base["model"], base["config"]
    config, sizes = read_config(config_file), dimensions(gpt, file)
    args = config["model_args"]
    for (section, key), expected in FIXED.items():
        values = config.get(section)
        value = values.get(key, expected) if isinstance(values, dict) else expected
        if value != expected:
            raise UserError(
                f"{config_file}: {section}.{key}: expected {json.dumps(expected)} as in XTTS v2,"
                f" got {json.dumps(value)}; give the config.json of an XTTS v2 release"
            )
    for name, (key, tensor) in CHECKED.items():
        if args.get(key, sizes[name]) != sizes[name]:
            raise UserError(
                f"{config_file}: model_args.{key} is {args[key]}, but {tensor} in {file} has"
                f" {sizes[name]}; give the config.json of this model"
            )
    alone = {name: _whole(args, key, config_file) for name, key in CONFIG_ALONE.items()}
    if sizes["width"] % alone["heads"]:
        raise UserError(
            f"{config_file}: model_args.{CONFIG_ALONE['heads']} is {alone['heads']}, which does not"
            f" divide the width {sizes['width']} of gpt.mel_embedding.weight in {file}; give the"
            " config.json of this model"
        )
    for name in ("start_audio", "stop_audio"):
        if alone[name] >= sizes["n_audio_tokens"]:
            raise UserError(
                f"{config_file}: model_args.{CONFIG_ALONE[name]} is {alone[name]}, but"
                f" gpt.mel_embedding.weight in {file} has {sizes['n_audio_tokens']} rows; give the"
                " config.json of this model"
            )
    ids = token_ids(base["vocab"])
    return {
        **sizes,
        **alone,
        "start_text": ids[START_TEXT],
        "stop_text": ids[STOP_TEXT],
        "dropout": DROPOUT,
    }


def read_config(path: Path) -> dict[str, Any]:
    """Content of a release's config.json.

    Raises:
        UserError: not JSON, or not the configuration of an XTTS.
    """
    config = _read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("model_args"), dict):
        raise UserError(
            f"{path}: expected the config.json of an XTTS release, with a section model_args;"
            " give the release's as base.config"
        )
    if (name := config.get("model", "xtts")) != "xtts":
        raise UserError(
            f"{path}: model: expected xtts, got {name!r}; give an XTTS release's config.json"
        )
    return config


def most_codes(config: Path) -> int:
    """Codes of the longest clip that a model of this config.json can train on.

    In its places are also START and, behind the codes, the stop tokens, four of them in training.
    """
    return _whole(read_config(config)["model_args"], "gpt_max_audio_tokens", config) - 1


def token_ids(path: Path) -> dict[str, int]:
    """Id of each token in a vocab.json of HF tokenizers.

    Raises:
        UserError: not such a file, or it lacks the tokens around a text.
    """
    content = _read_json(path)
    try:
        ids = {str(token): int(i) for token, i in content["model"]["vocab"].items()}
        ids |= {str(one["content"]): int(one["id"]) for one in content.get("added_tokens", ())}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"{path}: expected the vocab.json of an XTTS release (HF tokenizers, BPE); give the"
            " release's as base.vocab"
        ) from None
    for token in (START_TEXT, STOP_TEXT):
        if token not in ids:
            raise UserError(
                f"{path}: has no token {token}, which surrounds each text; give the release's"
                " vocab.json as base.vocab"
            )
    return ids


def n_tokens(ids: Mapping[str, int]) -> int:
    """Rows that a vocabulary needs; ids may have gaps."""
    return max(ids.values()) + 1


def dimensions(gpt: Mapping[str, torch.Tensor], file: Path) -> dict[str, int]:
    """Constructor values that the shapes of the tensors determine.

    Raises:
        UserError: a tensor is missing, or has another number of dimensions.
    """

    def rows(name: str) -> tuple[int, int]:
        if name not in gpt or gpt[name].ndim != 2:
            there = f"the shape {tuple(gpt[name].shape)}" if name in gpt else "nothing"
            raise UserError(
                f"{file}: gpt.{name}: expected a matrix, got {there}; this is no XTTS v2 (v1 has"
                " no perceiver, and cannot be trained here)"
            )
        return tuple(gpt[name].shape)

    n_audio, width = rows("mel_embedding.weight")
    return {
        "layers": len({n[len(BLOCKS) :].split(".")[0] for n in gpt if n.startswith(BLOCKS)}),
        "width": width,
        "n_audio_tokens": n_audio,
        "max_text_tokens": rows("text_pos_embedding.emb.weight")[0] - 2,  # start and stop
        "max_audio_tokens": rows("mel_pos_embedding.emb.weight")[0] - 3,
        "cond_latents": rows(LATENTS)[0],
    }


def require_shapes(
    gpt: Mapping[str, torch.Tensor], arch: Mapping[str, Any], n_tokens: int, file: str
) -> None:
    """Raise a UserError unless the tensors are those of the model, by name and shape."""
    with torch.device("meta"):
        model = build(arch, n_tokens)
    found, expected = (
        {xtts_weights.GPT + name: tensor for name, tensor in tensors.items()}
        for tensors in (gpt, model.state_dict())
    )
    if different := differences(found, expected):
        raise UserError(f"{file}: these tensors are not those of this XTTS v2's GPT: {different}")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; take it from the release") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}); copy it again") from error


def _whole(args: Mapping[str, Any], key: str, file: Path) -> int:
    """A positive whole number of config.json's model_args."""
    value = args.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(
            f"{file}: model_args.{key}: expected a positive whole number, got {json.dumps(value)};"
            " give the release's config.json as base.config"
        )
    return value
