"""The training loop, for every family: data -> model -> optimiser -> updates.

What an update does is a function of the state before it and its number: order, draws and dropout
come from seeds, the rate from the schedule. So a state is the tensors and a position, and training
that was cut off anywhere repeats what the uninterrupted one does.
"""

import hashlib
import json
import logging
import math
import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device
from torch.utils.tensorboard import SummaryWriter

from voicekiln.errors import UserError
from voicekiln.training import batches as batching
from voicekiln.training import state as states
from voicekiln.training.batches import Batches, Position
from voicekiln.training.data import Clips, PackedFeatures, Request, Row, load
from voicekiln.training.ema import Ema
from voicekiln.training.schedule import learning_rate
from voicekiln.training.settings import TrainSettings
from voicekiln.training.status import Metrics, progress_line, write_json, write_status
from voicekiln.training.stop import Stop

log = logging.getLogger("train")

PROGRESS_EVERY_S = 1.0
RATE_OVER_UPDATES = 20  # updates that the shown time of an update is averaged over
PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class Data:
    """What is trained and validated on.

    Attributes:
        train, val: rows.
        train_tokens, val_tokens: token ids of each row.
    """

    train: list[Row]
    val: list[Row]
    train_tokens: list[torch.Tensor]
    val_tokens: list[torch.Tensor]


@dataclass(frozen=True)
class Result:
    """How a training ended: `reason` is None when it reached its last epoch."""

    update: int
    reason: str | None


class Objective(torch.nn.Module):
    """Model and loss as one module, so that a wrapper for several processes sees one `forward`."""

    def __init__(self, model: torch.nn.Module, family: ModuleType):
        super().__init__()
        self.model = model
        self.family = family

    def forward(self, batch: dict, totals: dict[str, int]) -> dict[str, torch.Tensor]:
        return self.family.loss(self.model, batch, totals)


class Training:
    """One training: what it is made of, what it has reached, and the loop.

    Args:
        family: the family module.
        model: with the base's weights.
        data: to train and validate on.
        settings: section `train`.
        directory: where checkpoints and records go.
        identity: sha256 of the fingerprint, written into each checkpoint.
        stop: asked between batches.
        accelerator: of `accelerator_for`.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        data: Data,
        settings: TrainSettings,
        directory: Path,
        identity: str,
        stop: Stop,
        accelerator: Accelerator,
    ):
        self.settings, self.directory, self.identity, self.stop = settings, directory, identity, stop
        self.accelerator, self.data, self.family = accelerator, data, family
        self.checkpoints = directory / "checkpoints"
        self.metrics = Metrics(directory / "metrics.jsonl")
        self.batches = plan_batches(data.train, settings, accelerator.num_processes)
        self.total = self.batches.updates_per_epoch * settings.epochs

        optimizer = torch.optim.AdamW(
            (p for p in model.parameters() if p.requires_grad),
            lr=settings.learning_rate,
            betas=settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        objective, self.optimizer = accelerator.prepare(Objective(model, family), optimizer)
        self.objective = objective
        self.model = model
        self.ema = Ema(
            model,
            settings.ema_decay,
            settings.ema_every,
            settings.ema_follow_updates,
            settings.ema_power,
        )
        read = PackedFeatures()
        self.train_clips = Clips(family, data.train, data.train_tokens, read, settings.seed, True)
        self.val_clips = Clips(family, data.val, data.val_tokens, read, settings.seed, False)

        self.position = Position(0, 0)
        self.validated: int | None = None  # update of the last validation
        self.validation_loss: float | None = None
        self.best: float | None = None  # lowest validation loss after an update
        self.pending: list[dict] = []  # updates whose losses have not been looked at
        self.shown_loss: float | None = None
        self.writer: SummaryWriter | None = None

    @property
    def update(self) -> int:
        """Updates done."""
        return self.batches.update(self.position)

    def train(self) -> Result:
        """Trains from the state it is in to the end of the last epoch, or until it is to stop."""
        s = self.settings
        if self.accelerator.is_main_process:
            log.info(self.describe())
            self.writer = SummaryWriter(self.directory / "tensorboard", purge_step=self.update + 1)
        progress = Progress(self)
        groups = self.load_updates()
        self.objective.train()
        if self.validation_due() and not self.validate():
            return self.leave()
        while self.position.epoch < s.epochs:
            if self.to_stop():
                return self.leave()
            self.step(next(groups))
            update = self.update
            last = update == self.total
            if last or update % s.log_every == 0:
                self.look()
            if (last or update % s.validate_every == 0) and not self.validate():
                return self.leave()
            if last or update % s.save_every == 0:
                self.save()
            progress.tick()
        self.close()
        return Result(self.update, None)

    def step(self, group: list[dict | None]) -> None:
        """One update from this process's batches of it; None stands for a batch that is not there.

        Every process has equally many, so that all take part in what they do together.
        """
        s, update = self.settings, self.update
        rate = learning_rate(
            update,
            self.total,
            schedule=s.schedule,
            peak=s.learning_rate,
            floor=s.min_learning_rate,
            warmup=s.warmup_updates,
        )
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        totals = self.add_up([batch["totals"] for batch, weight in group if weight])
        n_processes = self.accelerator.num_processes
        losses: dict[str, torch.Tensor] = {}
        for i, (batch, weight) in enumerate(group):
            batch = send_to_device(batch, self.accelerator.device, non_blocking=True)
            self.seed(update, i)
            if i < len(group) - 1:
                with self.accelerator.no_sync(self.objective):
                    parts = self.backward(batch, totals, weight * n_processes)
            else:
                parts = self.backward(batch, totals, weight * n_processes)
            for name, value in parts.items():
                losses[name] = losses.get(name, 0) + weight * value.detach()
        norm = None
        if s.max_grad_norm > 0:
            norm = self.accelerator.clip_grad_norm_(self.model.parameters(), s.max_grad_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.ema.update()
        self.pending.append(
            {"update": update + 1, "losses": losses, "norm": norm, "lr": rate, "at": self.position}
        )
        self.position = self.batches.next(self.position)
        if not self.accelerator.device.type == "cpu":
            return
        self.look(write=False)  # costs nothing here; elsewhere it would wait for the device

    def backward(self, batch: dict, totals: dict[str, int], weight: int) -> dict[str, torch.Tensor]:
        """Gradients of a batch's share of the update's loss; returns its named parts."""
        parts = self.objective(batch, totals)
        # The wrapper for several processes averages gradients; the loss is a sum over them.
        self.accelerator.backward(sum(parts.values()) * weight)
        return parts
