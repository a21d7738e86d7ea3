"""Batches of the coming updates, made ahead by loader processes."""

import logging
import shutil
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from voicekiln.families import Batch
from voicekiln.training.data.clips import BatchRequest, Clips, load
from voicekiln.training.data.plan import Batches, Position
from voicekiln.training.process.collectives import own_share
from voicekiln.training.run import Run
from voicekiln.training.step.out_of_memory import BatchSplitter

log = logging.getLogger("train")
SHARED_MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class MicroBatch:
    """A batch of an update.

    Attributes:
        request: the request that it was made for.
        batch: from the family's `collate`.
        weight: 0 if it only keeps processes in step, see `collectives.own_share`; otherwise 1.
    """

    request: BatchRequest
    batch: Batch
    weight: int


class BatchLoader:
    """Makes this process's batches.

    Args:
        run: the training.
        batches: those of all processes.
        clips: training clips.
        splitter: splits batches that are known not to fit.
    """

    def __init__(self, run: Run, batches: Batches, clips: Clips, splitter: BatchSplitter):
        self._run, self._batches, self._clips, self._splitter = run, batches, clips, splitter

    def updates_from(self, position: Position) -> Iterator[list[MicroBatch]]:
        """This process's batches of each update from `position` to the end of the run."""
        pending: deque[list[tuple[BatchRequest, int]]] = deque()  # updates not yet complete

        def requests():
            for update in self._requests(position):
                pending.append(update)
                for request, _ in update:
                    yield request

        s = self._run.settings
        self._check_shared_memory()
        pin = s.pin_memory and self._run.device.type == "cuda"
        group: list[MicroBatch] = []
        for batch in load(self._clips, requests(), s.workers, s.prefetch, pin):
            request, weight = pending[0][len(group)]
            group.append(MicroBatch(request, batch, weight))
            if len(group) == len(pending[0]):
                pending.popleft()
                yield group
                group = []

    def split(self, group: list[MicroBatch]) -> list[MicroBatch]:
        """The same batches, but those that are now known not to fit are split and made again."""
        fitting = []
        for micro_batch in group:
            requests = self._splitter.split(micro_batch.request)
            if len(requests) == 1:
                fitting.append(micro_batch)
            else:
                fitting += [
                    MicroBatch(request, self._clips.batch(request), micro_batch.weight)
                    for request in requests
                ]
        return fitting

    def _requests(self, position):
        for group in self._batches.updates_from(position, self._run.settings.epochs):
            update = self._batches.update(position)
            position = self._batches.next(position)
            whole = [BatchRequest(clips, update) for clips in group]
            yield [
                (part, weight)
                for request, weight in own_share(whole, self._run.accelerator)
                for part in self._splitter.split(request)
            ]

    def _check_shared_memory(self):
        s = self._run.settings
        if not s.workers or not SHARED_MEMORY.exists():
            return
        members = max(self._batches.members, key=self._batches.padded)
        largest = self._clips.batch(BatchRequest(members, 0))
        n_bytes = sum(t.nbytes for t in largest.values() if torch.is_tensor(t))
        n_processes = s.workers * self._run.accelerator.num_processes
        # each process has `prefetch` of them, and one that it is making
        needed_mb = n_bytes * n_processes * (s.prefetch + 1) / 1e6
        free_mb = shutil.disk_usage(SHARED_MEMORY).free / 1e6
        if needed_mb > free_mb:
            log.warning(
                "%d loader processes with %d batches ahead may need %.0f MB of shared memory, and "
                "%s has %.0f MB free: lower train.workers or train.prefetch, or make it larger "
                "(Docker: --shm-size)",
                n_processes,
                s.prefetch,
                needed_mb,
                SHARED_MEMORY,
                free_mb,
            )
