"""The batches of the updates to come, made ahead by loader processes."""

import logging
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from voicekiln.training.data.clips import BatchRequest, Clips, load
from voicekiln.training.data.plan import Batches, Position
from voicekiln.training.process.collectives import share
from voicekiln.training.settings import TrainSettings
from voicekiln.training.step.out_of_memory import BatchSplitter

log = logging.getLogger("train")
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class MicroBatch:
    """A batch of an update.

    Attributes:
        request: what it was made by.
        batch: what the family's `collate` gave.
        weight: 0 where it only keeps several processes in step, see `processes.share`.
    """

    request: BatchRequest
    batch: dict
    weight: int


class BatchLoader:
    """Makes this process's batches.

    Args:
        batches: of all processes.
        clips: to train on.
        splitter: cuts what is known not to fit.
        settings: section `train`.
        accelerator: which process this is, and for what device.
    """

    def __init__(
        self,
        batches: Batches,
        clips: Clips,
        splitter: BatchSplitter,
        settings: TrainSettings,
        accelerator: Accelerator,
    ):
        self._batches, self._clips, self._splitter = batches, clips, splitter
        self._settings, self._accelerator = settings, accelerator

    def updates_from(self, position: Position) -> Iterator[list[MicroBatch]]:
        """This process's batches of each update from `position` to the end of the run."""
        asked: deque[tuple[BatchRequest | None, int]] = deque()  # by the loader, and not yet made

        def requests():
            for group in self._shares(position):
                asked.append((None, len(group)))
                for request, weight in group:
                    asked.append((request, weight))
                    yield request

        s = self._settings
        self._look_at_shared_memory()
        pin = s.pin_memory and self._accelerator.device.type == "cuda"
        for batch in load(self._clips, requests(), s.workers, s.prefetch, pin):
            if asked[0][0] is None:
                _, n = asked.popleft()
                group = []
            request, weight = asked.popleft()
            group.append(MicroBatch(request, batch, weight))
            if len(group) == n:
                yield group

    def again(self, group: list[MicroBatch]) -> list[MicroBatch]:
        """The same batches, those that are known not to fit by now made anew in parts."""
        cut = []
        for micro_batch in group:
            parts = self._splitter.of(micro_batch.request)
            if len(parts) == 1:
                cut.append(micro_batch)
            else:
                cut += [
                    MicroBatch(part, self._clips.batch(part), micro_batch.weight) for part in parts
                ]
        return cut

    def _shares(self, position):
        for group in self._batches.updates_from(position, self._settings.epochs):
            update = self._batches.update(position)
            position = self._batches.next(position)
            requests = [BatchRequest(clips, update) for clips in group]
            yield [
                (part, weight)
                for request, weight in share(requests, self._accelerator)
                for part in self._splitter.of(request)
            ]

    def _look_at_shared_memory(self):
        s = self._settings
        if not s.workers or not SHARED_MEMORY.exists():
            return
        lengths = self._batches.frames
        members = max(self._batches.members, key=lambda m: len(m) * max(lengths[i] for i in m))
        largest = self._clips.batch(BatchRequest(members, 0))
        n_bytes = sum(t.nbytes for t in largest.values() if torch.is_tensor(t))
        # each process has these, and one in the making
        needed_mb = n_bytes * s.workers * (s.prefetch + 1) * self._accelerator.num_processes / 1e6
        free_mb = shutil.disk_usage(SHARED_MEMORY).free / 1e6
        if needed_mb > free_mb:
            log.warning(
                "%d loader processes with %d batches ahead may need %.0f MB of shared memory, and "
                "%s has %.0f MB free: lower train.workers or train.prefetch, or give it more "
                "(Docker: --shm-size)",
                s.workers * self._accelerator.num_processes,
                s.prefetch,
                needed_mb,
                SHARED_MEMORY,
                free_mb,
            )
