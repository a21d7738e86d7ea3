"""A recogniser whose batches are halved when they do not fit into memory."""

import logging
from collections.abc import Sequence

from voicekiln import gpu
from voicekiln.asr.hypothesis import Clip, Hypothesis, Recogniser
from voicekiln.errors import UserError

log = logging.getLogger("transcribe")


class Fitting:
    """A `hypothesis.Recogniser` that hears clips in the largest batches that fit.

    What fits is remembered for each number of beams. A clip's text does not depend on the size of
    its batch.

    Args:
        recogniser: the one that hears.
        name: of its model, for messages.
    """

    def __init__(self, recogniser: Recogniser, name: str):
        self.recogniser, self.name = recogniser, name
        self.batch, self.few, self.opinion = recogniser.batch, recogniser.few, recogniser.opinion
        self._most: dict[int, int] = {}  # clips by beams

    def hear(
        self, clips: Sequence[Clip], size: int, temperature: float = 0.0, beams: int = 1
    ) -> list[Hypothesis]:
        """See `hypothesis.Recogniser`."""
        heard: list[Hypothesis] = []
        while len(heard) < len(clips):
            fits = min(size, self._most.get(beams, size))
            part = clips[len(heard) : len(heard) + fits]
            try:
                heard += self.recogniser.hear(part, fits, temperature=temperature, beams=beams)
                continue
            except (RuntimeError, MemoryError) as error:
                if not gpu.is_out_of_memory(error):
                    raise
            gpu.free()  # outside of the handler, which holds what the failed try had made
            self._halve(fits, beams)
        return heard

    def spoken(self, clips: Sequence[Clip]) -> list[dict[str, float]]:
        """See `hypothesis.Recogniser`."""
        return self.recogniser.spoken(clips)

    def _halve(self, size: int, beams: int) -> None:
        where = f" with {beams} beams" if beams > 1 else ""
        if size == 1:
            raise UserError(
                f"{self.name}: a single segment{where} does not fit into {gpu.in_use()}; set "
                "transcribe.precision to float16 (int8 with engine: faster-whisper), take a "
                "smaller transcribe.model, or stop what else uses the GPU"
            )
        self._most[beams] = size // 2
        log.warning(
            "%s: a batch of %d segments%s does not fit into %s; from here on %d at a time, with "
            "the same texts; set transcribe.batch to %d, or a transcribe.precision that needs less",
            *(self.name, size, where, gpu.in_use(), size // 2, size // 2),
        )
