"""The encoder of XTTS's discrete VAE: mel spectrogram -> audio codes, by upstream's tensor names.

Two convolutions of stride 2, residual blocks and a projection to the codebook's space; a step's
code is the index of the nearest code word. The decoder of dvae.pth is never used: XTTS's own
decoder makes speech from the GPT's latents.

`T` frames, `M` = ceil(T / 4) steps, `D` dimensions of a code word, `C` code words.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from voicekiln.errors import UserError
from voicekiln.weights import files as checkpoints
from voicekiln.weights import signatures
from voicekiln.weights.entries import differences

N_MELS = 80
# Names of the tensors that tell the sizes; each is unpacked to the dimensions in its comment.
FIRST = "encoder.0.0.weight"  # [width, N_MELS, 3]
CODEBOOK = "codebook.embed"  # [D, C]
BLOCK = re.compile(r"encoder\.\d+\.net\.0\.weight")
MAX_CODES = torch.iinfo(torch.int16).max  # features hold codes as int16


class Residual(nn.Module):
    """x + conv(relu(conv(relu(conv(x)))))."""

    def __init__(self, width: int):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.net(x)


class Codebook(nn.Module):
    """Code words; `embed` is `[D, C]`."""

    def __init__(self, n_dims: int, n_codes: int):
        super().__init__()
        self.register_buffer("embed", torch.randn(n_dims, n_codes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Index of the code word that is nearest to each row of `[M, D]`. `[M]` int64."""
        # The square of the row changes no order, but the rounding: with it the codes are
        # upstream's even where two code words are equally near.
        squared = x.square().sum(1, keepdim=True) - 2 * x @ self.embed + self.embed.square().sum(0)
        return squared.argmin(1)


class Encoder(nn.Module):
    """The part of the DVAE that turns a mel spectrogram into codes.

    Args:
        width: channels after the first convolution, half of those in the blocks; released: 512.
        n_blocks: residual blocks; released: 3.
        n_dims: dimensions of a code word; released: 512.
        n_codes: code words; released: 1024.
    """

    def __init__(self, width: int, n_blocks: int, n_dims: int, n_codes: int):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Sequential(nn.Conv1d(N_MELS, width, 3, stride=2, padding=1), nn.ReLU()),
            nn.Sequential(nn.Conv1d(width, 2 * width, 3, stride=2, padding=1), nn.ReLU()),
            *(Residual(2 * width) for _ in range(n_blocks)),
            nn.Conv1d(2 * width, n_dims, 1),
        )
        self.codebook = Codebook(n_dims, n_codes)

    @property
    def n_codes(self) -> int:
        return self.codebook.embed.shape[1]

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Codes `[M]` int64 of a mel spectrogram `[T, N_MELS]`."""
        return self.codebook(self.encoder(mel.T[None])[0].T)


def read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in dvae.pth that make codes, by upstream's names.

    Upstream loads the file without requiring its names, and trains on the codes of random weights
    if it is another one.

    Raises:
        UserError: not readable, no DVAE, or one that is not XTTS's.
    """
    content = checkpoints.read(path)
    tensors = {
        name: value
        for name, value in content.items()
        if (name.startswith("encoder.") or name == CODEBOOK) and isinstance(value, torch.Tensor)
    }
    sizes = _sizes(tensors)
    if sizes is None:
        there = signatures.looks_like(content) or "no such tensors"
        raise UserError(
            f"{path}: expected the DVAE of an XTTS release (with tensors {FIRST} and {CODEBOOK}),"
            f" found {there}; its entries: {signatures.entries(content)}. Give the release's"
            " dvae.pth as base.dvae"
        )
    if sizes["n_codes"] > MAX_CODES:
        raise UserError(
            f"{path}: {CODEBOOK}: expected at most {MAX_CODES} code words, got {sizes['n_codes']}"
        )
    with torch.device("meta"):
        expected = Encoder(**sizes).state_dict()
    if different := differences(tensors, expected):
        raise UserError(
            f"{path}: not the DVAE of an XTTS release: {different}. Give the release's dvae.pth as"
            " base.dvae"
        )
    return tensors


def build(tensors: Mapping[str, torch.Tensor]) -> Encoder:
    """The encoder with the tensors that `read` returned, in float32, without gradients."""
    with torch.device("meta"):
        encoder = Encoder(**_sizes(tensors))
    state = {name: tensor.float() for name, tensor in tensors.items()}
    encoder.load_state_dict(state, assign=True)
    return encoder.eval().requires_grad_(False)


def _sizes(tensors: Mapping[str, torch.Tensor]) -> dict[str, int] | None:
    """Arguments of `Encoder`; None if a tensor is missing or has another number of dimensions."""
    first, embed = tensors.get(FIRST), tensors.get(CODEBOOK)
    if first is None or first.ndim != 3 or embed is None or embed.ndim != 2:
        return None
    return {
        "width": first.shape[0],
        "n_blocks": sum(BLOCK.fullmatch(name) is not None for name in tensors),
        "n_dims": embed.shape[0],
        "n_codes": embed.shape[1],
    }
