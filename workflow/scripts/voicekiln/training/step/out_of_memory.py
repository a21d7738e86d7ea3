"""Batches that are too much for the memory: the same update in smaller parts.

A batch is cut in halves of its clips, each padded like the whole, so that the update is the one
that it would have been: a loss is a sum over clips, divided by the update's total. What fits is
remembered.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from voicekiln.errors import UserError
from voicekiln.gpu import free, is_out_of_memory
from voicekiln.training.data.clips import BatchRequest

log = logging.getLogger("train")

REMEDIES = (
    "What helps: a lower train.batch_frames with a higher train.accumulate; precision: bf16 (or "
    "fp16); gradient_checkpointing: true; fewer train.workers; a lower segment.max_s of the corpus "
    "(shorter clips); nothing else on the GPU"
)


class OutOfMemory(Exception):
    """A batch did not fit.

    Args:
        request: what it was made by.
    """

    def __init__(self, request: BatchRequest):
        super().__init__(request)
        self.request = request


@contextmanager
def out_of_memory_is(error: Exception) -> Iterator[None]:
    """Raises `error` in the place of whatever says that memory ran out."""
    try:
        yield
    except (RuntimeError, MemoryError) as raised:
        if is_out_of_memory(raised):
            raise error from None
        raise


def no_help(where: str) -> UserError:
    """Out of memory where parts do not help; with what does."""
    return UserError(f"out of memory {where}. {REMEDIES}")


class BatchSplitter:
    """Cuts requests so that they fit.

    Args:
        frames: length of a clip by its index, frames.
        fits: most frames of a batch with padding that are known to fit; None where none failed.
    """

    def __init__(self, frames: Callable[[int], int], fits: int | None = None):
        self._frames, self.fits = frames, fits

    def of(self, request: BatchRequest) -> list[BatchRequest]:
        """The request in parts; itself where it fits."""
        padded = request.pad_to or max(self._frames(i) for i in request.clips)
        if self.fits is None or len(request.clips) * padded <= self.fits or len(request.clips) < 2:
            return [request]
        half = -(-len(request.clips) // 2)
        halves = (request.clips[:half], request.clips[half:])
        parts = (replace(request, clips=clips, pad_to=padded) for clips in halves)
        return [part for half in parts for part in self.of(half)]

    def less(self, request: BatchRequest, update: int | str) -> None:
        """Remember that a request did not fit.

        Raises:
            UserError: it is a single clip; with what the user can do.
        """
        padded = request.pad_to or max(self._frames(i) for i in request.clips)
        n = len(request.clips)
        free()
        if n == 1:
            raise no_help(f"at update {update} with a single clip of {padded} frames")
        self.fits = padded * -(-n // 2)
        log.warning(
            "out of memory at update %s with %d clips of %d frames: the same update again in parts "
            "of at most %d frames; from now on all batches",
            update,
            n,
            padded,
            self.fits,
        )
