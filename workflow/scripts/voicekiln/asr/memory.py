"""Recover from out-of-memory errors of a recogniser by halving its batches."""

import logging
from collections.abc import Sequence

from voicekiln import gpu
from voicekiln.asr.hypothesis import Clip, Hypothesis, Recogniser
from voicekiln.errors import UserError

log = logging.getLogger("transcribe")


def less_memory(device: str) -> str:
    """Advice for an out-of-memory error: settings that need less memory on a device."""
    precision = "bfloat16" if device == "cpu" else "float16"
    return (
        f"set transcribe.precision to {precision} (int8 with engine: faster-whisper), set a "
        "smaller transcribe.model, or stop other programs that use "
        + ("memory" if device == "cpu" else "the GPU")
    )


class OomSafeRecogniser:
    """A `hypothesis.Recogniser` that uses the largest batches that fit into memory.

    The size that fits is stored per number of beams. Texts do not depend on the batch size.

    Args:
        recogniser: the wrapped recogniser.
        name: of its model, for messages.
    """

    def __init__(self, recogniser: Recogniser, name: str):
        self.recogniser, self.name = recogniser, name
        self.batch, self.retry_batch, self.second_decode = (
            recogniser.batch,
            recogniser.retry_batch,
            recogniser.second_decode,
        )
        self._most: dict[int, int] = {}  # batch size by number of beams

    def transcribe(
        self, clips: Sequence[Clip], size: int, temperature: float = 0.0, beams: int = 1
    ) -> list[Hypothesis]:
        """See `hypothesis.Recogniser`."""
        hypotheses: list[Hypothesis] = []
        while len(hypotheses) < len(clips):
            fits = min(size, self._most.get(beams, size))
            part = clips[len(hypotheses) : len(hypotheses) + fits]
            try:
                hypotheses += self.recogniser.transcribe(
                    part, fits, temperature=temperature, beams=beams
                )
                continue
            except (RuntimeError, MemoryError) as error:
                if not gpu.is_out_of_memory(error):
                    raise
            gpu.free()  # outside the handler, which references the tensors of the failed attempt
            self._halve(fits, beams)
        return hypotheses

    def language_probabilities(self, clips: Sequence[Clip]) -> list[dict[str, float]]:
        """See `hypothesis.Recogniser`."""
        return self.recogniser.language_probabilities(clips)

    def _halve(self, size: int, beams: int) -> None:
        where = f" with {beams} beams" if beams > 1 else ""
        if size == 1:
            raise UserError(
                f"{self.name}: a single segment{where} does not fit into {gpu.in_use()}; "
                + less_memory(self.recogniser.device)
            )
        self._most[beams] = size // 2
        log.warning(
            "%s: a batch of %d segments%s does not fit into %s; continuing with %d at a time, with "
            "the same texts; set transcribe.batch to %d, or a lower transcribe.precision",
            *(self.name, size, where, gpu.in_use(), size // 2, size // 2),
        )
