"""The loss of the averaged weights on the validation clips."""

from types import ModuleType

import torch
from accelerate import Accelerator
from accelerate.utils import send_to_device

from voicekiln.errors import UserError
from voicekiln.training.data.clips import BatchRequest, Clips, load
from voicekiln.training.data.plan import in_order
from voicekiln.training.process.collectives import agree, all_sum, highest, share, sum_totals
from voicekiln.training.process.stop import Stop
from voicekiln.training.settings import TrainSettings
from voicekiln.training.state.history import TOTAL
from voicekiln.training.step.ema import Ema
from voicekiln.training.step.out_of_memory import BatchSplitter, OutOfMemory, out_of_memory_is

# stands where an update's number stands, so its draws are always the same
UPDATE = "validation"


class Validation:
    """Validates on fixed draws, dropout and condition drops off.

    Args:
        family: the family module.
        model: on its device.
        ema: its averaged weights.
        clips: to validate on.
        settings: section `train`.
        accelerator: of `accelerator_for`.
        stop: asked between two batches.
    """

    def __init__(
        self,
        family: ModuleType,
        model: torch.nn.Module,
        ema: Ema,
        clips: Clips,
        settings: TrainSettings,
        accelerator: Accelerator,
        stop: Stop,
    ):
        self._family, self._model, self._ema, self._clips = family, model, ema, clips
        self._accelerator, self._stop, self._settings = accelerator, stop, settings
        rows = self.rows = clips.rows
        self.splitter = BatchSplitter(lambda i: rows[i].n_frames)
        frames, ids = [row.n_frames for row in rows], [row.id for row in rows]
        groups = in_order(frames, ids, settings.batch_frames)
        self._requests = share([BatchRequest(group, UPDATE) for group in groups], accelerator)

    def losses(self, update: int) -> dict[str, float] | None:
        """Mean losses by name, after so many updates; None where a process was to stop."""
        s, requests = self._settings, [request for request, _ in self._requests]
        batches = load(self._clips, requests, s.workers, s.prefetch, pin=False)
        sums: dict[str, float] = {}
        counted = []
        self._model.eval()
        with torch.no_grad(), self._ema.in_place():
            for request, weight in self._requests:
                if self._stop.reason():
                    break
                batch = next(batches)
                for name, value in self._sums(request, batch, update).items():
                    sums[name] = sums.get(name, 0.0) + value * weight
                counted.append((batch["totals"], weight))
        self._model.train()
        agree(self.splitter, self._accelerator)
        if highest(len(counted) < len(self._requests), self._accelerator):
            return None
        totals = sum_totals(counted, self._accelerator)
        return {n: all_sum(sums[n], self._accelerator) / totals[n] for n in sorted(sums)}

    def _sums(self, request, batch, update):
        """Sums, not means, of the losses of a batch by name; in parts where need be."""
        try:
            with out_of_memory_is(OutOfMemory(request)):
                batch = send_to_device(batch, self._accelerator.device)
                losses = self.loss(batch)
                return {name: float(loss) * batch["totals"][name] for name, loss in losses.items()}
        except OutOfMemory:
            pass
        self.splitter.less(request, f"{update} (validation)")
        sums: dict[str, float] = {}
        for part in self.splitter.of(request):
            for name, value in self._sums(part, self._clips.batch(part), update).items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    def loss(self, batch: dict) -> dict[str, torch.Tensor]:
        """Mean losses of a batch, by name."""
        with self._accelerator.autocast():
            return self._family.loss(self._model, batch, batch["totals"])


def require_part(name: str, clips: Clips) -> None:
    """Stops where the loss has no such part.

    Raises:
        UserError: with the names that there are.
    """
    names = [TOTAL, *sorted(clips.batch(BatchRequest((0,), UPDATE))["totals"])]
    if name not in names:
        raise UserError(
            f"train.best_by: {name} is no part of this family's loss; there are {', '.join(names)}"
        )
