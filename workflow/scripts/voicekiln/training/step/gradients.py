"""The gradients of an update: a sum over its batches and over all processes, or none at all.

The processes add up what they have only when all of them are through with their batches. So when
one runs out of memory or is to stop, none waits for it in vain: all drop the update, or begin it
again with that one's batches in parts.
"""

from types import ModuleType

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from voicekiln.training.data.plan import number
from voicekiln.training.process.collectives import agree, all_reduce_gradients, highest, sum_totals
from voicekiln.training.process.stop import Stop
from voicekiln.training.settings import TrainSettings
from voicekiln.training.step.loader import BatchLoader, MicroBatch
from voicekiln.training.step.objective import weighted
from voicekiln.training.step.out_of_memory import BatchSplitter, OutOfMemory, out_of_memory_is

DONE, TOO_MUCH, STOPPED = 0, 1, 2  # how a process came through; the highest one counts


class Gradients:
    """Makes them.

    Args:
        family: the family module.
        model: on its device.
        loader: makes batches anew.
        splitter: what fits.
        settings: section `train`.
        accelerator: of `accelerator_for`.
        stop: asked between two batches.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        loader: BatchLoader,
        splitter: BatchSplitter,
        settings: TrainSettings,
        accelerator: Accelerator,
        stop: Stop,
    ):
        self._family, self._model, self._loader = family, model, loader
        self._splitter, self._settings = splitter, settings
        self._accelerator, self._stop = accelerator, stop
        self._trained = [p for p in model.parameters() if p.requires_grad]

    def of(self, group: list[MicroBatch], update: int) -> dict[str, torch.Tensor] | None:
        """Leaves an update's gradients in the parameters.

        Args:
            group: this process's batches.
            update: updates done before.

        Returns:
            this process's part of the loss by name, or None where a process was to stop.

        Raises:
            UserError: a single clip does not fit.
        """
        totals = sum_totals(
            [(one.batch["totals"], one.weight) for one in group],
            self._accelerator,
        )
        while True:
            group = self._loader.again(group)
            outcome, losses, too_much = DONE, None, None
            try:
                losses = self._backward(group, totals, update)
                outcome = STOPPED if losses is None else DONE
            except OutOfMemory as error:
                outcome, too_much = TOO_MUCH, error.request
            # out here nothing of a batch that failed is needed any more, see `gpu.free`
            outcome = highest(outcome, self._accelerator)
            if outcome == DONE:
                all_reduce_gradients(self._trained, self._accelerator)
                return losses
            self._drop()
            if outcome == STOPPED:
                return None
            if too_much is not None:
                self._splitter.less(too_much, update + 1)
            agree(self._splitter, self._accelerator)

    def _backward(self, group, totals, update):
        device = self._accelerator.device
        n_processes = self._accelerator.num_processes
        losses: dict[str, torch.Tensor] = {}
        for i, micro_batch in enumerate(group):
            if i and self._stop.reason():
                return None
            # For dropout. By number and not by process, so that processes may come and go.
            nth = i * n_processes + self._accelerator.process_index
            torch.manual_seed(number(self._settings.seed, update, nth))
            with out_of_memory_is(OutOfMemory(micro_batch.request)):
                batch = send_to_device(micro_batch.batch, device, non_blocking=True)
                parts = self.loss(batch, totals)
                total = weighted(parts, self._settings.loss_weights)
                self._accelerator.backward(total * micro_batch.weight)
                for name, part in parts.items():
                    losses[name] = losses.get(name, 0) + micro_batch.weight * part.detach()
        return losses

    def loss(self, batch: dict, totals: dict[str, int]) -> dict[str, torch.Tensor]:
        """A batch's share of the update's loss, by name."""
        with self._accelerator.autocast():
            return self._family.loss(self._model, batch, totals)

    def _drop(self):
        for parameter in self._trained:
            parameter.grad = None
