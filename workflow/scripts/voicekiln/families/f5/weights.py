"""F5-TTS weights: read from any checkpoint, and loaded strictly.

A released checkpoint is often the last state of a training: counters, optimiser, scheduler and two
copies of the weights. f5_tts continues from such counters (at update 380000 of 380000 it ends at
once), so a base must hold weights alone. What upstream's strict load wants beside them are two
entries of its EMA, `initted` and `step`; a reset base holds them as a new EMA has them: false, 0.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from voicekiln import checkpoints
from voicekiln.errors import UserError

EMBEDDING = "transformer.text_embed.text_embed.weight"  # row 0: filler; row i + 1: token i
EMA_PREFIX = "ema_model."
EMA_COUNTERS = ("initted", "step", "update")
# Constants that old checkpoints hold as tensors; upstream deletes them when it loads.
OLD_CONSTANTS = ("mel_spec.mel_stft.mel_scale.fb", "mel_spec.mel_stft.spectrogram.window")


@dataclass(frozen=True)
class Base:
    """What a checkpoint file holds.

    Attributes:
        weights: tensors by CFM's names (`transformer.…`); the EMA's where the file has one.
        source: `ema`, `model` or `weights` (a file of tensors alone).
        training_state: what else there is, a description for each entry; empty for pure weights.
    """

    weights: dict[str, torch.Tensor]
    source: str
    training_state: list[str]


def read_base(checkpoint: Path) -> Base:
    """Weights and training state of a checkpoint: upstream's Trainer's, a reset base, an export.

    Raises:
        UserError: not readable, or no F5 weights in it.
    """
    content = checkpoints.read(checkpoint)
    found = []
    if isinstance(content.get("ema_model_state_dict"), dict):
        source, state = "ema", content["ema_model_state_dict"]
    elif isinstance(content.get("model_state_dict"), dict):
        source, state = "model", content["model_state_dict"]
    else:
        source, state = "weights", content
    if source != "weights":
        used = f"{'ema_model' if source == 'ema' else 'model'}_state_dict"
        found += [describe_entry(k, v) for k, v in content.items() if k != used]

    try:
        state = checkpoints.without_prefixes(state)
    except UserError as error:
        raise UserError(f"{checkpoint}: {error}") from error
    weights = {}
    for name, value in state.items():
        if name.startswith("transformer.") and isinstance(value, torch.Tensor):
            weights[name] = value
        elif name == "initted" and not bool(value):
            continue
        elif name in EMA_COUNTERS and int(value) == 0:
            continue
        elif name not in OLD_CONSTANTS:
            found.append(describe_entry(name, value, "EMA " if name in EMA_COUNTERS else ""))
    if EMBEDDING not in weights:
        keys = ", ".join(sorted(map(str, content))[:8])
        raise UserError(
            f"{checkpoint}: no F5-TTS weights in it (no tensor {EMBEDDING}); its entries: {keys}"
        )
    return Base(weights, source, sorted(found))


def describe_entry(name: str, value, prefix: str = "") -> str:
    """One entry of a checkpoint in words: name and value, or name and number of entries."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return f"{prefix}{name} = {value}"
    if isinstance(value, dict | list | tuple):
        return f"{prefix}{name} ({len(value)} entries)"
    return f"{prefix}{name}"


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights of any F5 checkpoint by CFM's names, for `load`."""
    return read_base(checkpoint).weights


def load(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Puts the weights into a model that `build` made.

    Raises:
        UserError: names or shapes differ; the first differences are listed.
    """
    own = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    require_shapes(weights, own, "the checkpoint")
    model.load_state_dict(weights, strict=True)


def require_shapes(weights: dict, expected: dict[str, tuple[int, ...]], name: str) -> None:
    """Raises a UserError that lists the first differences between weights and an architecture."""
    found = {k: tuple(v.shape) for k, v in weights.items()}
    wrong = []
    for tensor in sorted(set(found) | set(expected)):
        if found.get(tensor) != expected.get(tensor):
            has = found.get(tensor, "nothing")
            wants = expected.get(tensor, "nothing")
            wrong.append(f"{tensor}: {has} in the file, {wants} in the model")
    if wrong:
        raise UserError(
            f"{name}: {len(wrong)} tensors do not fit base.model or the vocabulary;"
            f" {'; '.join(wrong[:3])}"
        )


def vocabulary_tensors(weights: dict[str, torch.Tensor]) -> list[str]:
    """Names of the tensors with a row for each token."""
    return [EMBEDDING] if EMBEDDING in weights else []


def n_tokens(weights: dict[str, torch.Tensor]) -> int:
    """Number of tokens that the embedding has rows for."""
    return weights[EMBEDDING].shape[0] - 1
