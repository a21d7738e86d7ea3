"""The training loop, for every family: batches -> loss -> update -> average, until the last epoch.

What an update does is a function of the state before it and of its number: order, draws and dropout
come from seeds, the rate from the schedule. So a state is tensors and a position, and a training
that was cut off anywhere does again what the uninterrupted one does.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from accelerate import Accelerator

from voicekiln.errors import UserError
from voicekiln.families import Tokenizer
from voicekiln.training.data.clips import Clips
from voicekiln.training.data.plan import Batches, Position
from voicekiln.training.log.metrics import MetricsLogger, PendingUpdate
from voicekiln.training.log.progress import Progress
from voicekiln.training.log.records import read_warnings, write_status
from voicekiln.training.process.collectives import all_sum, first_not_none
from voicekiln.training.process.stop import Stop
from voicekiln.training.process.terminal import SHOWN
from voicekiln.training.settings import TrainSettings
from voicekiln.training.state import checkpoints as states
from voicekiln.training.state.history import TOTAL, History
from voicekiln.training.state.lease import Lease
from voicekiln.training.state.writer import CheckpointWriter
from voicekiln.training.step import optimizers
from voicekiln.training.step.ema import Ema
from voicekiln.training.step.forgetting import Earlier
from voicekiln.training.step.gradients import Gradients
from voicekiln.training.step.loader import BatchLoader, MicroBatch
from voicekiln.training.step.objective import weighted
from voicekiln.training.step.out_of_memory import BatchSplitter, no_help, out_of_memory_is
from voicekiln.training.step.samples import Samples
from voicekiln.training.step.schedule import Schedule
from voicekiln.training.step.validation import Validation

log = logging.getLogger("train")


class Training:
    """A training and what it has reached.

    Args:
        family: the family module.
        model: on its device, with the base's weights.
        train_clips, val_clips: to train and to validate on.
        batches: of all processes.
        settings: section `train`.
        directory: where checkpoints and records go.
        identity: sha256 of the fingerprint, kept in every checkpoint.
        accelerator: of `accelerator_for`.
        stop: asked between batches.
        lease: of the process that writes.
        base_rows: rows of the base's tokens, by name of the tensor, which are not to move.
        tokenizer: the run's.
        decoder: makes what the family speaks samples with.
        earlier: validation clips of the runs that the base comes from, by run.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        train_clips: Clips,
        val_clips: Clips,
        batches: Batches,
        settings: TrainSettings,
        directory: Path,
        identity: str,
        accelerator: Accelerator,
        stop: Stop,
        lease: Lease | None,
        base_rows: Mapping[str, int],
        tokenizer: Tokenizer,
        decoder: Callable[[], Any],
        earlier: Mapping[str, Clips],
    ):
        s = self.settings = settings
        self.model, self.batches, self.train_rows = model, batches, train_clips.rows
        self.directory, self.identity = directory, identity
        self.accelerator, self.stop = accelerator, stop

        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = accelerator.prepare(optimizers.build(model, s, accelerator.device.type))
        self.frozen = optimizers.FrozenRows(model, base_rows)
        self.ema = Ema(model, s.ema_decay, s.ema_every, s.ema_follow_updates, s.ema_power)
        self.schedule = Schedule.of(s, self.updates, batches.updates_per_epoch)

        self.position = Position(0, 0)
        self.history = History(by=s.best_by)
        self.splitter = BatchSplitter(lambda i: train_clips.rows[i].n_frames)
        self.loader = BatchLoader(batches, train_clips, self.splitter, s, accelerator)
        self.gradients = Gradients(family, model, self.loader, self.splitter, s, accelerator, stop)
        self.validation = Validation(family, model, self.ema, val_clips, s, accelerator, stop)
        validations = {
            name: Validation(family, model, self.ema, clips, s, accelerator, stop)
            for name, clips in earlier.items()
        }
        self.earlier = Earlier(validations, s.loss_weights, s.max_forgetting)
        self.samples = Samples(
            family, model, self.ema, val_clips, tokenizer, decoder, s.samples, accelerator, stop
        )
        self.writer = CheckpointWriter(directory, s.keep, lease)
        self.saved: tuple | None = None  # (update, validated) that the newest checkpoint holds
        self.logger = MetricsLogger(
            directory,
            self.batches,
            lambda i: train_clips.rows[i].id,
            accelerator,
            family.SPEECH_HZ,
            lambda: self.report("running", "training"),
        )

    @property
    def update(self) -> int:
        """Updates done."""
        return self.batches.update(self.position)

    @property
    def updates(self) -> int:
        """Updates of the whole run."""
        return self.batches.updates_per_epoch * self.settings.epochs

    @property
    def finished(self) -> bool:
        """Whether the last epoch is done."""
        return self.position.epoch >= self.settings.epochs

    @property
    def over(self) -> str | None:
        """Why the training has ended for good, or None."""
        if self.finished:
            return "the last epoch is done"
        return self.history.over(self.settings.patience)

    def rate_after(self, update: int) -> float:
        """Learning rate of the update that follows `update` finished ones."""
        # the base, and what comes in the warm-up, say nothing of a plateau
        validated = self.history.values_since(max(1, self.settings.warmup_updates))
        return self.schedule.rate(update, validated)

    @property
    def writes(self) -> bool:
        """Whether this process writes files."""
        return self.accelerator.is_main_process

    def train(self) -> tuple[bool, str]:
        """Trains on, to its end or until it is to stop, with its state saved.

        Returns:
            whether it has ended for good, and why it ended.

        Raises:
            UserError: a loss is not finite, features cannot be read, the disk is full, ...
        """
        self.logger.open(self.update, self.settings)
        try:
            self.go_on()
            self.writer.wait()
        finally:
            try:
                self.logger.close()
            finally:
                self.writer.finish()
        if self.over and not self.validation_due():
            return True, self.over
        return False, first_not_none(self.stop.reason(), self.accelerator)

    def go_on(self) -> None:
        """The loop."""
        s = self.settings
        per_epoch = self.batches.updates_per_epoch
        progress = Progress(self.directory, s.epochs, per_epoch, self.update)
        groups = self.loader.updates_from(self.position)
        while True:
            if self.validation_due():
                improved = self.validate()
                if improved is None:
                    break
                if improved:
                    self.save()
                self.samples.speak(self.update, partial(self.logger.show, self.update))
                self.logger.skip_time()
                progress.pause()
            self.writer.check()
            if self.save_due(self.settings.save_every):
                self.save()
                progress.pause()
            elif self.save_due(self.settings.save_last_every):
                self.save(passing=True)
                progress.pause()
            if self.over or self.to_stop():
                break
            began = time.monotonic()
            group = next(groups)
            self.logger.waited(time.monotonic() - began)
            if not self.step(group):
                break
            # at an epoch's end too, so that no logged line belongs to two of them
            if self.position.batch == 0 or self.update % s.log_every == 0:
                self.logger.look()
            if self.position.batch == 0 and self.writes:
                log.info("%s", self.logger.epochs.line(self.position.epoch, s.epochs))
            if self.writes:
                progress.tick(self.update, self.logger.loss)
        if self.update and self.saved != (self.update, self.history.last):
            self.save()

    def step(self, group: list[MicroBatch]) -> bool:
        """One update.

        Args:
            group: this process's batches of it.

        Returns:
            False when it was to stop between two batches; the update is dropped then.
        """
        rate = self.rate_after(self.update)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        losses = self.gradients.of(group, self.update)
        if losses is None:
            return False
        self.frozen.leave_out()
        most = self.settings.max_grad_norm or math.inf  # which scales nothing, and tells the norm
        norm = self.accelerator.clip_grad_norm_(self.trained, most)
        with out_of_memory_is(no_help(f"in the step of update {self.update + 1}")):
            self.optimizer.step()
        self.frozen.put_back()
        self.optimizer.zero_grad()
        self.ema.update()
        self.logger.add(PendingUpdate(self.position, losses, norm, rate))
        self.position = self.batches.next(self.position)
        return True

    def validation_due(self) -> bool:
        """Whether this state is to be validated and was not."""
        due = self.finished or self.update % self.settings.validate_every == 0
        return due and self.history.last != self.update

    def validate(self) -> bool | None:
        """Loss of the averaged weights.

        Returns:
            whether it is the best so far, update 0 left out; None when it was to stop.
        """
        self.logger.look()
        began = time.monotonic()
        parts = self.validation.losses(self.update)
        earlier = None if parts is None else self.earlier.losses(self.update)
        if parts is None or earlier is None:
            return None
        loss = weighted(parts, self.settings.loss_weights)
        row = {"update": self.update, "epoch": self.position.epoch, "loss": loss}
        row["seconds"] = round(time.monotonic() - began, 3)
        self.logger.write("validation", row, parts)
        if not math.isfinite(loss):
            raise UserError(f"validation loss at update {self.update} is {loss}")
        rate = self.rate_after(self.update)
        self.history.rows.append((self.update, {TOTAL: loss} | parts))
        if self.schedule.kind == "plateau" and (now := self.rate_after(self.update)) < rate:
            self.logger.lowered(self.update, rate, now)
        best = self.history.best
        improved = best is not None and best["update"] == self.update
        log.info(
            "validation loss %.5f at update %d%s%s",
            loss,
            self.update,
            f" ({', '.join(f'{k} {v:.5g}' for k, v in parts.items())})" if len(parts) > 1 else "",
            ", the best so far" if improved else "",
            extra=SHOWN,
        )
        if self.writes and (warning := self.history.warning(self.logger.trained)):
            self.logger.warning(self.update, warning)
        if earlier:
            self.logger.write("earlier", {"update": self.update} | earlier, {})
        for forgotten in self.earlier.warnings(earlier):
            self.logger.warning(self.update, forgotten)
        self.logger.skip_time()
        return improved

    def save_due(self, every: int | None) -> bool:
        """Whether this state is to be saved and was not; without an interval only the last one."""
        due = self.finished or (every is not None and self.update % every == 0)
        return due and self.update > 0 and self.saved != (self.update, self.history.last)

    def save(self, passing: bool = False) -> None:
        """Takes a copy of this state, which becomes a checkpoint beside the training.

        Args:
            passing: whether the next checkpoint replaces it.

        Raises:
            UserError: not finite, no longer ours to write; the one before could not be written.
        """
        self.logger.look()
        self.saved = (self.update, self.history.last)
        if self.writes:
            scaler = self.accelerator.scaler
            tensors = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": scaler.state_dict() if scaler else None,
                "ema_updates": self.ema.updates,
            }
            meta = {
                "update": self.update,
                "epoch": self.position.epoch,
                "batch": self.position.batch,
                "validation_loss": dict(self.history.rows).get(self.update, {}).get(TOTAL),
                "validations": list(self.history.rows),
                "fits": [self.splitter.fits, self.validation.splitter.fits],
                "fingerprint": self.identity,
                "passing": passing,
                "torch": torch.__version__,
            }
            began = time.monotonic()
            self.writer.take(self.ema.state(), tensors, meta, self.history)
            self.logger.saved(time.monotonic() - began)
            if low := self.writer.low_disk():
                self.logger.warning(self.update, low)
            self.report("running", "training")
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Takes over the newest good checkpoint; False where there is none of this run."""
        for checkpoint, meta in states.good(self.writer.folder):
            if meta["fingerprint"] == self.identity:
                break
            log.warning("%s: of another run, skipped", checkpoint)
        else:
            return False
        weights, tensors = states.load(checkpoint)
        self.model.load_state_dict(tensors["model"])
        self.optimizer.load_state_dict(tensors["optimizer"])
        if self.accelerator.scaler and tensors["scaler"]:
            self.accelerator.scaler.load_state_dict(tensors["scaler"])
        self.ema.load(weights, tensors["ema_updates"])
        self.position = Position(meta["epoch"], meta["batch"])
        self.history = History.of(meta, self.settings.best_by)
        self.splitter.fits, self.validation.splitter.fits = meta.get("fits", (None, None))
        self.saved = (self.update, self.history.last)
        if self.writes:
            self.writer.point(checkpoint, self.history)
            self.logger.metrics.cut_back(self.update, self.history.last)
            self.logger.warnings = read_warnings(self.directory, self.update)
        self.earlier.restore(self.logger.metrics.read())
        log.info("resumed from %s", checkpoint.name, extra=SHOWN)
        return True

    def report(self, status: str, reason: str, exit_code: int | None = None) -> None:
        """Writes status.json."""
        if self.writes:
            write_status(
                self.directory,
                status,
                reason,
                exit_code=exit_code,
                update=self.update,
                updates=self.updates,
                epoch=self.position.epoch,
                epochs=self.settings.epochs,
                best=self.history.best,
                loss=self.logger.loss,
                warnings=self.logger.warnings,
            )

    def to_stop(self) -> bool:
        """Whether any process was asked to stop."""
        return bool(all_sum(float(self.stop.reason() is not None), self.accelerator))
