"""The repeated blocks of a model, which cost nearly all of its time and memory."""

from collections.abc import Sequence
from functools import partial

import torch
from torch.utils.checkpoint import checkpoint as recomputed


def checkpoint(blocks: Sequence[torch.nn.Module]) -> None:
    """Keep only the inputs of the blocks for the gradients; activations are computed again."""
    for block in blocks:
        block.forward = partial(recomputed, block.forward, use_reentrant=False)


def compile(blocks: Sequence[torch.nn.Module]) -> None:
    """Compile the blocks at their first call, once for all of them and for all lengths."""
    for block in blocks:
        block.compile(dynamic=True)
