"""The training loop, the same for every family: batches -> loss -> update -> EMA weights.

An update is a function of the state before it and of its number: order, draws and dropout come
from seeds, the learning rate from the schedule. So a state is tensors and a position, and a
training that was interrupted anywhere repeats exactly what the uninterrupted one does.
"""

import logging
import math
import time
from collections.abc import Mapping

import torch
from accelerate.utils import send_to_device

from voicekiln.training.log.metrics import PendingUpdate
from voicekiln.training.process.collectives import (
    all_max,
    all_reduce_gradients,
    all_sum,
    first_not_none,
    share_limit,
    sum_totals,
)
from voicekiln.training.run import Run
from voicekiln.training.seeds import derive_seed
from voicekiln.training.session import Session
from voicekiln.training.state.training_state import TrainingState
from voicekiln.training.step.loader import BatchLoader, MicroBatch
from voicekiln.training.step.objective import means, weighted
from voicekiln.training.step.optimizers import FrozenRows
from voicekiln.training.step.out_of_memory import (
    OutOfMemory,
    out_of_memory_as,
    out_of_memory_error,
)

log = logging.getLogger("train")

COMPLETE, TOO_LARGE, STOPPED = 0, 1, 2  # outcomes of a process; the highest over all wins


class Training:
    """The update loop of one training.

    Args:
        run: the training.
        state: where it stands.
        loader: makes this process's batches.
        session: validates and saves between updates.
        base_rows: number of rows of base tokens that must not change, by name of the tensor.
    """

    def __init__(
        self,
        run: Run,
        state: TrainingState,
        loader: BatchLoader,
        session: Session,
        base_rows: Mapping[str, int],
    ):
        self.run, self.state, self.loader, self.session = run, state, loader, session
        self._frozen = FrozenRows(run.model, base_rows)
        self._trained = run.trained

    def train(self) -> tuple[bool, str]:
        """Train to the end or until a stop is requested; the state is saved.

        Returns:
            whether the training has ended for good, and why it ended.

        Raises:
            UserError: a loss is not finite, features cannot be read, the disk is full, ...
        """
        with self.session.open():
            self._loop()
        # A collective on both paths: no process reports its end before the one that writes has
        # written the last checkpoint; if that fails, the others fail here.
        stop_reason = first_not_none(self.run.stop.reason(), self.run.accelerator)
        if (reason := self.state.end_reason) and not self.session.validation_due():
            return True, reason
        return False, stop_reason

    def _loop(self) -> None:
        session = self.session
        groups = self.loader.updates_from(self.state.position)
        while session.between_updates():
            if self.state.end_reason or self._stop_requested():
                break
            began = time.monotonic()
            group = next(groups)
            session.logger.add_wait(time.monotonic() - began)
            if not self.step(group):
                break
            session.after_update()
        session.save_last()

    def step(self, group: list[MicroBatch]) -> bool:
        """One update: accumulate, clip, step, average, log.

        Args:
            group: this process's micro-batches.

        Returns:
            False if a stop was requested between two micro-batches; the update is dropped.
        """
        state, s = self.state, self.run.settings
        learning_rate = state.learning_rate(state.update)
        for parameters in state.optimizer.param_groups:
            parameters["lr"] = learning_rate
        losses = self._accumulate(group)
        if losses is None:
            return False
        self._frozen.zero_gradients()
        limit = s.max_grad_norm or math.inf  # clips nothing, but returns the norm
        norm = self.run.accelerator.clip_grad_norm_(self._trained, limit)
        where = f"in the optimiser step of update {state.update + 1}"
        with out_of_memory_as(out_of_memory_error(where)):
            state.optimizer.step()
        self._frozen.restore()
        state.optimizer.zero_grad()
        state.ema.update()
        self.session.logger.add(PendingUpdate(state.position, losses, norm, learning_rate))
        state.position = state.batches.next(state.position)
        return True

    def _accumulate(self, group: list[MicroBatch]) -> dict[str, torch.Tensor] | None:
        """Leave the gradients of an update in the parameters, summed over all processes.

        Gradients are all-reduced once every process has finished its micro-batches. So when one
        runs out of memory or has to stop, no other blocks on it: all drop the update, or repeat it
        with smaller micro-batches on that process.

        Returns:
            this process's part of the loss by name, or None if a process was asked to stop.

        Raises:
            UserError: a single clip does not fit into memory.
        """
        accelerator, splitter = self.run.accelerator, self.state.splitter
        totals = sum_totals([(one.batch["totals"], one.weight) for one in group], accelerator)
        while True:
            group = self.loader.split(group)
            outcome, losses, too_large = COMPLETE, {}, None
            try:
                for i, micro_batch in enumerate(group):
                    if i and self.run.stop.reason():
                        outcome = STOPPED
                        break
                    for name, loss in self.backward(i, micro_batch, totals).items():
                        losses[name] = losses.get(name, 0) + loss
            except OutOfMemory as error:
                outcome, too_large = TOO_LARGE, error.request
            # out here nothing holds tensors of a failed batch any more, see `gpu.free`
            outcome = all_max(outcome, accelerator)
            if outcome == COMPLETE:
                all_reduce_gradients(self._trained, accelerator)
                return losses
            for parameter in self._trained:
                parameter.grad = None
            if outcome == STOPPED:
                return None
            if too_large is not None:
                splitter.shrink(too_large, self.state.update + 1)
            share_limit(splitter, accelerator)

    def backward(
        self, i: int, micro_batch: MicroBatch, totals: Mapping[str, int]
    ) -> dict[str, torch.Tensor]:
        """Add the gradients of a process's i-th micro-batch; returns its part of each loss."""
        run = self.run
        # For dropout. By number and not by process, so that the number of processes may change.
        nth = i * run.accelerator.num_processes + run.accelerator.process_index
        torch.manual_seed(derive_seed(run.settings.seed, self.state.update, nth))
        with out_of_memory_as(OutOfMemory(micro_batch.request)):
            batch = send_to_device(micro_batch.batch, run.device, non_blocking=True)
            losses = means(run.loss_sums(batch), totals)
            total = weighted(losses, run.settings.loss_weights)
            run.accelerator.backward(total * micro_batch.weight)
            return {name: micro_batch.weight * loss.detach() for name, loss in losses.items()}

    def _stop_requested(self) -> bool:
        """Whether any process was asked to stop."""
        asked = self.run.stop.reason() is not None
        return bool(all_sum(float(asked), self.run.accelerator))
