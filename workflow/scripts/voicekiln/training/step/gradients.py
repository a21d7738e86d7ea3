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
from voicekiln.training.process.collectives import add_gradients, add_up, agree, highest
from voicekiln.training.process.stop import Stop
from voicekiln.training.settings import TrainSettings
from voicekiln.training.step.loader import Feed, Work
from voicekiln.training.step.objective import weighted
from voicekiln.training.step.out_of_memory import OutOfMemory, Parts, out_of_memory_is

DONE, TOO_MUCH, STOPPED = 0, 1, 2  # how a process came through; the highest one counts


class Gradients:
    """Makes them.

    Args:
        family: the family module.
        model: on its device.
        feed: makes batches anew.
        parts: what fits.
        settings: section `train`.
        accelerator: of `accelerator_for`.
        stop: asked between two batches.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        feed: Feed,
        parts: Parts,
        settings: TrainSettings,
        accelerator: Accelerator,
        stop: Stop,
    ):
        self._family, self._model, self._feed = family, model, feed
        self._parts, self._settings = parts, settings
        self._accelerator, self._stop = accelerator, stop
        self._trained = [p for p in model.parameters() if p.requires_grad]

    def of(self, group: list[Work], update: int) -> dict[str, torch.Tensor] | None:
        """Leaves an update's gradients in the parameters.

        Args:
            group: this process's batches.
            update: updates done before.

        Returns:
            this process's part of the loss by name, or None where a process was to stop.

        Raises:
            UserError: a single clip does not fit.
        """
        totals = add_up([(work.batch["totals"], work.weight) for work in group], self._accelerator)
        while True:
            group = self._feed.again(group)
            outcome, losses, too_much = DONE, None, None
            try:
                losses = self._backward(group, totals, update)
                outcome = STOPPED if losses is None else DONE
            except OutOfMemory as error:
                outcome, too_much = TOO_MUCH, error.request
            # out here nothing of a batch that failed is needed any more, see `gpu.free`
            outcome = highest(outcome, self._accelerator)
            if outcome == DONE:
                add_gradients(self._trained, self._accelerator)
                return losses
            self._drop()
            if outcome == STOPPED:
                return None
            if too_much is not None:
                self._parts.less(too_much, update + 1)
            agree(self._parts, self._accelerator)

    def _backward(self, group, totals, update):
        n_processes = self._accelerator.num_processes
        losses: dict[str, torch.Tensor] = {}
        for i, work in enumerate(group):
            if i and self._stop.reason():
                return None
            # For dropout. By number and not by process, so that processes may come and go.
            nth = i * n_processes + self._accelerator.process_index
            torch.manual_seed(number(self._settings.seed, update, nth))
            with out_of_memory_is(OutOfMemory(work.request)):
                batch = send_to_device(work.batch, self._accelerator.device, non_blocking=True)
                parts = self.loss(batch, totals)
                total = weighted(parts, self._settings.loss_weights)
                self._accelerator.backward(total * work.weight)
                for name, part in parts.items():
                    losses[name] = losses.get(name, 0) + work.weight * part.detach()
        return losses

    def loss(self, batch: dict, totals: dict[str, int]) -> dict[str, torch.Tensor]:
        """A batch's share of the update's loss, by name."""
        with self._accelerator.autocast():
            return self._family.loss(self._model, batch, totals)

    def _drop(self):
        for parameter in self._trained:
            parameter.grad = None
