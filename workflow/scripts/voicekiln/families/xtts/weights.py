"""XTTS weights, read from a release, a training checkpoint, an export or a reset base.

A release's `model.pth` is `{"config", "model"}`, the tensors of coqui-tts's `Xtts` by its names:

    gpt.*                the GPT that is trained, 426 tensors in XTTS v2
    hifigan_decoder.*    waveform decoder and speaker encoder, which no training changes
    mel_stats            `[80]` of the conditioning mel

The config of the first release is a pickled object of coqui's classes; it is skipped. coqui's
Trainer writes the same names behind `xtts.`, with the DVAE and its optimiser beside them. A reset
base and a checkpoint of a training here hold the GPT alone, by its own names (without `gpt.`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.weights import files as checkpoints
from voicekiln.weights import signatures
from voicekiln.weights.entries import describe_entry, describe_others

# Modules of the classes that coqui pickles into a config.
COQUI = ("TTS.", "trainer.", "coqpit.")
GPT, DECODER, MEL_STATS = "gpt.", "hifigan_decoder.", "mel_stats"
TRAINER = "xtts."
EMBEDDING = "text_embedding.weight"
VOCABULARY = (EMBEDDING, "text_head.weight", "text_head.bias")  # a row for each token
# Copies and constants that a model has after generation, or had with earlier transformers.
DERIVED = re.compile(
    r"gpt\.(gpt_inference\..*|gpt\.(wte|wpe)\..*|gpt\.h\.\d+\.attn\.(masked_)?bias)"
)


@dataclass(frozen=True)
class Content:
    """Content of a file with XTTS weights.

    Attributes:
        gpt: tensors of the GPT, by its own names.
        rest: tensors of the rest of `Xtts`, by its names; empty if the file holds the GPT alone.
        source: `release`, `training` (a checkpoint of coqui's Trainer) or `gpt`.
        left_out: a description of each other entry, sorted.
    """

    gpt: dict[str, torch.Tensor]
    rest: dict[str, torch.Tensor]
    source: str
    left_out: list[str]


def read(file: Path) -> Content:
    """Content of any file with XTTS weights; nothing in it is executed.

    Raises:
        UserError: not readable, a pickle of anything but tensors and coqui's config, or no XTTS
            weights in it.
    """
    content = checkpoints.read(file, skip=COQUI)
    state, left_out = content, []
    if isinstance(content.get("model"), Mapping):
        state = content["model"]
        left_out = [describe_entry(str(k), v) for k, v in content.items() if k != "model"]
    state = {str(name): value for name, value in state.items()}
    if EMBEDDING in state:
        return Content(_tensors(file, state), {}, "gpt", sorted(left_out))

    source = "training" if any(name.startswith(TRAINER) for name in state) else "release"
    gpt, rest, others = {}, {}, {}
    for full, value in state.items():
        name = full.removeprefix(TRAINER)
        if DERIVED.fullmatch(name):
            continue
        if name.startswith(GPT):
            gpt[name.removeprefix(GPT)] = value
        elif name.startswith(DECODER) or name == MEL_STATS:
            rest[name] = value
        else:
            others[full] = value
    if EMBEDDING not in gpt:
        there = signatures.looks_like(content) or "no such weights"
        raise UserError(
            f"{file}: expected XTTS weights (with a tensor {GPT}{EMBEDDING}), found {there}; its"
            f" entries: {signatures.entries(content)}. Give a release's model.pth, or a checkpoint"
            " of its training (best_model.pth), as base.model"
        )
    left_out += describe_others(others)
    return Content(_tensors(file, gpt), _tensors(file, rest), source, sorted(left_out))


def _tensors(file: Path, state: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The same, if all are tensors."""
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise UserError(f"{file}: {name}: expected a tensor, got {type(value).__name__}")
    return dict(state)


def read_weights(file: Path) -> dict[str, torch.Tensor]:
    """The GPT's weights by its own names, for a strict load; raises as `read`."""
    return read(file).gpt


def vocabulary_tensors(weights: Mapping[str, torch.Tensor]) -> list[str]:
    """Names of the tensors with one row per token."""
    return [name for name in VOCABULARY if name in weights]


def n_tokens(weights: Mapping[str, torch.Tensor]) -> int:
    """Number of tokens with a row in the embedding."""
    return len(weights[EMBEDDING])
