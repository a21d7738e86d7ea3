"""State of a training: all that a checkpoint holds, and what follows from it."""

from pathlib import Path
from typing import Any

import torch

from voicekiln.training.data.plan import Batches, Position
from voicekiln.training.run import Run
from voicekiln.training.state import checkpoints
from voicekiln.training.state.history import TOTAL, History
from voicekiln.training.step import optimizers
from voicekiln.training.step.ema import Ema
from voicekiln.training.step.out_of_memory import BatchSplitter
from voicekiln.training.step.schedule import Schedule


class TrainingState:
    """Weights, optimiser, EMA weights, position and validations of a training.

    Args:
        run: the training.
        batches: those of all processes.
        train_steps, val_steps: lengths of the training and validation clips.

    Attributes:
        splitter, val_splitter: what fits into memory, in training and in validation.
        saved: (update, validated update) of the newest checkpoint.
    """

    def __init__(self, run: Run, batches: Batches, train_steps: list[int], val_steps: list[int]):
        s = run.settings
        self.run, self.batches = run, batches
        optimizer = optimizers.build(run.model, s, run.family.no_decay(run.model), run.device.type)
        self.optimizer = run.accelerator.prepare(optimizer)
        self.ema = Ema(run.model, s)
        self.schedule = Schedule(s, self.updates, batches.updates_per_epoch)
        self.position = Position(0, 0)
        self.history = History(by=s.best_by)
        self.splitter, self.val_splitter = BatchSplitter(train_steps), BatchSplitter(val_steps)
        self.saved: tuple[int, int | None] | None = None

    @property
    def update(self) -> int:
        """Updates done."""
        return self.batches.update(self.position)

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        return self.batches.updates_per_epoch * self.run.settings.epochs

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done."""
        return self.position.epoch >= self.run.settings.epochs

    @property
    def end_reason(self) -> str | None:
        """Why the training has ended for good, or None."""
        if self.finished:
            return "the last epoch is done"
        return self.history.early_stop(self.run.settings.patience)

    def learning_rate(self, update: int) -> float:
        """Learning rate of the update that follows `update` finished ones."""
        # the base, and validations during the warm-up, are no evidence of a plateau
        since = max(1, self.run.settings.warmup_updates)
        return self.schedule.learning_rate(update, self.history.values_since(since))

    @property
    def current(self) -> tuple[int, int | None]:
        """This state as `saved` names it."""
        return self.update, self.history.last

    def tensors(self) -> dict[str, Any]:
        """Content of a checkpoint's state.pt."""
        scaler = self.run.accelerator.scaler
        return {
            "model": self.run.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": scaler.state_dict() if scaler else None,
            "ema_updates": self.ema.updates,
        }

    def meta(self, replaceable: bool) -> dict[str, Any]:
        """Content of a checkpoint's meta.json, without hashes.

        Args:
            replaceable: whether the next checkpoint replaces this one.
        """
        return {
            "update": self.update,
            "epoch": self.position.epoch,
            "batch": self.position.batch,
            "validation_loss": dict(self.history.rows).get(self.update, {}).get(TOTAL),
            "validations": list(self.history.rows),
            "fits": [self.splitter.max_steps, self.val_splitter.max_steps],
            "fingerprint": self.run.identity,
            "replaceable": replaceable,
            "torch": torch.__version__,
        }

    def load(self, checkpoint: Path, meta: dict[str, Any]) -> None:
        """Take over the state of a checkpoint."""
        weights, tensors = checkpoints.load(checkpoint)
        self.run.model.load_state_dict(tensors["model"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        scaler = self.run.accelerator.scaler
        if scaler and tensors["scaler"]:
            scaler.load_state_dict(tensors["scaler"])
        self.ema.load(weights, tensors["ema_updates"])
        self.position = Position(meta["epoch"], meta["batch"])
        self.history = History.of(meta, self.run.settings.best_by)
        self.splitter.max_steps, self.val_splitter.max_steps = meta.get("fits", (None, None))
        self.saved = self.current
