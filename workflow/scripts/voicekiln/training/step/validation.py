"""Loss of the EMA weights on the validation clips."""

import torch
from accelerate.utils import send_to_device

from voicekiln.errors import UserError
from voicekiln.families import Batch
from voicekiln.training.data.clips import BatchRequest, Clips, load
from voicekiln.training.data.plan import in_order
from voicekiln.training.process.collectives import (
    all_max,
    all_sum,
    own_share,
    share_limit,
    sum_totals,
)
from voicekiln.training.run import Run
from voicekiln.training.state.history import TOTAL
from voicekiln.training.step.ema import Ema
from voicekiln.training.step.out_of_memory import BatchSplitter, OutOfMemory, out_of_memory_as

# takes the place of an update's number, so the draws are the same at every validation
UPDATE = "validation"
MAX_VOICES = 20  # with more speakers, there is one loss for all

Record = tuple[dict[str, float], dict[str, int], int]  # sums and totals by part, and weight


class Validation:
    """Validates with fixed draws, without dropout and without dropped conditions.

    Args:
        run: the training.
        ema: its EMA weights.
        clips: held-out clips.
        batch_steps: maximum steps of a batch.
        splitter: splits batches that do not fit.

    Attributes:
        voices: mean of each loss part by speaker, of the last validation; empty with one speaker.
    """

    def __init__(self, run: Run, ema: Ema, clips: Clips, batch_steps: int, splitter: BatchSplitter):
        self._run, self._ema, self.clips, self._splitter = run, ema, clips, splitter
        self.voices: dict[str, dict[str, float]] = {}
        n_steps, ids = clips.n_steps, clips.ids
        groups = [
            tuple(mine[i] for i in group)
            for mine in self._by_voice()
            for group in in_order([n_steps[i] for i in mine], [ids[i] for i in mine], batch_steps)
        ]
        requests = [BatchRequest(group, UPDATE) for group in groups]
        self._requests = own_share(requests, run.accelerator)

    def losses(self, update: int) -> dict[str, float] | None:
        """Mean of each loss part after `update` updates; None if a process was asked to stop."""
        run, s = self._run, self._run.settings
        requests = [request for request, _ in self._requests]
        batches = load(self.clips, requests, s.workers, s.prefetch, pin=False)
        records: list[tuple[str, Record]] = []
        run.model.eval()
        with torch.no_grad(), self._ema.in_place():
            for request, weight in self._requests:
                if run.stop.reason():
                    break
                batch = next(batches)
                sums = self._sums(request, batch, update)
                records.append((self._voice(request), (sums, batch["totals"], weight)))
        run.model.train()
        share_limit(self._splitter, run.accelerator)
        if all_max(len(records) < len(self._requests), run.accelerator):
            return None
        # a process may have no clip of a voice
        nothing = dict.fromkeys(records[0][1][0], 0)
        self.voices = {
            voice: self._means(
                [(nothing, nothing, 1), *(one for whose, one in records if whose == voice)]
            )
            for voice in self._names
        }
        return self._means([one for _, one in records])

    def _by_voice(self) -> list[list[int]]:
        """Clips of each speaker, if there are several but not too many; otherwise all together."""
        speakers = [row.speaker for row in self.clips.rows]
        names = sorted(set(speakers))
        self._names = names if 1 < len(names) <= MAX_VOICES else []
        if not self._names:
            return [list(range(len(speakers)))]
        return [[i for i, name in enumerate(speakers) if name == one] for one in names]

    def _voice(self, request: BatchRequest) -> str:
        return self.clips.rows[request.clips[0]].speaker

    def _means(self, records: list[Record]) -> dict[str, float]:
        """Mean of each loss part over the records of all processes."""
        sums: dict[str, float] = {}
        for found, _, weight in records:
            for name, value in found.items():
                sums[name] = sums.get(name, 0.0) + value * weight
        accelerator = self._run.accelerator
        totals = sum_totals([(total, weight) for _, total, weight in records], accelerator)
        return {name: all_sum(sums[name], accelerator) / totals[name] for name in sorted(sums)}

    def _sums(self, request: BatchRequest, batch: Batch, update: int) -> dict[str, float]:
        """Sums of a batch by loss part; the batch is split if it does not fit."""
        try:
            with out_of_memory_as(OutOfMemory(request)):
                return {name: float(value) for name, value in self.batch_sums(batch).items()}
        except OutOfMemory:
            pass
        self._splitter.shrink(request, f"{update} (validation)")
        sums: dict[str, float] = {}
        for part in self._splitter.split(request):
            for name, value in self._sums(part, self.clips.batch(part), update).items():
                sums[name] = sums.get(name, 0.0) + value
        return sums

    def batch_sums(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Sums of a batch by loss part, on the device."""
        return self._run.loss_sums(send_to_device(batch, self._run.device))


def require_loss_part(name: str, names: list[str]) -> None:
    """Stop if `best_by` names no loss part.

    Args:
        name: `train.best_by`.
        names: the family's loss parts.

    Raises:
        UserError: with the names.
    """
    if name not in (TOTAL, *names):
        raise UserError(
            f"train.best_by: {name} is not a part of this family's loss; expected one of "
            f"{', '.join([TOTAL, *sorted(names)])}"
        )
