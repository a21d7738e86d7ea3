"""Checkpoint -> base for fine-tuning: weights without training state, rows for new tokens.

Written as upstream's Trainer takes a `pretrained_*.safetensors`: the entries of its EMA, flat, with
`initted` and `step` as a new EMA has them. Its training, and ours, starts from it at update 0.
"""

import logging
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
from voicekiln.families.rows import NOISE, noise, statistics
from voicekiln.provenance import sha256_file
from voicekiln.tokenizers.characters import describe, read_vocab, relative
from voicekiln.weights import files as checkpoints
from voicekiln.weights.entries import require_numbers

log = logging.getLogger(__name__)

FILE = "pretrained_base.safetensors"  # upstream's Trainer starts from it under this name


def fresh_counters() -> dict[str, torch.Tensor]:
    """`initted` and `step` of an EMA that has seen no update; upstream's strict load wants them."""
    return {"initted": torch.tensor(False), "step": torch.tensor(0)}


def new_rows(
    embedding: torch.Tensor,
    base_tokens: Sequence[str],
    added: Sequence[str],
    seed: int,
    how: str = "mean",
) -> tuple[torch.Tensor, list[str | None]]:
    """Embedding rows for new tokens.

    A new token starts at the row of a known form of it (`É` at `E`), otherwise at the mean of the
    base's tokens, plus a little noise, so that no two new tokens are the same to the network.
    Upstream draws them from a normal distribution of variance 1: directions that the trained
    text blocks have never seen, at a scale that is not the trained rows'. The mean of the trained
    rows is within the range of inputs that the network has seen.

    Args:
        embedding: `[1 + n_base, D]` row 0 is the filler and counts for nothing here.
        base_tokens: tokens of the base.
        added: tokens to add.
        seed: of the noise.
        how: `mean`, as above, or `random`: of variance 1, as upstream draws them.

    Returns:
        `[n_added, D]` of the embedding's dtype, and for each the token it starts from, `mean` or
        `random`.
    """
    width = embedding.shape[1]
    means, spreads = statistics(embedding[1:])
    row_of = {token: 1 + i for i, token in enumerate(base_tokens)}
    rows, origins = [], []
    for token in added:
        draws = noise(seed, token, width)
        if how == "random":
            rows.append(draws)
            origins.append("random")
            continue
        origin = relative(token, row_of)
        start = means if origin is None else embedding[row_of[origin]].double().tolist()
        rows.append([s + NOISE * w * n for s, w, n in zip(start, spreads, draws, strict=True)])
        origins.append(origin or "mean")
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
    base: Files,
    arch: Mapping,
    tokenizer: Characters,
    settings: Mapping[str, Any],
    texts: Sequence[tuple[str, str]],
    out: Path,
) -> dict[str, Any]:
    """Write the weights that training starts from; returns the content of reset.json.

    Args:
        base: as for `check`.
        arch: from `architecture`.
        tokenizer: its vocabulary starts with the base's tokens.
        settings: section `reset`.
        texts: not used; benchmarks/new_rows.py measures what new rows cost.
        out: folder for the file.

    Raises:
        UserError: as `check`; a new vocabulary that does not start with the base's.
    """
    out, seed = Path(out, FILE), settings["seed"]
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
    rows, origins = (
        new_rows(old, vocab_base, added, seed, settings["new_rows"]) if added else (old[:0], [])
    )
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
                describe(token) | {"row": len(vocab_base) + 1 + i, "starts_from": origin}
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
