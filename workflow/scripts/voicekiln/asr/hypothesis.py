"""What a recogniser is given and what it answers, whichever engine it is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

RATE_HZ = 16000
MAX_S = 30.0  # Whisper's window
# Upstream's limits (openai-whisper, transcribe.py): beyond them a text is decoded again.
MAX_COMPRESSION_RATIO = 2.4
MIN_AVG_LOGPROB = -1.0
MAX_NO_SPEECH_PROB = 0.6


@dataclass(frozen=True)
class Clip:
    """One segment to be heard."""

    samples: np.ndarray  # [n] float32, mono, 16 kHz, at most 30 s
    language: str | None  # as Whisper writes it; None: to be detected

    @property
    def seed(self) -> int:
        """For sampled draws: from the clip alone, whatever its company."""
        return int.from_bytes(hashlib.sha256(self.samples.tobytes()).digest()[:8], "little")


def is_silent(avg_logprob: float, no_speech_prob: float) -> bool:
    """Whether scores are those of a clip without speech: upstream's rule."""
    return no_speech_prob > MAX_NO_SPEECH_PROB and avg_logprob < MIN_AVG_LOGPROB


@dataclass(frozen=True)
class Hypothesis:
    """What was heard in one clip, with Whisper's own scores."""

    text: str
    language: str
    language_prob: float | None  # None where the language was given
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    words: list[list] | None  # [word, start_s, end_s, probability]; None where nobody asked

    @property
    def silent(self) -> bool:
        """Whether there is no speech in the clip."""
        return is_silent(self.avg_logprob, self.no_speech_prob)

    @property
    def repetitive(self) -> bool:
        """Whether the text says the same over and over."""
        return self.compression_ratio > MAX_COMPRESSION_RATIO

    @property
    def doubtful(self) -> bool:
        """Whether it should be decoded again at a higher temperature: upstream's rule."""
        return not self.silent and (self.repetitive or self.avg_logprob < MIN_AVG_LOGPROB)


class Recogniser(Protocol):
    """An engine with a model loaded.

    Attributes:
        batch: most clips that `hear` takes at once.
        few: the same for the few clips that are heard again.
        opinion: how `hear` gives a second opinion on its own first decode.
    """

    batch: int
    few: int
    opinion: dict

    def hear(
        self, clips: Sequence[Clip], size: int, temperature: float = 0.0, beams: int = 1
    ) -> list[Hypothesis]:
        """The hypotheses of at most `size` clips.

        Args:
            clips: what to listen to.
            size: of the batch; what a clip gets may depend on it, and not on the other clips.
            temperature: 0 takes the likeliest token each time; above, tokens are drawn.
            beams: beams of a beam search, at temperature 0.
        """
        ...
