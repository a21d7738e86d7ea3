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
import shutil
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file
from voicekiln.store.files import fsync, read_json, temporary
from voicekiln.training.log.records import write_json

log = logging.getLogger("train")

WEIGHTS, STATE, META = "ema.safetensors", "state.pt", "meta.json"
PREFIX = "checkpoint_"
# hidden names: replaced by another one of its number; being removed
OLD, GONE = ".old", ".gone"
PART = ".part"  # being written
WRITER_ERRORS = ("PytorchStreamWriter", "inline_container", "file write failed")  # of torch.save


def save(folder: Path, ema: dict[str, torch.Tensor], state: dict, meta: dict[str, Any]) -> Path:
    """Write `checkpoint_<meta["update"]>`; returns its path once it is safely on disk.

    Raises:
        UserError: the disk is full or cannot be written; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PREFIX}{meta['update']}"
    part = temporary(target.with_suffix(PART))
    try:
        part.mkdir()
        save_file({k: v.detach().cpu().contiguous() for k, v in ema.items()}, part / WEIGHTS)
        with open(part / STATE, "wb") as file:
            torch.save(state, file)
        fsync(part / WEIGHTS)
        fsync(part / STATE)
        files = {name: sha256_file(part / name) for name in (WEIGHTS, STATE)}
        write_json(part / META, meta | {"sha256": files})
        fsync(part)
        old = temporary(target.with_suffix(OLD))
        if target.exists():
            # a damaged one, or the same state before its validation
            target.rename(old)
        try:
            part.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        fsync(folder)
    except (OSError, RuntimeError, SafetensorError) as error:
        if (reason := write_error(error)) is None:
            raise
        raise UserError(
            f"{target}: cannot be written ({reason}); earlier checkpoints are intact. Make room or "
            "lower train.keep, then run again"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target


def write_error(error: Exception) -> str | None:
    """Reason of an error if a file could not be written, such as on a full disk; otherwise None.

    After a failed write torch.save raises a RuntimeError of its own, whose context is the OSError.
    """
    if isinstance(error, RuntimeError):
        if isinstance(error.__context__, OSError):
            error = error.__context__
        elif not any(text in str(error) for text in WRITER_ERRORS):
            return None
    return str(error).partition("\n")[0] or type(error).__name__


def found(folder: Path) -> list[Path]:
    """Checkpoint folders, newest first; unchecked."""
    if not folder.is_dir():
        return []
    named = [
        path
        for path in folder.iterdir()
        if path.name.startswith(PREFIX)
        and path.name.removeprefix(PREFIX).isdecimal()
        and path.is_dir()
    ]
    return sorted(named, key=update_of, reverse=True)


def update_of(checkpoint: Path) -> int:
    """The update in a checkpoint's name."""
    return int(checkpoint.name.removeprefix(PREFIX))


def good(folder: Path) -> Iterator[tuple[Path, dict]]:
    """Undamaged checkpoints, newest first, each with its meta; verified once per process."""
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
            wrong = [n for n in (WEIGHTS, STATE) if files.get(n) != _sha256(checkpoint / n)]
        except OSError as error:
            wrong = [str(error)]
        if wrong:
            log.warning("%s: damaged (%s), skipped", checkpoint, ", ".join(wrong))
        else:
            yield checkpoint, meta


def _sha256(path: Path) -> str:
    found = path.stat()
    return _sha256_of(path, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=1000)
def _sha256_of(path: Path, *unchanged: int) -> str:
    """SHA-256 of a file, read once per process while its stat values are unchanged."""
    return sha256_file(path)


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
    if record != pointed(folder, name):
        write_json(folder / f"{name}.json", record)


def pointed(folder: Path, name: str) -> dict | None:
    """Content of `best.json` or `last.json`; None if it is missing."""
    return read_json(folder / f"{name}.json")


def prune(folder: Path, keep: int) -> int:
    """Remove all but the newest `keep` checkpoints (-1: none removed), the best and the last.

    Those marked as `replaceable` do not count, and are removed unless they are the last. So are
    leftovers.

    Returns:
        number of checkpoints removed.
    """
    removed = 0
    names = {record["checkpoint"] for n in ("best", "last") if (record := pointed(folder, n))}
    replaceable = [c for c in found(folder) if _is_replaceable(read_json(c / META) or {})]
    lasting = [c for c in found(folder) if c not in replaceable]
    for checkpoint in replaceable + (lasting[keep:] if keep >= 0 else []):
        if checkpoint.name not in names:
            remove(checkpoint)
            removed += 1
    remove_leftovers(folder)
    return removed


def remove_leftovers(folder: Path) -> None:
    """Remove what writers left that were killed; there is one writer at a time."""
    for leftover in (path for end in (PART, OLD, GONE) for path in folder.glob(f".*{end}")):
        shutil.rmtree(leftover, ignore_errors=True)


def _is_replaceable(meta: dict[str, Any]) -> bool:
    return bool(meta.get("replaceable", meta.get("passing")))  # its name in earlier versions


def remove(checkpoint: Path) -> None:
    """Remove a checkpoint; if killed meanwhile, no half one is left under its name."""
    gone = checkpoint.with_name(f".{checkpoint.name}{GONE}")
    shutil.rmtree(gone, ignore_errors=True)
    checkpoint.rename(gone)
    shutil.rmtree(gone)
