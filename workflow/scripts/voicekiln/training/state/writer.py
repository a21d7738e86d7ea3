"""Checkpoints beside the training: it stands still only while a copy of the state is taken."""

import logging
import shutil
import time
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.training.state import checkpoints as states
from voicekiln.training.state.history import History
from voicekiln.training.state.lease import Lease
from voicekiln.training.step.out_of_memory import no_help, out_of_memory_is

log = logging.getLogger("train")


class CheckpointWriter:
    """Writes the checkpoints of a training one at a time, so that there is one copy of the state.

    Args:
        directory: of the training.
        keep: newest checkpoints that stay, beside the best: -1 all, 0 the last alone.
        lease: of the process that writes.
    """

    def __init__(self, directory: Path, keep: int, lease: Lease | None):
        self.directory, self.keep, self.lease = directory, keep, lease
        self.folder = directory / "checkpoints"
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future | None = None
        self._copy: tuple[dict, dict] | None = None  # written over when it is on disk
        self._was_low = False

    def take(self, ema: dict, tensors: dict, meta: dict[str, Any], history: History) -> None:
        """Copies a state; it is written beside the caller, as `state.save` does.

        Args:
            history: tells the best so far.

        Raises:
            UserError: no memory for the copy; or as `wait`.
        """
        self.wait()
        full = no_help("of the host, for a copy of the state (16 bytes a parameter)")
        with out_of_memory_is(full):
            self._copy = snapshot((ema, tensors), self._copy)
        so_far = History(list(history.rows), history.by)
        self._writing = self._pool.submit(self.write, *self._copy, meta, so_far)

    def low_disk(self) -> str | None:
        """A warning when the disk has room for less than two more checkpoints; once, until it has.

        Asked after `take`.
        """
        free, one = shutil.disk_usage(self.folder.parent).free, n_bytes(self._copy)
        was_low, self._was_low = self._was_low, free < 2 * one
        if was_low or not self._was_low:
            return None
        return (
            f"{free / 1e9:.2f} GB are free on the disk of {self.folder}, and a checkpoint takes "
            f"{one / 1e9:.2f} GB: make room or lower train.keep; without room training stops "
            "before it writes, and its last checkpoint stays"
        )

    def check(self) -> None:
        """Raises what went wrong in a writing that has ended, or a lost lease; does not wait."""
        self.require_lease()
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Returns when nothing is being written.

        Raises:
            UserError: what was could not be written, or is no longer ours to write.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def finish(self) -> None:
        """Returns when nothing is being written, whatever came of it: others may write then."""
        if self._writing is not None:
            futures.wait([self._writing])
            if error := self._writing.exception():
                log.error("a checkpoint could not be written: %s", error)

    def write(self, ema: dict, tensors: dict, meta: dict[str, Any], history: History) -> None:
        """Writes a checkpoint, points to best and last, removes what is too many."""
        began = time.monotonic()
        self.require_lease()
        checkpoint = self._save(ema, tensors, meta)
        self.require_lease()
        self.point(checkpoint, history)
        states.prune(self.folder, self.keep)
        update, best = meta["update"], history.best
        log.info("checkpoint saved at update %d in %.2f s", update, time.monotonic() - began)
        if best and best["update"] == update:
            losses = ", ".join(f"{k} {v:.5f}" for k, v in best.items() if k != "update")
            log.info("best so far: update %d, %s, %s", update, losses, checkpoint)

    def _save(self, ema, tensors, meta):
        try:
            self._require_room(n_bytes((ema, tensors)), meta["update"])
            return states.save(self.folder, ema, tensors, meta)
        except UserError:
            # the oldest would go after it anyway
            if self.keep < 1 or not states.prune(self.folder, self.keep - 1):
                raise
        self._require_room(n_bytes((ema, tensors)), meta["update"])
        return states.save(self.folder, ema, tensors, meta)

    def _require_room(self, needed: int, update: int) -> None:
        """Stops before a write that would fill the disk, which others write to as well."""
        free = shutil.disk_usage(self.folder.parent).free
        if free < needed:
            last = states.pointed(self.folder, "last")
            kept = (
                f"the newest checkpoint is that of update {last['update']}" if last else "no other"
            )
            raise UserError(
                f"{self.folder}: the checkpoint of update {update} needs {needed / 1e9:.2f} GB and "
                f"{free / 1e9:.2f} GB are free on the disk; {kept}. Make room or lower train.keep, "
                "then run again"
            )

    def point(self, checkpoint: Path, history: History) -> None:
        """Lets last.json and best.json name the right checkpoints."""
        states.point(self.folder, "last", checkpoint)
        if best := history.best:
            path = self.folder / f"{states.PREFIX}{best['update']}"
            states.point(self.folder, "best", path, by=history.by)

    def require_lease(self) -> None:
        """Stops where the training is another's by now."""
        if self.lease and self.lease.lost:
            raise UserError(f"{self.directory}: another process has taken over this training")


def snapshot(value: Any, room: Any = None) -> Any:
    """A copy of tensors in nested dicts and lists, on the CPU: what comes after does not show.

    Args:
        value: what to copy.
        room: what an earlier call returned and nobody needs any more. Its tensors are written over
            where they fit: new memory costs more time than the copying.
    """
    if isinstance(value, torch.Tensor):
        fits = isinstance(room, torch.Tensor) and room.dtype == value.dtype
        if not fits or room.shape != value.shape:
            room = _room_for(value)
        return room.copy_(value.detach())
    if isinstance(value, dict):
        rooms = room if isinstance(room, dict) else {}
        return {key: snapshot(inner, rooms.get(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        same = isinstance(room, list | tuple) and len(room) == len(value)
        rooms = room if same else [None] * len(value)
        return type(value)(snapshot(*pair) for pair in zip(value, rooms, strict=True))
    return value


def n_bytes(value: Any) -> int:
    """Bytes of the tensors in nested dicts and lists."""
    if isinstance(value, torch.Tensor):
        return value.numel() * value.element_size()
    if isinstance(value, dict):
        return sum(map(n_bytes, value.values()))
    return sum(map(n_bytes, value)) if isinstance(value, list | tuple) else 0


def _room_for(tensor):
    if tensor.is_cuda:
        try:  # copies from the GPU are several times faster into page-locked memory
            return torch.empty_like(tensor, device="cpu", pin_memory=True)
        except RuntimeError:
            pass
    return torch.empty_like(tensor, device="cpu")
