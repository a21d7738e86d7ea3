"""The conditions of XTTS's GPT: an encoder and a perceiver over the mel of a reference clip.

Group normalisation and attention see all frames of a clip. With clips of different lengths in a
batch, both are restricted to a clip's own frames, so padding changes nothing.

B batch, T frames, D width, H heads, W width of a head.
"""

import torch
from torch import nn
from torch.nn import functional as F


class ConditioningEncoder(nn.Module):
    """`[B, T, n_mels]` frames -> `[B, T, D]`: a projection and blocks of self-attention.

    Args:
        n_mels: of a frame.
        width: D.
        heads: H.
        depth: number of blocks.
    """

    def __init__(self, n_mels: int, width: int, heads: int, depth: int = 6):
        super().__init__()
        self.init = nn.Conv1d(n_mels, width, 1)
        self.attn = nn.ModuleList(SelfAttention(width, heads) for _ in range(depth))

    def forward(self, frames: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The encoded frames.

        Args:
            frames: `[B, T, n_mels]`.
            mask: `[B, T]` bool, False for padding; None if there is none.
        """
        x = self.init(frames.transpose(1, 2))  # [B, D, T]
        for block in self.attn:
            x = block(x, mask)
        return x.transpose(1, 2)


class SelfAttention(nn.Module):
    """Normalises by groups of channels, then adds attention among the frames."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = GroupNorm(n_groups(width), width)
        self.qkv = nn.Conv1d(width, 3 * width, 1)
        self.proj_out = nn.Conv1d(width, width, 1)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """`[B, D, T]` and `[B, T]` or None -> `[B, D, T]`."""
        x = self.norm(x, mask)
        heads = self.qkv(x).unflatten(1, (self.heads, -1)).transpose(2, 3)  # [B, H, T, 3 W]
        keys = None if mask is None else mask[:, None, None]
        attended = F.scaled_dot_product_attention(*heads.chunk(3, -1), keys)
        return x + self.proj_out(attended.transpose(2, 3).flatten(1, 2))


class GroupNorm(nn.GroupNorm):
    """Group normalisation in float32 over a clip's own frames."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """`[B, D, T]`, normalised; `mask` is `[B, T]` bool, False for padding."""
        if mask is None:
            return super().forward(x.float()).to(x.dtype)
        own = mask[:, None, None].float()  # [B, 1, 1, T]
        groups = x.float().unflatten(1, (self.num_groups, -1))  # [B, G, D / G, T]
        n = own.sum(-1, keepdim=True) * groups.shape[2]
        mean = (groups * own).sum((2, 3), keepdim=True) / n
        variance = ((groups - mean).square() * own).sum((2, 3), keepdim=True) / n
        normed = ((groups - mean) * (variance + self.eps).rsqrt()).flatten(1, 2)
        return (normed * self.weight[:, None] + self.bias[:, None]).to(x.dtype)


def n_groups(width: int) -> int:
    """Groups of the release's norms: 32, or fewer for narrow models and if they do not divide."""
    groups = 8 if width <= 16 else 16 if width <= 64 else 32
    while width % groups:
        groups //= 2
    return groups
