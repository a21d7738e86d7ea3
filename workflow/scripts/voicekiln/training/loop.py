"""The training loop, for every family: batches -> loss -> update -> average, until the last epoch.

What an update does is a function of the state before it and of its number: order, draws and dropout
come from seeds, the rate from the schedule. So a state is tensors and a position, and a training
that was cut off anywhere does again what the uninterrupted one does.
"""

import logging
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from voicekiln.errors import UserError
from voicekiln.features.packs import PackReader
from voicekiln.training import optimizers
from voicekiln.training import state as states
from voicekiln.training.batches import Position, in_order, number, plan
from voicekiln.training.data import Clips, Request, Row, load
from voicekiln.training.ema import Ema
from voicekiln.training.history import History
from voicekiln.training.keeper import Keeper
from voicekiln.training.lease import Lease
from voicekiln.training.memory import OutOfMemory, Parts, no_help, out_of_memory_is
from voicekiln.training.processes import add_up, share, sum_over
from voicekiln.training.progress import Progress
from voicekiln.training.schedule import Schedule
from voicekiln.training.settings import TrainSettings
from voicekiln.training.status import write_status
from voicekiln.training.stop import Stop
from voicekiln.training.watch import Done, Watch

log = logging.getLogger("train")

PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
VALIDATION = (
    "validation"  # stands where an update's number stands, so its draws are always the same
)


@dataclass(frozen=True)
class Data:
    """Rows to train and to validate on, each with its token ids."""

    train: list[Row]
    train_tokens: list[torch.Tensor]
    val: list[Row]
    val_tokens: list[torch.Tensor]


@dataclass(frozen=True)
class Work:
    """A batch of an update.

    Attributes:
        request: what it was made by.
        batch: what the family's `collate` gave.
        weight: 0 where it only keeps several processes in step, see `processes.share`.
    """

    request: Request
    batch: dict
    weight: int


class Objective(torch.nn.Module):
    """Model and loss as one module, so that a wrapper for several processes sees one `forward`."""

    def __init__(self, model: torch.nn.Module, family: ModuleType):
        super().__init__()
        self.model, self.family = model, family

    def forward(self, batch: dict, totals: dict[str, int]) -> dict[str, torch.Tensor]:
        return self.family.loss(self.model, batch, totals)


def accelerator_for(precision: str) -> Accelerator:
    """An Accelerator on the GPU where there is one.

    Raises:
        UserError: fp16 without a GPU.
    """
    cpu = not torch.cuda.is_available()
    if cpu and precision == "fp16":
        raise UserError("train.precision: fp16 needs a GPU; on a CPU use fp32 or bf16")
    return Accelerator(cpu=cpu, mixed_precision=PRECISION[precision])


class Training:
    """A training and what it has reached.

    Args:
        family: the family module.
        model: with the base's weights.
        data: to train and to validate on.
        settings: section `train`.
        directory: where checkpoints and records go.
        identity: sha256 of the fingerprint, kept in every checkpoint.
        accelerator: of `accelerator_for`.
        stop: asked between batches.
        lease: of the process that writes.
        base_rows: rows of the base's tokens, by name of the tensor, which are not to move.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        data: Data,
        settings: TrainSettings,
        directory: Path,
        identity: str,
        accelerator: Accelerator,
        stop: Stop,
        lease: Lease | None,
        base_rows: Mapping[str, int],
    ):
        s = self.settings = settings
        self.family, self.model, self.data = family, model, data
        self.directory, self.identity = directory, identity
        self.accelerator, self.stop = accelerator, stop

        self.batches = plan(
            [row.n_frames for row in data.train],
            [row.id for row in data.train],
            s.batch_frames,
            s.batch_clips,
            s.accumulate * accelerator.num_processes,
            s.seed,
        )
        packs = PackReader()
        self.train_clips = Clips(family, data.train, data.train_tokens, packs, s.seed, drops=True)
        self.val_clips = Clips(family, data.val, data.val_tokens, packs, s.seed, drops=False)

        if s.gradient_checkpointing:
            family.checkpoint_activations(model)
        optimizers.freeze(model, s.freeze, family.freeze_presets(model))
        self.trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = optimizers.build(model, s, accelerator.device.type)
        self.objective, self.optimizer = accelerator.prepare(Objective(model, family), optimizer)
        self.frozen = optimizers.FrozenRows(model, base_rows)
        self.ema = Ema(model, s.ema_decay, s.ema_every, s.ema_follow_updates, s.ema_power)
        self.schedule = self.scheduled()

        self.position = Position(0, 0)
        self.history = History()
        self.parts = Parts(lambda i: data.train[i].n_frames)
        self.val_parts = Parts(lambda i: data.val[i].n_frames)
        self.keeper = Keeper(directory, s.keep, lease)
        self.saved: tuple | None = None  # (update, validated) that the newest checkpoint holds
        self.watch = Watch(directory, self.batches, lambda i: data.train[i].id, accelerator)

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

    def scheduled(self) -> Schedule:
        """The course of the learning rate."""
        s, per_epoch = self.settings, self.batches.updates_per_epoch
        default = max(1, self.updates // 4) if s.schedule == "cosine_restarts" else per_epoch
        return Schedule(
            s.schedule,
            s.learning_rate,
            s.min_learning_rate,
            s.warmup_updates,
            self.updates,
            s.period or default,
            s.period_growth,
            s.rate_factor,
            s.milestones,
            s.plateau_patience,
        )

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
        self.watch.open(self.update, self.settings.workers)
        try:
            self.go_on()
        finally:
            self.watch.close()
        self.keeper.wait()
        if self.over and not self.validation_due():
            return True, self.over
        return False, self.stop.reason() or "another process of this training was asked to stop"

    def go_on(self) -> None:
        """The loop."""
        s = self.settings
        per_epoch = self.batches.updates_per_epoch
        progress = Progress(self.directory, s.epochs, per_epoch, self.update)
        groups = self.load_updates()
        while True:
            if self.validation_due():
                improved = self.validate()
                if improved is None:
                    break
                if improved:
                    self.save()
                progress.pause()
            self.keeper.check()
            if self.save_due():
                self.save()
                progress.pause()
            if self.over or self.to_stop():
                break
            began = time.monotonic()
            group = next(groups)
            self.watch.waited(time.monotonic() - began)
            if not self.step(group):
                break
            if self.finished or self.update % s.log_every == 0:
                self.watch.look()
            if self.writes:
                progress.tick(self.update, self.watch.loss)
        if self.update and self.saved != (self.update, self.history.last):
            self.save()

    def step(self, group: list[Work]) -> bool:
        """One update.

        Args:
            group: this process's batches of it.

        Returns:
            False when it was to stop between two batches; the update is dropped then.
        """
        # the base, and what comes in the warm-up, say nothing of a plateau
        losses = self.history.losses_since(max(1, self.settings.warmup_updates))
        rate = self.schedule.rate(self.update, losses)
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate
        totals = add_up([(work.batch["totals"], work.weight) for work in group], self.accelerator)
        group = self.in_parts(group)
        while True:
            try:
                losses = self.backward(group, totals)
            except OutOfMemory as error:
                too_much = error.request
            else:
                if losses is None:
                    self.optimizer.zero_grad()
                    return False
                break
            # out here no traceback keeps tensors alive
            self.optimizer.zero_grad()
            self.require_one_process()
            self.parts.less(too_much, self.update + 1)
            group = self.in_parts(group)
        norm = None
        self.frozen.leave_out()
        if self.settings.max_grad_norm > 0:
            norm = self.accelerator.clip_grad_norm_(self.trained, self.settings.max_grad_norm)
        with out_of_memory_is(no_help(f"in the step of update {self.update + 1}")):
            self.optimizer.step()
        self.frozen.put_back()
        self.optimizer.zero_grad()
        self.ema.update()
        self.watch.add(Done(self.position, losses, norm, rate))
        self.position = self.batches.next(self.position)
        return True

    def backward(self, group: list[Work], totals: dict[str, int]) -> dict[str, torch.Tensor] | None:
        """Gradients of an update; this process's part of its loss, by name, or None when it was to
        stop between two batches.

        Raises:
            OutOfMemory: with the request that did not fit.
        """
        n_processes = self.accelerator.num_processes
        losses: dict[str, torch.Tensor] = {}
        for i, work in enumerate(group):
            if i and n_processes == 1 and self.to_stop():
                return None
            # For dropout. By number and not by process, so that processes may come and go.
            nth = i * n_processes + self.accelerator.process_index
            torch.manual_seed(number(self.settings.seed, self.update, nth))
            waits = i < len(group) - 1  # the last batch sends the gradients of all
            with out_of_memory_is(OutOfMemory(work.request)):
                batch = send_to_device(work.batch, self.accelerator.device, non_blocking=True)
                with self.accelerator.no_sync(self.objective) if waits else nullcontext():
                    parts = self.objective(batch, totals)
                    # Gradients are averaged over processes, but the loss is a sum over them.
                    scale = work.weight * n_processes
                    self.accelerator.backward(sum(parts.values()) * scale)
                for name, part in parts.items():
                    losses[name] = losses.get(name, 0) + work.weight * part.detach()
        return losses

    def in_parts(self, group: list[Work]) -> list[Work]:
        """The batches of an update, those that are known not to fit made anew in parts."""
        cut = []
        for work in group:
            parts = self.parts.of(work.request)
            if len(parts) == 1:
                cut.append(work)
            else:
                cut += [Work(part, self.train_clips.batch(part), work.weight) for part in parts]
        return cut

    def require_one_process(self) -> None:
        """Processes that wait for one another's gradients cannot begin an update again alone."""
        if self.accelerator.num_processes > 1:
            raise no_help(f"at update {self.update + 1}, on one of several GPUs")

    def load_updates(self) -> Iterator[list[Work]]:
        """This process's batches of each update to come."""
        asked: deque[tuple[Request, int]] = deque()  # by the loader, and not yet made

        def requests():
            for group in self.shares():
                asked.append((None, len(group)))
                for request, weight in group:
                    asked.append((request, weight))
                    yield request

        pin = self.accelerator.device.type == "cuda"
        batches = load(self.train_clips, requests(), self.settings.workers, pin)
        for batch in batches:
            if asked[0][0] is None:
                _, n = asked.popleft()
                group = []
            request, weight = asked.popleft()
            group.append(Work(request, batch, weight))
            if len(group) == n:
                yield group

    def shares(self) -> Iterator[list[tuple[Request, int]]]:
        """What `load_updates` asks for, with weights, see `processes.share`."""
        position = self.position
        for group in self.batches.updates_from(position, self.settings.epochs):
            update = self.batches.update(position)
            position = self.batches.next(position)
            requests = [Request(clips, update) for clips in group]
            yield [
                (part, weight)
                for request, weight in share(requests, self.accelerator)
                for part in self.parts.of(request)
            ]

    def validation_due(self) -> bool:
        """Whether this state is to be validated and was not."""
        due = self.finished or self.update % self.settings.validate_every == 0
        return due and self.history.last != self.update

    def validate(self) -> bool | None:
        """Loss of the averaged weights on fixed draws, dropout and condition drops off.

        Returns:
            whether it is the best so far, update 0 left out; None when it was to stop.
        """
        self.watch.look()
        s, rows = self.settings, self.data.val
        groups = in_order([r.n_frames for r in rows], [r.id for r in rows], s.batch_frames)
        requests = share([Request(group, VALIDATION) for group in groups], self.accelerator)
        batches = load(self.val_clips, [request for request, _ in requests], s.workers, False)
        sums: dict[str, float] = {}
        counted = []
        began = time.monotonic()
        self.objective.eval()
        with torch.no_grad(), self.ema.in_place():
            for request, weight in requests:
                if self.to_stop():
                    self.objective.train()
                    return None
                batch = next(batches)
                for name, value in self.loss_sums(request, batch).items():
                    sums[name] = sums.get(name, 0.0) + value * weight
                counted.append((batch["totals"], weight))
        self.objective.train()
        totals = add_up(counted, self.accelerator)
        parts = {n: sum_over(sums[n], self.accelerator) / totals[n] for n in sorted(sums)}
        loss = sum(parts.values())
        row = {"update": self.update, "epoch": self.position.epoch, "loss": loss}
        row["seconds"] = round(time.monotonic() - began, 3)
        self.watch.write("validation", row, parts)
        if not math.isfinite(loss):
            raise UserError(f"validation loss at update {self.update} is {loss}")
        self.history.rows.append((self.update, loss))
        best = self.history.best
        improved = best is not None and best["update"] == self.update
        said = ", the best so far" if improved else ""
        log.info("validation loss %.5f at update %d%s", loss, self.update, said)
        if self.writes and (concern := self.history.concern(self.watch.trained)):
            log.warning("%s", concern)
        self.watch.skip_time()
        return improved

    def loss_sums(self, request: Request, batch: dict) -> dict[str, float]:
        """Sums, not means, of the losses of a validation batch by name; in parts where need be."""
        try:
            with out_of_memory_is(OutOfMemory(request)):
                batch = send_to_device(batch, self.accelerator.device)
                with self.accelerator.autocast():
                    losses = self.family.loss(self.model, batch, batch["totals"])
                return {name: float(loss) * batch["totals"][name] for name, loss in losses.items()}
        except OutOfMemory:
            pass
        self.val_parts.less(request, f"{self.update} (validation)")
        sums: dict[str, float] = {}
        for part in self.val_parts.of(request):
            for name, value in self.loss_sums(part, self.val_clips.batch(part)).items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    def save_due(self) -> bool:
        """Whether this state is to be saved and was not."""
        due = self.finished or self.update % self.settings.save_every == 0
        return due and self.update > 0 and self.saved != (self.update, self.history.last)

    def save(self) -> None:
        """Takes a copy of this state, which becomes a checkpoint beside the training.

        Raises:
            UserError: not finite, no longer ours to write; the one before could not be written.
        """
        self.watch.look()
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
                "validation_loss": dict(self.history.rows).get(self.update),
                "validations": list(self.history.rows),
                "fits": [self.parts.fits, self.val_parts.fits],
                "fingerprint": self.identity,
                "torch": torch.__version__,
            }
            self.keeper.take(self.ema.state(), tensors, meta, self.history.best)
            self.report("running", "training")
        self.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Takes over the newest good checkpoint; False where there is none of this run."""
        for checkpoint, meta in states.good(self.keeper.folder):
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
        self.history = History.of(meta)
        if self.accelerator.num_processes == 1:  # several would cut unlike numbers of parts
            self.parts.fits, self.val_parts.fits = meta.get("fits", (None, None))
        self.saved = (self.update, self.history.last)
        if self.writes:
            self.keeper.point(checkpoint, self.history.best)
            self.watch.metrics.cut_back(self.update, self.history.last)
        log.info("resumed from %s", checkpoint.name)
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
                loss=self.watch.loss,
            )

    def to_stop(self) -> bool:
        """Whether any process was asked to stop."""
        return bool(sum_over(float(self.stop.reason() is not None), self.accelerator))
