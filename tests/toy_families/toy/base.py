"""The base of the toy family: its vocabulary, its weights, and the gain of its features."""

import json
from collections import Counter
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from voicekiln.errors import UserError
from voicekiln.families.toy.text import NAME
from voicekiln.provenance import sha256_file
from voicekiln.weights.files import state_sha256, tensor_sha256

EMBEDDING = "toy_text.weight"
GAIN = "extractor.gain"  # of the features; no part of the model


def extend(base, texts, settings, out):
    known = json.loads(Path(base["vocab"]).read_text())
    counts = Counter(letter for text, _ in texts.values() for letter in text)
    new = sorted(set(counts) - set(known))
    if new and not settings["extend"]:
        raise UserError(f"tokenizer.extend is false, but the base lacks {new}")
    Path(out, NAME).write_text(json.dumps([*known, *new]))
    covered = sum(n for letter, n in counts.items() if letter in known)
    return {
        "base_tokens": len(known),
        "tokens": len(known) + len(new),
        "texts": len(texts),
        "text_tokens": counts.total(),
        "base_coverage": covered / counts.total(),
        "coverage": 1.0,
        "added": [{"token": letter, "count": counts[letter]} for letter in new],
        "unknown": [],
        "files": [NAME],
    }


def read_weights(file):
    return {name: tensor for name, tensor in load_file(file).items() if name != GAIN}


def gain(base):
    return float(load_file(base["checkpoint"])[GAIN]) if "checkpoint" in base else 1.0


def feature_basis(base):
    return {GAIN: tensor_sha256(load_file(base["checkpoint"])[GAIN])}


def check(base, arch):
    weights = read_weights(base["checkpoint"])
    n_tokens = len(json.loads(Path(base["vocab"]).read_text()))
    if len(weights[EMBEDDING]) != n_tokens or weights[EMBEDDING].shape[1] != arch["width"]:
        raise UserError(f"{base['checkpoint']}: does not fit {n_tokens} tokens or base.model")
    return weights


def reset(base, arch, tokenizer, settings, texts, out):
    before, file = check(base, arch), Path(out, "toy_base.safetensors")
    old = before[EMBEDDING]
    added = tokenizer.letters[len(old) :]
    noise = torch.randn(
        len(added), old.shape[1], generator=torch.Generator().manual_seed(settings["seed"])
    )
    after = before | {EMBEDDING: torch.cat([old, old.mean(0) + 0.01 * noise])}
    save_file(after, file)
    checkpoint = Path(base["checkpoint"])
    return {
        "base": {
            "file": checkpoint.name,
            "bytes": checkpoint.stat().st_size,
            "sha256": sha256_file(checkpoint),
            "weights_from": "weights",
        },
        "stripped": [],
        "vocabulary": {"base_tokens": len(old), "tokens": tokenizer.n_tokens, "added": added},
        "tensors": {
            "total": len(before),
            "bit_equal": len(before) - bool(added),
            "grown": [EMBEDDING] if added else [],
            "grown_rows_bit_equal": len(old) if added else 0,
        },
        "parameters": sum(tensor.numel() for tensor in after.values()),
        "weights_sha256": state_sha256(after),
        "file": {"name": file.name, "bytes": file.stat().st_size, "sha256": sha256_file(file)},
    }


def strip(checkpoint, out):
    weights = read_weights(checkpoint)
    save_file(weights, out)
    return {
        "weights_from": "weights",
        "stripped": [],
        "tensors": {"total": len(weights), "bit_equal": len(weights)},
        "parameters": sum(tensor.numel() for tensor in weights.values()),
        "weights_sha256": state_sha256(weights),
    }


def vocabulary_tensors(weights):
    return [EMBEDDING]
