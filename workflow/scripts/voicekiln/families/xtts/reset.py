"""XTTS base -> weights that training starts from: the GPT alone, with rows for new tokens.

Text embedding, text head and its bias have a row for each token. A new piece starts at the mean of
the base's pieces that it replaces, so that a text means to the model what it did before, only in
fewer tokens; a new language's tag at the mean of the other languages' tags. The decoder is never
trained and stays in the base's files.
"""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tokenizers
import torch

from voicekiln.errors import UserError
from voicekiln.families import Files
from voicekiln.families.gpt import cross_entropy_sum
from voicekiln.families.rows import NOISE, noise, statistics
from voicekiln.families.xtts import sizes
from voicekiln.families.xtts import weights as xtts_weights
from voicekiln.families.xtts.check import checked_model
from voicekiln.families.xtts.cleaners import TAG
from voicekiln.families.xtts.model import build
from voicekiln.families.xtts.text import Pieces
from voicekiln.provenance import sha256_file
from voicekiln.tokenizers.characters import describe, relative
from voicekiln.weights import files as checkpoints
from voicekiln.weights.entries import require_numbers

log = logging.getLogger(__name__)

FILE = "xtts_gpt.safetensors"
UNKNOWN = "[UNK]"
HOW = ("mean", "random")


def reset(
    base: Files,
    arch: Mapping[str, Any],
    tokenizer: Pieces,
    settings: Mapping[str, Any],
    texts: Sequence[tuple[str, str]],
    out: Path,
) -> dict[str, Any]:
    """Write the weights that training starts from; returns the content of reset.json.

    Args:
        base: a release, or the files of a voice.
        arch: from `architecture`.
        tokenizer: its vocabulary has all tokens of the base under their ids.
        settings: `seed`, and `new_rows`: `mean`, as above, or `random`, of variance 1 as coqui's
            trainer draws them.
        texts: held-out sentences and their languages; the base's loss on them is recorded for both
            kinds of new rows.
        out: folder for the file.

    Raises:
        UserError: a damaged base, or a vocabulary that is not an extension of the base's.
    """
    out, file = Path(out, FILE), Path(base["model"])
    found = checked_model(base, arch)
    old_ids = sizes.token_ids(base["vocab"])
    added = added_tokens(old_ids, tokenizer)
    origins = replaced(base["vocab"], old_ids, added)
    grown = {
        how: grow(found.gpt, added, origins, settings["seed"], how) if added else found.gpt
        for how in HOW
    }
    weights = grown[settings["new_rows"]]
    checkpoints.write_atomic(out, weights)
    names = {i: token for token, i in old_ids.items()}
    n_old = sizes.n_tokens(old_ids)
    losses = None
    if added and texts:
        losses = measure(grown, arch, tokenizer, texts, base["speakers"])
    stripped = found.left_out + ([f"{len(found.rest)} tensors outside the GPT"] * bool(found.rest))
    return {
        "family": "xtts",
        "base": {
            "file": file.name,
            "bytes": file.stat().st_size,
            "sha256": sha256_file(file),
            "weights_from": found.source,
            "weights_sha256": checkpoints.state_sha256(found.gpt),
        },
        "stripped": stripped,
        "vocabulary": {
            "base_tokens": n_old,
            "tokens": tokenizer.n_tokens,
            "new_rows": settings["new_rows"],
            "noise": NOISE,
            "seed": settings["seed"],
            "added": [
                describe(token)
                | {
                    "row": n_old + i,
                    "starts_from": [names[one] for one in origins[i]] or "mean"
                    if settings["new_rows"] == "mean"
                    else "random",
                }
                for i, token in enumerate(added)
            ],
        },
        "text_loss": losses,
        "tensors": verify(out, found.gpt),
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "weights_sha256": checkpoints.state_sha256(weights),
        "file": {
            "name": out.name,
            "bytes": out.stat().st_size,
            "sha256": sha256_file(out),
        },
    }


def added_tokens(old_ids: Mapping[str, int], tokenizer: Pieces) -> list[str]:
    """The tokens that the base lacks, in the order of their ids.

    Raises:
        UserError: a token of the base is missing or has another id, or new ids have gaps.
    """
    for token, i in old_ids.items():
        if tokenizer.vocab.get(token) != i:
            raise UserError(
                f"vocabulary: token {token!r} has the id {tokenizer.vocab.get(token)}, but {i} in"
                " base.vocab; a vocabulary for this base must have all its tokens under their ids"
            )
    added = sorted(set(tokenizer.vocab) - set(old_ids), key=tokenizer.vocab.get)
    n_old = sizes.n_tokens(old_ids)
    for expected, token in enumerate(added, n_old):
        if tokenizer.vocab[token] != expected:
            raise UserError(
                f"vocabulary: token {token!r} has the id {tokenizer.vocab[token]}, expected"
                f" {expected}; ids of new tokens follow those of base.vocab without gaps"
            )
    return added


def replaced(vocab: Path, old_ids: Mapping[str, int], added: Sequence[str]) -> list[list[int]]:
    """Ids of the base's tokens that each new token starts from; [] for the mean of all."""
    base = tokenizers.Tokenizer.from_file(str(vocab))
    tags = [i for token, i in old_ids.items() if TAG.fullmatch(token)]
    found = []
    for token in added:
        if TAG.fullmatch(token):
            found.append(tags)
            continue
        ids = base.encode(token, add_special_tokens=False).ids
        known = [i for i in ids if i != old_ids.get(UNKNOWN)]
        form = relative(token, old_ids)
        if not known and form is not None:
            known = [old_ids[form]]
        found.append(known)
    return found


def grow(
    gpt: Mapping[str, torch.Tensor],
    added: Sequence[str],
    origins: Sequence[Sequence[int]],
    seed: int,
    how: str,
) -> dict[str, torch.Tensor]:
    """The same weights with rows for new tokens.

    Args:
        gpt: the base's.
        added: new tokens.
        origins: of each, ids of the base's tokens that its rows are the mean of. Without any, they
            are the mean of all and a little noise, so that no two tokens are the same to the model.
        seed: of the noise.
        how: `mean` or `random`.
    """
    names = xtts_weights.vocabulary_tensors(gpt)
    parts = [gpt[name].reshape(len(gpt[name]), -1) for name in names]  # [V, D], [V, D], [V, 1]
    old = torch.cat([part.double() for part in parts], 1)  # [V, 2 D + 1]
    width, all_of = old.shape[1], None
    rows = []
    for token, ids in zip(added, origins, strict=True):
        if how == "random":
            rows.append(torch.tensor(noise(seed, token, width), dtype=torch.float64))
        elif ids:
            total = old[ids[0]].clone()
            for i in ids[1:]:
                total += old[i]
            rows.append(total / len(ids))
        else:
            all_of = all_of or tuple(torch.tensor(v, dtype=torch.float64) for v in statistics(old))
            draws = torch.tensor(noise(seed, token, width), dtype=torch.float64)
            rows.append(all_of[0] + NOISE * all_of[1] * draws)
    new = torch.stack(rows).split([part.shape[1] for part in parts], 1)
    return dict(gpt) | {
        name: torch.cat([gpt[name], own.to(gpt[name].dtype).reshape(-1, *gpt[name].shape[1:])])
        for name, own in zip(names, new, strict=True)
    }


@torch.no_grad()
def measure(
    grown: Mapping[str, Mapping[str, torch.Tensor]],
    arch: Mapping[str, Any],
    tokenizer: Pieces,
    texts: Sequence[tuple[str, str]],
    speakers: Path,
) -> dict[str, Any] | None:
    """Mean cross entropy of the texts' tokens before any training, by kind of new rows.

    The conditions are those of the first of the release's voices.

    Returns:
        number of `texts`, and the loss by the names in `grown`; None without a voice or a text
        that fits.
    """
    voices = checkpoints.read(speakers)
    ids = [tokenizer.encode(text, language) for text, language in texts]
    ids = [torch.tensor(one) for one in ids if len(one) <= arch["max_text_tokens"]]
    if not voices or not ids:
        return None
    conditions = next(iter(voices.values()))["gpt_cond_latent"].float()  # [1, C, D]
    losses = {}
    for how, weights in grown.items():
        with torch.device("meta"):
            model = build(arch, tokenizer.n_tokens).eval()
        model.load_state_dict({k: v.float() for k, v in weights.items()}, assign=True)
        total, n = 0.0, 0
        for one in ids:
            text = one[None], torch.tensor([len(one)])
            codes = torch.zeros(1, 0, dtype=torch.long), torch.tensor([0])
            logits, _ = model(conditions, *text, *codes)
            targets, _ = model.targets(*text, *codes)
            total += float(cross_entropy_sum(logits, targets))
            n += len(one) + 1
        losses[how] = round(total / n, 3)
    log.info("loss of %d held-out texts before training, by kind of new rows: %s", len(ids), losses)
    return {"texts": len(ids)} | losses


def strip(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Write a checkpoint's weights without its training state and its DVAE.

    Of a file of coqui's trainer: the `model.pth` that coqui-tts loads. Of a reset base or of a
    checkpoint of a training here: the GPT alone.

    Args:
        checkpoint: any file with XTTS weights.
        out: the file to write; `{"model": ...}`, flat in `.safetensors`.

    Returns:
        `weights_from`, `stripped`, `tensors`, `parameters` and `weights_sha256`, as reset.json.

    Raises:
        UserError: no weights in the file, or weights that cannot be trained.
    """
    found = xtts_weights.read(checkpoint)
    checkpoints.require_whole(checkpoint)
    require_numbers(checkpoint, found.gpt)
    state = found.gpt
    if found.rest:
        state = {xtts_weights.GPT + name: tensor for name, tensor in found.gpt.items()}
        state |= found.rest
    flat = Path(out).suffix.lower() == ".safetensors"
    checkpoints.write_atomic(out, state if flat else {"model": state})
    return {
        "weights_from": found.source,
        "stripped": found.left_out,
        "tensors": verify(out, found.gpt),
        "parameters": sum(tensor.numel() for tensor in found.gpt.values()),
        "weights_sha256": checkpoints.state_sha256(found.gpt),
    }


def verify(out: Path, before: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Read the written file back and compare it with the base's GPT, bit for bit.

    Raises:
        RuntimeError: a tensor or an old row changed, or a training state is still there.
    """
    written = xtts_weights.read(out)
    after = written.gpt
    if written.left_out or set(after) != set(before):
        raise RuntimeError(f"{out}: not a clean base: {written.left_out}")
    equal = {
        name
        for name in before
        if checkpoints.tensor_sha256(after[name]) == checkpoints.tensor_sha256(before[name])
    }
    grown = sorted(set(before) - equal)
    n_old = xtts_weights.n_tokens(before)
    if not set(grown) <= set(xtts_weights.VOCABULARY):
        raise RuntimeError(f"{out}: changed while it was written: {grown}")
    for name in grown:
        old_rows = checkpoints.tensor_sha256(after[name][:n_old])
        if old_rows != checkpoints.tensor_sha256(before[name]):
            raise RuntimeError(f"{out}: rows of the base changed: {name}")
    return {
        "total": len(before),
        "bit_equal": len(equal),
        "grown": grown,
        "grown_rows_bit_equal": n_old if grown else 0,
    }
