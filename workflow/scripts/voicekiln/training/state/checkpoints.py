"""Checkpoints: whole or not there, checked when read, pruned when there are too many.

A checkpoint is a folder `checkpoint_<update>` with

    ema.safetensors  the averaged weights by the model's names: what is exported
    state.pt         model, optimiser, scaler, counters: what training goes on from
    meta.json        update, position, fingerprint, losses, sha256 of the two files; written last

made under a temporary name, synced and renamed. `best.json` and `last.json` beside the folders
point to one by name; files and not links, because they carry hash and loss, and links are not
everywhere.
"""

import contextlib
import logging
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file
from voicekiln.training.log.records import read_json, write_json

log = logging.getLogger("train")

WEIGHTS, STATE, META = "ema.safetensors", "state.pt", "meta.json"
PREFIX = "checkpoint_"
# hidden names: made way for another of its number; is being removed
OLD, GONE = ".old", ".gone"


def save(folder: Path, ema: dict[str, torch.Tensor], state: dict, meta: dict[str, Any]) -> Path:
    """Writes `checkpoint_<meta["update"]>`; returns its path once it is safely on disk.

    Raises:
        UserError: the disk is full or cannot be written; what was there before is untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PREFIX}{meta['update']}"
    mark = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
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
            # A damaged one, or the same state before its validation.
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        sync(folder)
    except (OSError, RuntimeError, SafetensorError) as error:
        # A full disk: which of the three depends on who was writing.
        shutil.rmtree(part, ignore_errors=True)
        raise UserError(
            f"{target}: cannot be written ({str(error).splitlines()[0]}); the checkpoints before it"
            " are intact. Make room or lower train.keep, then run again"
        ) from error
    return target


def sync(path: Path) -> None:
    """Waits until a file or folder is on disk."""
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
    """Checkpoints whose files are as they were written, newest first, each with its meta."""
    for old in folder.glob(f".{PREFIX}*{OLD}"):
        # killed before the one that it made way for had its name
        target = folder / old.name[1:].split(".")[0]
        if not target.exists():
            with contextlib.suppress(FileNotFoundError):  # another process of this training did it
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
    """Averaged weights and state of a checkpoint, on the CPU."""
    state = torch.load(checkpoint / STATE, map_location="cpu", weights_only=True)
    return load_file(checkpoint / WEIGHTS), state


def point(folder: Path, name: str, checkpoint: Path, **more: str) -> None:
    """Makes `<name>.json` (best or last) name a checkpoint, unless that is gone or damaged.

    Args:
        more: what else is to be in it; of the best one `by`, the loss that it is best by.
    """
    meta = read_json(checkpoint / META)
    if meta is None:
        return
    record = {key: meta[key] for key in ("update", "epoch", "validation_loss")}
    record |= {"checkpoint": checkpoint.name, "sha256": meta["sha256"][WEIGHTS]} | more
    write_json(folder / f"{name}.json", record)


def pointed(folder: Path, name: str) -> dict | None:
    """What `best.json` or `last.json` says; None where there is none."""
    return read_json(folder / f"{name}.json")


def prune(folder: Path, keep: int) -> int:
    """Removes all but the newest `keep` checkpoints (-1: none removed), the best and the last.

    Those marked as `passing` do not count as one of them, and go when they are not the last. So do
    leftovers of writers that were killed; there is one writer at a time.

    Returns:
        how many checkpoints were removed.
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
    """Removes a checkpoint; cut off in between, no half one is left under its name."""
    gone = checkpoint.with_name(f".{checkpoint.name}{GONE}")
    shutil.rmtree(gone, ignore_errors=True)
    checkpoint.rename(gone)
    shutil.rmtree(gone)
