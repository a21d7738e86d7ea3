"""Batches that do not fit into memory: the same update with smaller batches.

A batch is split into halves of its clips, each padded like the whole, so that the update stays the
same: a loss is a sum over clips, divided by the update's total. The size that fits is remembered.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from voicekiln.errors import UserError
from voicekiln.gpu import free, is_out_of_memory
from voicekiln.training.data.clips import BatchRequest

log = logging.getLogger("train")

REMEDIES = (
    "What helps: a lower train.batch_s with a higher train.accumulate; precision: bf16 (or fp16); "
    "gradient_checkpointing: true; fewer train.workers; a lower segment.max_s of the corpus "
    "(shorter clips); no other program on the GPU"
)


class OutOfMemory(Exception):
    """A batch did not fit.

    Args:
        request: the request of that batch.
    """

    def __init__(self, request: BatchRequest):
        super().__init__(request)
        self.request = request


@contextmanager
def out_of_memory_as(error: Exception) -> Iterator[None]:
    """Raise `error` in place of any exception that means out of memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as raised:
        if is_out_of_memory(raised):
            raise error from None
        raise


def out_of_memory_error(where: str) -> UserError:
    """Error for a place where smaller batches do not help, with what does."""
    return UserError(f"out of memory {where}. {REMEDIES}")


class BatchSplitter:
    """Splits batches so that they fit.

    Args:
        n_steps: length of each clip.

    Attributes:
        max_steps: limit of the steps of a batch, padding included; half of what did not fit, and
            lowered again if that does not fit either. None while everything fits.
    """

    def __init__(self, n_steps: Sequence[int]):
        self._n_steps = n_steps
        self.max_steps: int | None = None

    def split(self, request: BatchRequest) -> list[BatchRequest]:
        """The request itself if it fits, otherwise smaller ones."""
        padded, n = self._padded(request), len(request.clips)
        if self.max_steps is None or n * padded <= self.max_steps or n < 2:
            return [request]
        half = -(-n // 2)
        halves = (request.clips[:half], request.clips[half:])
        return [
            part
            for clips in halves
            for part in self.split(replace(request, clips=clips, pad_to=padded))
        ]

    def shrink(self, request: BatchRequest, update: int | str) -> None:
        """Remember that a request did not fit.

        Raises:
            UserError: it is a single clip; with the remedies.
        """
        padded, n = self._padded(request), len(request.clips)
        free()
        if n == 1:
            raise out_of_memory_error(f"at update {update} with a single clip of {padded} steps")
        self.max_steps = padded * -(-n // 2)
        log.warning(
            "out of memory at update %s with %d clips of %d steps: the update is repeated with "
            "batches of at most %d steps, and so are all later ones",
            update,
            n,
            padded,
            self.max_steps,
        )

    def _padded(self, request):
        return request.pad_to or max(self._n_steps[i] for i in request.clips)
