"""Entries of a checkpoint: descriptions for people, and tensors that cannot be trained."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.weights.files import Skipped

FEW = 3  # entries of a part of a checkpoint that are listed one by one
LISTED = 3  # differences that an error names
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def describe_others(entries: Mapping[str, Any]) -> list[str]:
    """Descriptions of other entries; parts with more than `FEW` tensors get one line."""
    parts: dict[str, list[str]] = {}
    for name in entries:
        parts.setdefault(name.split(".")[0], []).append(name)
    described = []
    for part, names in parts.items():
        if len(names) > FEW:
            described.append(f"{part}.* ({len(names)} entries)")
        else:
            described += [describe_entry(name, entries[name]) for name in names]
    return described


def describe_entry(name: str, value, prefix: str = "") -> str:
    """Description of an entry of a checkpoint: name and value, or name and number of entries."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, bool | int | float | str):
        return f"{prefix}{name} = {value}"
    if isinstance(value, Skipped):
        return f"{prefix}{name} (a pickled object, not read)"
    if isinstance(value, dict | list | tuple):
        return f"{prefix}{name} ({len(value)} entries)"
    return f"{prefix}{name}"


def require_numbers(base: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Raise for tensors that cannot be trained: quantised, sparse, without data, not finite."""
    for name, tensor in weights.items():
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not plain or tensor.dtype not in FLOATS:
            kind = tensor.dtype if plain else f"{tensor.layout} on {tensor.device}"
            raise UserError(
                f"{base}: tensor {name}: expected {', '.join(map(str, FLOATS))}, got {kind}; a"
                " quantised or emptied checkpoint cannot be trained, give the one it was made from"
            )
        if not torch.isfinite(tensor).all():
            raise UserError(
                f"{base}: tensor {name} holds NaN or infinite values; its training had broken"
                " down, take an earlier checkpoint of it"
            )


def differences(found: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """The first tensors that differ in name or shape, for an error; empty if none does."""
    different = [
        f"{name}: {_shape(found, name)} in the file, expected {_shape(expected, name)}"
        for name in sorted({*found, *expected})
        if _shape(found, name) != _shape(expected, name)
    ]
    more = f"; {len(different) - LISTED} more" if len(different) > LISTED else ""
    return "; ".join(different[:LISTED]) + more


def _shape(tensors: Mapping[str, torch.Tensor], name: str) -> str:
    return str(tuple(tensors[name].shape)) if name in tensors else "no such tensor"
