"""A perceiver: a fixed number of learned latents that attend to a sequence of any length.

XTTS and IndexTTS2 compress the frames of a reference clip with it. Tensor names are those of their
released files (`latents`, `layers.0.0.to_q`, `layers.0.1.0`, `norm.gamma`, ...).

B batch, T frames, N latents, D width, H heads.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Perceiver(nn.Module):
    """`[B, T, C]` frames -> `[B, N, D]` latents.

    In each layer the latents attend to themselves and the frames, then pass a gated feed-forward.

    Args:
        width: D.
        n_latents: N.
        context: C, width of the frames; None for D.
        depth: number of layers.
        heads: H.
        head_width: width of a head; the heads need not add up to D.
    """

    def __init__(
        self,
        width: int,
        *,
        n_latents: int = 32,
        context: int | None = None,
        depth: int = 2,
        heads: int = 8,
        head_width: int = 64,
    ):
        super().__init__()
        same = context in (None, width)
        self.proj_context = nn.Identity() if same else nn.Linear(context, width)
        self.latents = nn.Parameter(0.02 * torch.randn(n_latents, width))
        self.layers = nn.ModuleList(
            nn.ModuleList([CrossAttention(width, heads, head_width), gated(width)])
            for _ in range(depth)
        )
        self.norm = RmsNorm(width)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        """The latents of each sequence.

        Args:
            frames: `[B, T, C]`.
            mask: `[B, T]` bool, False for padding; None if there is none.
        """
        frames = self.proj_context(frames)
        latents = self.latents.expand(len(frames), -1, -1)
        if mask is not None:  # latents attend to latents, too
            mask = F.pad(mask, (latents.shape[1], 0), value=True)[:, None, None]  # [B, 1, 1, N+T]
        for attention, feed_forward in self.layers:
            latents = latents + attention(latents, torch.cat([latents, frames], 1), mask)
            latents = latents + feed_forward(latents)
        return self.norm(latents)


class CrossAttention(nn.Module):
    """Multi-head attention without biases."""

    def __init__(self, width: int, heads: int, head_width: int):
        super().__init__()
        inner = heads * head_width
        self.head_width = head_width
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """`[B, N, D]` queries, `[B, K, D]` keys and a mask over the keys -> `[B, N, D]`."""
        q, k, v = (
            part.unflatten(-1, (-1, self.head_width)).transpose(1, 2)  # [B, H, N or K, head_width]
            for part in (self.to_q(queries), *self.to_kv(keys).chunk(2, -1))
        )
        attended = F.scaled_dot_product_attention(q, k, v, mask)
        return self.to_out(attended.transpose(1, 2).flatten(2))


class Gate(nn.Module):
    """`[..., 2 W]` -> `[..., W]`: the first half times the GELU of the second."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The gated half."""
        values, gate = x.chunk(2, -1)
        return values * F.gelu(gate)


class RmsNorm(nn.Module):
    """Scales each vector to the length sqrt(D), then by `gamma`."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`[..., D]`, normalised."""
        return F.normalize(x, dim=-1) * len(self.gamma) ** 0.5 * self.gamma


def gated(width: int, factor: int = 4) -> nn.Sequential:
    """A gated feed-forward; 2/3 of the usual inner width, as its first matrix has two halves."""
    inner = width * factor * 2 // 3
    return nn.Sequential(nn.Linear(width, 2 * inner), Gate(), nn.Linear(inner, width))
