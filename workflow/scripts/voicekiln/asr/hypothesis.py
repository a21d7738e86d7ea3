"""What a recogniser is given and what it answers, whichever engine it is."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

RATE_HZ = 16000
MAX_S = 30.0  # Whisper's window
# codes of ISO 639 for languages that Whisper has under another code
WHISPER_CODES = {"nb": "no", "jv": "jw"}
Span = tuple[int, int]  # samples, end exclusive


@dataclass(frozen=True)
class Limits:
    """Beyond them a text is decoded again, or is that of silence: upstream's (transcribe.py)."""

    max_compression_ratio: float = 2.4
    min_avg_logprob: float = -1.0
    max_no_speech_prob: float = 0.6

    def silent(self, avg_logprob: float, no_speech_prob: float) -> bool:
        """Whether scores are those of a clip without speech."""
        return no_speech_prob > self.max_no_speech_prob and avg_logprob < self.min_avg_logprob


UPSTREAM = Limits()


@dataclass(frozen=True)
class Clip:
    """One segment to be heard."""

    samples: np.ndarray  # [n] float32, mono, 16 kHz, at most 30 s
    language: str | None  # as Whisper writes it; None: to be detected

    @property
    def seed(self) -> int:
        """For sampled draws: from the clip alone, whatever its company."""
        return int.from_bytes(hashlib.sha256(self.samples.tobytes()).digest()[:8], "little")


@dataclass(frozen=True)
class Block:
    """Neighbouring stretches of a recording, whose transcripts are one item.

    Attributes:
        key: of the item.
        item: of the normalised recording.
        language: to decode in; None: to be detected.
        spans: samples at the recording's own rate, end exclusive, at most 30 s each.
    """

    key: str
    item: str
    language: str | None
    spans: tuple[Span, ...]


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

    def silent(self, limits: Limits) -> bool:
        """Whether there is no speech in the clip."""
        return limits.silent(self.avg_logprob, self.no_speech_prob)

    def repetitive(self, limits: Limits) -> bool:
        """Whether the text says the same over and over."""
        return self.compression_ratio > limits.max_compression_ratio

    def doubtful(self, limits: Limits) -> bool:
        """Whether it should be decoded again at a higher temperature: upstream's rule."""
        unsure = self.avg_logprob < limits.min_avg_logprob
        return not self.silent(limits) and (self.repetitive(limits) or unsure)


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

    def spoken(self, clips: Sequence[Clip]) -> list[dict[str, float]]:
        """Probabilities of the languages that each clip may be in; empty if the model knows one."""
        ...
