"""The language model of XTTS and IndexTTS2: GPT-2 over conditions, text and audio codes.

A sequence is `conditions | START text STOP | START codes STOP ...`; the output at each position
predicts the next token of its own kind. Conditions are vectors that a family computes from a
reference clip (`Gpt` has no part for them). Learned positions are added to text and to codes, each
counted from 0. Tensor names are those of the released files.

In a batch, the sequence of each clip has no padding between its parts, only at its end, where
causal attention does not look: so there is no attention mask, and a clip's result does not depend
on the other clips.

The release was trained with the STOP of the text hidden from attention (`text_stop: hidden`);
nothing reads the output there either, so the sequence is then built without it. Upstream's
inference lets the codes attend to it (`text_stop: seen`).

B batch, C conditions, N text ids, M codes, L packed length, D width.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn
from torch.nn import functional as F

import voicekiln.upstream  # noqa: F401  (transformers can import torchaudio after it)
from voicekiln.errors import UserError

if TYPE_CHECKING:
    from transformers import DynamicCache, GPT2Model

IGNORE = -100  # target of positions without loss
TextStop = Literal["hidden", "seen"]


class Positions(nn.Module):
    """A learned vector for each place of a sequence."""

    def __init__(self, n: int, width: int):
        super().__init__()
        self.emb = nn.Embedding(n, width)


class NoPositions(nn.Module):
    """In place of GPT-2's own positions: zero."""

    def forward(self, positions: torch.Tensor) -> torch.Tensor:
        """A scalar 0, which leaves the type of what it is added to."""
        return torch.zeros((), device=positions.device)


class Gpt(nn.Module):
    """GPT-2 with embeddings and heads for text and audio codes.

    Args:
        layers: number of blocks.
        width: D.
        heads: of the attention; divides D.
        n_text_tokens: rows of the text embedding and head.
        n_audio_tokens: rows of the code embedding and head: codes, start and stop.
        max_text_tokens: longest text in tokens; there are 2 positions more.
        max_audio_tokens: longest audio in codes; there are 3 positions more.
        start_text, stop_text: ids around a text.
        start_audio, stop_audio: ids around codes.
        dropout: in the blocks and on their input, while training.
    """

    def __init__(
        self,
        *,
        layers: int,
        width: int,
        heads: int,
        n_text_tokens: int,
        n_audio_tokens: int,
        max_text_tokens: int,
        max_audio_tokens: int,
        start_text: int,
        stop_text: int,
        start_audio: int,
        stop_audio: int,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.start_text, self.stop_text = start_text, stop_text
        self.start_audio, self.stop_audio = start_audio, stop_audio
        self.max_text_tokens, self.max_audio_tokens = max_text_tokens, max_audio_tokens
        self.text_embedding = nn.Embedding(n_text_tokens, width)
        self.mel_embedding = nn.Embedding(n_audio_tokens, width)
        self.text_pos_embedding = Positions(max_text_tokens + 2, width)
        self.mel_pos_embedding = Positions(max_audio_tokens + 3, width)
        self.gpt = _trunk(layers, width, heads, dropout)
        self.final_norm = nn.LayerNorm(width)
        self.text_head = nn.Linear(width, n_text_tokens)
        self.mel_head = nn.Linear(width, n_audio_tokens)
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)

    def embed_text(self, ids: torch.Tensor) -> torch.Tensor:
        """`[B, N]` ids, START among them -> `[B, N, D]`.

        Raises:
            UserError: the text is longer than the model has positions for.
        """
        positions = self.text_pos_embedding.emb.weight
        if ids.shape[1] > len(positions):
            raise UserError(
                f"a text has {ids.shape[1]} tokens with start and stop; the model has positions "
                f"for {len(positions)}: shorten it"
            )
        return self.text_embedding(ids) + positions[: ids.shape[1]]

    def embed_codes(self, ids: torch.Tensor, first: int = 0) -> torch.Tensor:
        """`[B, M]` codes, the first of them at position `first` -> `[B, M, D]`.

        Raises:
            UserError: the audio is longer than the model has positions for.
        """
        positions, end = self.mel_pos_embedding.emb.weight, first + ids.shape[1]
        if end > len(positions):
            raise UserError(
                f"audio has {end} codes with start and stop; the model has positions for "
                f"{len(positions)}: lower segment.max_s"
            )
        return self.mel_embedding(ids) + positions[first:end]

    def hidden(self, embeddings: torch.Tensor, cache: DynamicCache | None = None) -> torch.Tensor:
        """`[B, L, D]` -> `[B, L, D]`, what the heads read.

        Args:
            embeddings: of whole sequences, or of what follows those in the cache.
            cache: keys and values of earlier positions; it is extended.
        """
        out = self.gpt(inputs_embeds=embeddings, past_key_values=cache, use_cache=cache is not None)
        return self.final_norm(out.last_hidden_state)

    def forward(
        self,
        conditions: torch.Tensor,
        text: torch.Tensor,
        n_text: torch.Tensor,
        codes: torch.Tensor,
        n_codes: torch.Tensor,
        *,
        text_stop: TextStop = "hidden",
        stops: int = 1,
        longest: int | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of each token of the texts and the codes, given those before it.

        Args:
            conditions: `[B, C, D]`.
            text: `[B, N]` ids without start and stop; anything after the clip's own.
            n_text: `[B]` ids of each clip.
            codes: `[B, M]`, like `text`.
            n_codes: `[B]` codes of each clip.
            text_stop: whether the codes attend to the text's STOP.
            stops: stop tokens after the codes.
            longest: largest sum of a clip's ids and codes; None to compute it, which waits for the
                device.

        Returns:
            `[B, N + 1, n_text_tokens]` and `[B, M + stops, n_audio_tokens]`, aligned with
            `targets`; rows beyond a clip's own are meaningless.
        """
        if longest is None:
            longest = int((n_text + n_codes).max())
        seen = text_stop == "seen"
        text_in = _inputs(text, n_text, self.start_text, self.stop_text, 2 if seen else 1)
        codes_in = _inputs(codes, n_codes, self.start_audio, self.stop_audio, stops)
        parts = [conditions, self.embed_text(text_in), self.embed_codes(codes_in)]
        n_conditions, n_text_in = conditions.shape[1], text_in.shape[1]
        codes_at = n_conditions + n_text + 1 + seen  # [B] place of the codes' START
        # Place in the padded parts of each place in the packed sequence; at its end any will do.
        place = torch.arange(n_conditions + longest + 1 + seen + stops, device=text.device)
        shift = (n_conditions + n_text_in - codes_at)[:, None]
        order = torch.where(place < codes_at[:, None], place, place + shift)  # [B, L]
        whole = torch.cat(parts, 1)
        hidden = self.hidden(_rows(whole, order.clamp(max=whole.shape[1] - 1)))
        of_text = hidden[:, n_conditions : n_conditions + text.shape[1] + 1]
        at = codes_at[:, None] + torch.arange(codes_in.shape[1], device=text.device)
        of_codes = _rows(hidden, at.clamp(max=hidden.shape[1] - 1))
        return self.text_head(of_text), self.mel_head(of_codes)

    def targets(
        self,
        text: torch.Tensor,
        n_text: torch.Tensor,
        codes: torch.Tensor,
        n_codes: torch.Tensor,
        *,
        stops: int = 1,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Next tokens, for the logits of `forward`: `[B, N + 1]` and `[B, M + stops]`.

        They are the ids and one STOP, and the codes and `stops` stops; `IGNORE` elsewhere.
        """
        return (
            _targets(text, n_text, self.stop_text, 1),
            _targets(codes, n_codes, self.stop_audio, stops),
        )


def cross_entropy_sum(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Sum of the cross entropies of `[B, N, V]` logits where `[B, N]` targets are not `IGNORE`."""
    return F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )


def _trunk(layers: int, width: int, heads: int, dropout: float) -> GPT2Model:
    """GPT-2's blocks and last norm, without its embeddings."""
    # Imported here: it takes seconds, and only callers that need a model pay for it.
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(
        vocab_size=1,
        n_positions=1,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        resid_pdrop=dropout,
        embd_pdrop=dropout,
        attn_pdrop=dropout,
        bos_token_id=None,
        eos_token_id=None,
        attn_implementation="sdpa",
    )
    trunk = GPT2Model(config)
    trunk.wte, trunk.wpe = None, NoPositions()
    return trunk


def _stopped(ids: torch.Tensor, n: torch.Tensor, stop: int, stops: int) -> torch.Tensor:
    """`[B, N]` ids -> `[B, N + stops]`: those of each row, then `stop` to the end."""
    ids = F.pad(ids, (0, stops))
    place = torch.arange(ids.shape[1], device=ids.device)
    return ids.masked_fill(place >= n[:, None], stop)


def _inputs(ids: torch.Tensor, n: torch.Tensor, start: int, stop: int, length: int) -> torch.Tensor:
    """`[B, N + length]`: `start`, the ids of each row, then `stop` to the end."""
    return F.pad(_stopped(ids, n, stop, length - 1), (1, 0), value=start)


def _targets(ids: torch.Tensor, n: torch.Tensor, stop: int, stops: int) -> torch.Tensor:
    """`[B, N + stops]`: the ids of each row, `stops` times `stop`, then `IGNORE`."""
    ids = _stopped(ids, n, stop, stops)
    place = torch.arange(ids.shape[1], device=ids.device)
    return ids.masked_fill(place >= n[:, None] + stops, IGNORE)


def _rows(vectors: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """`[B, K, D]`: the vectors of `[B, L, D]` at `[B, K]` places of their own row."""
    return vectors.gather(1, places[..., None].expand(-1, -1, vectors.shape[2]))
