"""F5-TTS weights, read from any checkpoint.

A released checkpoint is often the last state of a training: counters, optimiser, scheduler and two
copies of the weights. f5_tts continues from such counters (at update 380000 of 380000 it ends at
once), so a base must hold weights alone. What upstream's strict load wants beside them are two
entries of its EMA, `initted` and `step`; a reset base holds them as a new EMA has them: false, 0.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from voicekiln.errors import UserError
from voicekiln.families.f5.architecture import RELEASED, dimensions
from voicekiln.weights import files as checkpoints
from voicekiln.weights import signatures
from voicekiln.weights.entries import describe_entry, describe_others

EMBEDDING = "transformer.text_embed.text_embed.weight"  # row 0: filler; row i + 1: token i
EMA_PREFIX = "ema_model."
EMA_COUNTERS = ("initted", "step", "update")
UNETT = "transformer.layers."  # E2-TTS: the same embedding, another transformer
# Constants that old checkpoints hold as tensors; upstream deletes them when it loads.
OLD_CONSTANTS = ("mel_spec.mel_stft.mel_scale.fb", "mel_spec.mel_stft.spectrogram.window")


@dataclass(frozen=True)
class Base:
    """Content of a checkpoint file.

    Attributes:
        weights: tensors by CFM's names (`transformer.…`); the EMA's if the file has one.
        source: `ema`, `model` or `weights` (a file of tensors alone).
        training_state: a description of each other entry; empty for pure weights.
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
    source, state, found = "weights", content, []
    for kind, key in (("ema", "ema_model_state_dict"), ("model", "model_state_dict")):
        if isinstance(content.get(key), dict) and content[key]:
            source, state = kind, content[key]
            found += [describe_entry(str(k), v) for k, v in content.items() if k != key]
            break

    try:
        state = checkpoints.without_prefixes(state)
    except UserError as error:
        raise UserError(f"{checkpoint}: {error}") from error
    weights, others = {}, {}
    for name, value in state.items():
        if name.startswith("transformer.") and isinstance(value, torch.Tensor):
            weights[name] = value
        elif name in EMA_COUNTERS:
            if not is_zero(value):
                found.append(describe_entry(name, value, "EMA "))
        elif name not in OLD_CONSTANTS:
            others[name] = value
    if EMBEDDING not in weights or any(name.startswith(UNETT) for name in weights):
        there = signatures.looks_like(content) or "no such weights"
        raise UserError(
            f"{checkpoint}: expected an F5-TTS checkpoint (with a tensor {EMBEDDING}), found"
            f" {there}; its entries: {signatures.entries(content)}. Give a model_*.pt or"
            " *.safetensors of an F5-TTS training as base.checkpoint"
        )
    if weights[EMBEDDING].ndim != 2:
        shape = tuple(weights[EMBEDDING].shape)
        raise UserError(
            f"{checkpoint}: {EMBEDDING}: expected a row for each token, got the shape {shape};"
            " this is no checkpoint of F5-TTS as it was saved"
        )
    return Base(weights, source, sorted(found + describe_others(others)))


def is_zero(value) -> bool:
    """Whether the counter of an EMA is at its initial value."""
    if isinstance(value, torch.Tensor):
        return value.numel() == 1 and not value.is_meta and not value.item()
    return isinstance(value, bool | int | float) and value == 0


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The weights of any F5 checkpoint by CFM's names, for a strict load."""
    return read_base(file).weights


def require_shapes(weights: dict, expected: dict[str, tuple[int, ...]], name: str) -> None:
    """Raise a UserError that names the differences between weights and an architecture.

    Values of the architecture are named if the shapes determine them, otherwise the first tensors.
    """
    found = {k: tuple(v.shape) for k, v in weights.items()}
    names = [t for t in sorted(set(found) | set(expected)) if found.get(t) != expected.get(t)]
    if not names:
        return
    here, there = dimensions(found), dimensions(expected)
    values = [
        f"{value} is {here[value]} in the file, {there[value]} in the model"
        for value in there
        if here.get(value, there[value]) != there[value]
    ]
    tensors = [
        f"{t}: {found.get(t, 'nothing')} in the file, {expected.get(t, 'nothing')} in the model"
        for t in names
    ]
    released = [
        model
        for model, given in RELEASED.items()
        if all(here.get(value) == number for value, number in given.items() if value in here)
    ]
    hint = ""
    if values and released:
        hint = f". The file's values are those of {' and '.join(released)}: set base.model to one"
    elif values:
        hint = ". Set base.model to the file's values, or give the checkpoint of that model"
    raise UserError(
        f"{name}: {len(names)} tensors do not fit base.model or the vocabulary;"
        f" {'; '.join(values or tensors[:3])}{hint}"
    )


def vocabulary_tensors(weights: dict[str, torch.Tensor]) -> list[str]:
    """Names of the tensors with one row per token."""
    return [EMBEDDING] if EMBEDDING in weights else []


def n_tokens(weights: dict[str, torch.Tensor]) -> int:
    """Number of tokens with a row in the embedding."""
    return weights[EMBEDDING].shape[0] - 1
