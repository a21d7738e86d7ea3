"""Checkpoint -> base for fine-tuning: weights without training state, rows for new tokens.

Written as upstream's Trainer takes a `pretrained_*.safetensors`: the entries of its EMA, flat, with
`initted` and `step` as a new EMA has them. Its training, and ours, starts from it at update 0.
"""

import logging
import math
import random
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.families import Files
from voicekiln.families.f5.architecture import count_parameters, shapes
from voicekiln.families.f5.text import Characters
from voicekiln.families.f5.weights import (
    EMA_PREFIX,
    EMBEDDING,
    Base,
    n_tokens,
    read_base,
    require_shapes,
)
from voicekiln.provenance import sha256_file
from voicekiln.tokenizers.characters import describe, read_vocab
from voicekiln.weights import files as checkpoints
from voicekiln.weights.entries import require_numbers

log = logging.getLogger(__name__)

# Standard deviation of the noise on new rows, as a fraction of that of the base's rows.
NOISE = 0.1
FILE = "pretrained_base.safetensors"  # upstream's Trainer starts from it under this name


def fresh_counters() -> dict[str, torch.Tensor]:
    """`initted` and `step` of an EMA that has seen no update; upstream's strict load wants them."""
    return {"initted": torch.tensor(False), "step": torch.tensor(0)}


def relative(token: str, known: set[str]) -> str | None:
    """The known character that a new one is a form of: other case, or without its accent."""
    if len(token) != 1:
        return None
    plain = unicodedata.normalize("NFKD", token)[0]
    for form in (token.lower(), token.upper(), plain, plain.lower(), plain.upper()):
        if form != token and form in known:
            return form
    return None


def new_rows(
    embedding: torch.Tensor, base_tokens: Sequence[str], added: Sequence[str], seed: int
) -> tuple[torch.Tensor, list[str | None]]:
    """Embedding rows for new tokens.

    A new token starts at the row of a known form of it (`É` at `E`), otherwise at the mean of the
    base's tokens, plus a little noise, so that no two new tokens are the same to the network.
    Upstream draws them from a normal distribution of variance 1: directions that the trained
    text blocks have never seen, at a scale that is not the trained rows'. The mean of the trained
    rows is within the range of inputs that the network has seen.

    The sums are exact and the noise is uniform, so the rows are the same bits on every machine.

    Args:
        embedding: `[1 + n_base, D]` row 0 is the filler and counts for nothing here.
        base_tokens: tokens of the base.
        added: tokens to add.
        seed: of the noise.

    Returns:
        `[n_added, D]` of the embedding's dtype, and for each the token it starts from (None: mean).
    """
    columns = embedding[1:].double().T.tolist()  # D lists of n_base numbers
    means = [math.fsum(column) / len(column) for column in columns]
    spreads = [
        math.sqrt(math.fsum((x - mean) ** 2 for x in column) / len(column))
        for column, mean in zip(columns, means, strict=True)
    ]
    known, row_of = set(base_tokens), {token: i for i, token in enumerate(base_tokens)}
    rows, origins = [], []
    for token in added:
        origin = relative(token, known)
        start = means if origin is None else [column[row_of[origin]] for column in columns]
        draw = random.Random(f"{seed}:{token}")
        # Uniform on [-sqrt 3, sqrt 3) has variance 1.
        noise = [math.sqrt(3) * (2 * draw.random() - 1) for _ in columns]
        rows.append([s + NOISE * w * n for s, w, n in zip(start, spreads, noise, strict=True)])
        origins.append(origin)
    width = embedding.shape[1]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, width).to(embedding.dtype), origins


def check(base: Files, arch: Mapping) -> dict[str, torch.Tensor]:
    """The weights of a base that a training can start from.

    Args:
        base: `checkpoint`, of upstream's Trainer, a file of weights or another run's export, and
            `vocab`, the tokens that it was trained with.
        arch: from `architecture`.

    Raises:
        UserError: no weights in the file, weights that do not fit architecture or vocabulary, or
            values that are not finite.
    """
    return checked(base["checkpoint"], read_vocab(base["vocab"]), arch).weights


def checked(checkpoint: Path, vocab: Sequence[str], arch: Mapping) -> Base:
    """Content of a checkpoint that fits the tokens it was trained with; raises as `check`."""
    found = read_base(checkpoint)
    checkpoints.require_whole(checkpoint)
    n_rows = n_tokens(found.weights)
    require_shapes(found.weights, shapes(arch, n_rows), str(checkpoint))
    if n_rows != len(vocab):
        raise UserError(
            f"{checkpoint}: has embedding rows for {n_rows} tokens, but base.vocab holds"
            f" {len(vocab)}; give the vocab.txt that this checkpoint was trained with (of one whose"
            " vocabulary was extended, the extended one)"
        )
    require_numbers(checkpoint, found.weights)
    return found


def reset(
    base: Files, arch: Mapping, tokenizer: Characters, seed: int, out: Path
) -> dict[str, Any]:
    """Write the weights that training starts from; returns the content of reset.json.

    Args:
        base: as for `check`.
        arch: from `architecture`.
        tokenizer: its vocabulary starts with the base's tokens.
        seed: of the new rows' noise.
        out: folder for the file.

    Raises:
        UserError: as `check`; a new vocabulary that does not start with the base's.
    """
    out = Path(out, FILE)
    vocab_base, vocab_new = read_vocab(base["vocab"]), tokenizer.vocab
    name = Path(base["checkpoint"]).name
    found = checked(base["checkpoint"], vocab_base, arch)
    require_extension(vocab_base, vocab_new)
    if found.training_state:
        log.info("%s: removed: %s", name, "; ".join(found.training_state))
    else:
        log.info("%s: holds weights only, nothing to remove", name)

    added = list(vocab_new[len(vocab_base) :])
    old = found.weights[EMBEDDING]
    rows, origins = new_rows(old, vocab_base, added, seed) if added else (old[:0], [])
    weights = found.weights | {EMBEDDING: torch.cat([old, rows])}
    write(out, weights)

    return {
        "family": "f5",
        "base": {
            "file": name,
            "bytes": Path(base["checkpoint"]).stat().st_size,
            "sha256": sha256_file(base["checkpoint"]),
            "weights_from": found.source,
            "weights_sha256": checkpoints.state_sha256(found.weights),
        },
        "stripped": found.training_state,
        "counters": {"initted": False, "step": 0},
        "vocabulary": {
            "tensor": EMBEDDING,
            "base_tokens": len(vocab_base),
            "tokens": len(vocab_new),
            "noise": NOISE,
            "seed": seed,
            "added": [
                describe(token) | {"row": len(vocab_base) + 1 + i, "starts_from": origin or "mean"}
                for i, (token, origin) in enumerate(zip(added, origins, strict=True))
            ],
        },
        "tensors": verify(out, found.weights),
        "parameters": count_parameters(arch, len(vocab_new)),
        "weights_sha256": checkpoints.state_sha256(weights),
        "file": {
            "name": out.name,
            "bytes": out.stat().st_size,
            "sha256": sha256_file(out),
        },
    }


def strip(checkpoint: Path, out: Path) -> dict:
    """Write a checkpoint's weights without its training state; the vocabulary stays.

    Args:
        checkpoint: as `base` of `reset`.
        out: the file to write, by its suffix; see `write`.

    Returns:
        `weights_from`, `stripped`, `tensors`, `parameters` and `weights_sha256`, as reset.json.

    Raises:
        UserError: no weights in the file, or weights that cannot be trained.
    """
    found = read_base(checkpoint)
    checkpoints.require_whole(checkpoint)
    require_numbers(checkpoint, found.weights)
    write(out, found.weights)
    return {
        "weights_from": found.source,
        "stripped": found.training_state,
        "tensors": verify(out, found.weights),
        "parameters": sum(tensor.numel() for tensor in found.weights.values()),
        "weights_sha256": checkpoints.state_sha256(found.weights),
    }


def write(out: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write weights as upstream's Trainer starts from them, atomically.

    The entries of a new EMA: flat in `.safetensors`, under `ema_model_state_dict` in `.pt`.
    """
    entries = {EMA_PREFIX + key: tensor for key, tensor in weights.items()} | fresh_counters()
    flat = Path(out).suffix.lower() == ".safetensors"
    checkpoints.write_atomic(out, entries if flat else {"ema_model_state_dict": entries})


def require_extension(vocab_base: Sequence[str], vocab_new: Sequence[str]) -> None:
    """Raise unless a vocabulary starts with the base's tokens in their order."""
    for i, token in enumerate(vocab_base):
        if i >= len(vocab_new) or vocab_new[i] != token:
            there = repr(vocab_new[i]) if i < len(vocab_new) else "nothing"
            raise UserError(
                f"vocabulary: token {i} is {there}, but {token!r} in base.vocab; a vocabulary for"
                " this base must start with all its tokens in their order"
            )


def verify(out: Path, before: dict[str, torch.Tensor]) -> dict:
    """Read the written file back and compare it with the base's weights, bit for bit.

    Raises:
        RuntimeError: a tensor or an old row changed, or a training state is still there.
    """
    written = read_base(out)
    after = written.weights
    if written.training_state or set(after) != set(before):
        raise RuntimeError(f"{out}: not a clean base: {written.training_state}")
    equal = [
        name
        for name in before
        if checkpoints.tensor_sha256(after[name]) == checkpoints.tensor_sha256(before[name])
    ]
    grown = sorted(set(before) - set(equal))
    n_old = before[EMBEDDING].shape[0]
    old_rows = checkpoints.tensor_sha256(after[EMBEDDING][:n_old])
    if grown not in ([], [EMBEDDING]) or old_rows != checkpoints.tensor_sha256(before[EMBEDDING]):
        raise RuntimeError(f"{out}: changed while it was written: {grown}")
    return {
        "total": len(before),
        "bit_equal": len(equal),
        "grown": grown,
        "grown_rows_bit_equal": n_old if grown else 0,
    }
