"""Asynchronous checkpoints: training pauses only for the copy to host memory."""

import logging
import shutil
import time
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.training.run import Run
from voicekiln.training.state import checkpoints
from voicekiln.training.state.history import History
from voicekiln.training.step.out_of_memory import out_of_memory_as, out_of_memory_error

log = logging.getLogger("train")


class CheckpointWriter:
    """Writes the checkpoints of a training one at a time, so that one copy of the state suffices.

    Args:
        run: the training; `keep` newest checkpoints stay besides the best: -1 all, 0 only the last.
    """

    def __init__(self, run: Run):
        self.run, self.keep = run, run.settings.keep
        self.folder = run.directory / "checkpoints"
        self._pool = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future | None = None
        self._copy: tuple[dict, dict] | None = None  # overwritten once it is on disk
        self._was_low = False

    def take(self, ema: dict, tensors: dict, meta: dict[str, Any], history: History) -> None:
        """Copy a state; it is written in the background, as by `checkpoints.save`.

        Args:
            history: validations so far.

        Raises:
            UserError: no memory for the copy; or as `wait`.
        """
        self.wait()
        where = "on the host, for a copy of the state (16 bytes a parameter)"
        with out_of_memory_as(out_of_memory_error(where)):
            self._copy = snapshot((ema, tensors), self._copy)
        so_far = History(list(history.rows), history.by)
        self._writing = self._pool.submit(self.write, *self._copy, meta, so_far)

    def low_disk(self) -> str | None:
        """Warning, once, if the disk has room for less than two more checkpoints.

        Call this after `take`.
        """
        free, one = shutil.disk_usage(self.folder.parent).free, n_bytes(self._copy)
        was_low, self._was_low = self._was_low, free < 2 * one
        if was_low or not self._was_low:
            return None
        return (
            f"{free / 1e9:.2f} GB are free on the disk of {self.folder}, and a checkpoint takes "
            f"{one / 1e9:.2f} GB: make room or lower train.keep; without room training stops "
            "before it writes, and the last checkpoint stays"
        )

    def check(self) -> None:
        """Raise the error of a write that has ended, or of a lost lease; does not wait."""
        self.require_lease()
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait for the checkpoint that is being written.

        Raises:
            UserError: it could not be written, or another process took over the training.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def finish(self) -> None:
        """Wait like `wait`, but only log an error: afterwards other processes may write."""
        if self._writing is not None:
            futures.wait([self._writing])
            if error := self._writing.exception():
                log.error("a checkpoint could not be written: %s", error)

    def write(self, ema: dict, tensors: dict, meta: dict[str, Any], history: History) -> None:
        """Write a checkpoint, update best and last, remove old ones."""
        began = time.monotonic()
        self.require_lease()
        checkpoint = self._save(ema, tensors, meta)
        self.require_lease()
        self.point(checkpoint, history)
        checkpoints.prune(self.folder, self.keep)
        update, best = meta["update"], history.best
        log.info("checkpoint saved at update %d in %.2f s", update, time.monotonic() - began)
        if best and best["update"] == update:
            losses = ", ".join(f"{k} {v:.5f}" for k, v in best.items() if k != "update")
            log.info("best so far: update %d, %s, %s", update, losses, checkpoint)

    def _save(self, ema, tensors, meta):
        try:
            self._require_room(n_bytes((ema, tensors)), meta["update"])
            return checkpoints.save(self.folder, ema, tensors, meta)
        except UserError:
            # the oldest would be removed after it anyway
            if self.keep < 1 or not checkpoints.prune(self.folder, self.keep - 1):
                raise
        self._require_room(n_bytes((ema, tensors)), meta["update"])
        return checkpoints.save(self.folder, ema, tensors, meta)

    def _require_room(self, needed: int, update: int) -> None:
        """Stop before a write that would fill the disk, to which others write as well."""
        free = shutil.disk_usage(self.folder.parent).free
        if free < needed:
            last = checkpoints.pointed(self.folder, "last")
            kept = (
                f"the newest checkpoint is of update {last['update']}"
                if last
                else "there is no other"
            )
            raise UserError(
                f"{self.folder}: the checkpoint of update {update} needs {needed / 1e9:.2f} GB and "
                f"{free / 1e9:.2f} GB are free on the disk; {kept}. Make room or lower train.keep, "
                "then run again"
            )

    def point(self, checkpoint: Path, history: History) -> None:
        """Update last.json and best.json."""
        checkpoints.point(self.folder, "last", checkpoint)
        if best := history.best:
            path = self.folder / f"{checkpoints.PREFIX}{best['update']}"
            checkpoints.point(self.folder, "best", path, by=history.by)

    def require_lease(self) -> None:
        """Stop if another process took over the training."""
        if self.run.lease and self.run.lease.lost:
            raise UserError(
                f"{self.run.directory}: another process took over this training, because this one "
                "did not renew its lease in time; stop one of them"
            )


def snapshot(value: Any, room: Any = None) -> Any:
    """Copy of the tensors in nested dicts and lists, on the CPU.

    Args:
        value: the original.
        room: an earlier result that is no longer needed. Its tensors are overwritten if they fit:
            new memory costs more time than the copy.
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
