"""Atomic checkpoints: verified on read, pruned by count.

A checkpoint is a folder `checkpoint_<update>` with

    ema.safetensors  EMA weights by the model's names, which are exported
    state.pt         model, optimiser, scaler, counters, from which training continues
    meta.json        update, position, run identity, losses, sha256 of both files; written last

written under a temporary name, synced and renamed. `best.json` and `last.json` next to the folders
name one of them; they are files and not links, because they carry hash and loss, and because not
every file system has links.
"""

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file
from voicekiln.store.files import read_json, unique_name
from voicekiln.training.log.records import write_json

log = logging.getLogger("train")

WEIGHTS, STATE, META = "ema.safetensors", "state.pt", "meta.json"
PREFIX = "checkpoint_"
# hidden names: replaced by another one of its number; being removed
OLD, GONE = ".old", ".gone"


def save(folder: Path, ema: dict[str, torch.Tensor], state: dict, meta: dict[str, Any]) -> Path:
    """Write `checkpoint_<meta["update"]>`; returns its path once it is safely on disk.

    Raises:
        UserError: the disk is full or cannot be written; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PREFIX}{meta['update']}"
    mark = unique_name()
    part = folder / f".{target.name}.{mark}.part"
    try:
        part.mkdir()
        save_file({k: v.detach().cpu().contiguous() for k, v in ema.items()}, part / WEIGHTS)
        with open(part / STATE, "wb") as file:
            torch.save(state, file)
        sync(part / WEIGHTS)
        sync(part / STATE)
        files = {name: sha256_file(part / name) for name in (WEIGHTS, STATE)}
        write_json(part / META, meta | {"sha256": files})
        sync(part)
        old = folder / f".{target.name}.{mark}{OLD}"
        if target.exists():
            # a damaged one, or the same state before its validation
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        sync(folder)
    except (OSError, RuntimeError, SafetensorError) as error:
        # a full disk: the type depends on the writer
        shutil.rmtree(part, ignore_errors=True)
        raise UserError(
            f"{target}: cannot be written ({str(error).splitlines()[0]}); earlier checkpoints are "
            "intact. Make room or lower train.keep, then run again"
        ) from error
    return target


def sync(path: Path) -> None:
    """Wait until a file or folder is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def found(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first; unchecked."""
    if not folder.is_dir():
        return []
    named = [p for p in folder.iterdir() if p.name.removeprefix(PREFIX).isdecimal() and p.is_dir()]
    return sorted(named, key=update_of, reverse=True)


def update_of(checkpoint: Path) -> int:
    """The update in a checkpoint's name."""
    return int(checkpoint.name.removeprefix(PREFIX))


def good(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Undamaged checkpoints, newest first, each with its meta."""
    for old in folder.glob(f".{PREFIX}*{OLD}"):
        # killed before the one that replaces it had its name
        target = folder / old.name[1:].split(".")[0]
        if not target.exists():
            with contextlib.suppress(FileNotFoundError):  # another process did it
                old.rename(target)
    for checkpoint in found(folder):
        meta = read_json(checkpoint / META)
        try:
            files = meta["sha256"] if meta else {}
            wrong = [n for n in (WEIGHTS, STATE) if files.get(n) != sha256_file(checkpoint / n)]
        except OSError as error:
            wrong = [str(error)]
        if wrong:
            log.warning("%s: damaged (%s), skipped", checkpoint, ", ".join(wrong))
        else:
            yield checkpoint, meta


def load(checkpoint: Path) -> tuple[dict[str, torch.Tensor], dict]:
    """EMA weights and state of a checkpoint, on the CPU."""
    state = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    return load_file(checkpoint / WEIGHTS), state


def point(folder: Path, name: str, checkpoint: Path, **more: str) -> None:
    """Let `<name>.json` (best or last) name a checkpoint, unless that is missing or damaged.

    Args:
        more: further entries; for the best one `by`, the loss that decides.
    """
    meta = read_json(checkpoint / META)
    if meta is None:
        return
    record = {key: meta[key] for key in ("update", "epoch", "validation_loss")}
    record |= {"checkpoint": checkpoint.name, "sha256": meta["sha256"][WEIGHTS]} | more
    write_json(folder / f"{name}.json", record)


def pointed(folder: Path, name: str) -> dict | None:
    """Content of `best.json` or `last.json`; None if it is missing."""
    return read_json(folder / f"{name}.json")


def prune(folder: Path, keep: int) -> int:
    """Remove all but the newest `keep` checkpoints (-1: none removed), the best and the last.

    Those marked as `passing` do not count, and are removed unless they are the last. So are
    leftovers of writers that were killed; there is one writer at a time.

    Returns:
        number of checkpoints removed.
    """
    removed = 0
    names = {record["checkpoint"] for n in ("best", "last") if (record := pointed(folder, n))}
    passing = [c for c in found(folder) if (read_json(c / META) or {}).get("passing")]
    lasting = [c for c in found(folder) if c not in passing]
    for checkpoint in passing + (lasting[keep:] if keep >= 0 else []):
        if checkpoint.name not in names:
            remove(checkpoint)
            removed += 1
    for leftover in (path for end in (".part", OLD, GONE) for path in folder.glob(f".*{end}")):
        shutil.rmtree(leftover, ignore_errors=True)
    return removed


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint; if killed meanwhile, no half one is left under its name."""
    gone = checkpoint.with_name(f".{checkpoint.name}{GONE}")
    shutil.rmtree(gone, ignore_errors=True)
    checkpoint.rename(gone)
    shutil.rmtree(gone)
