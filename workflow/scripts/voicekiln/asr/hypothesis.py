"""Input, output and interface of recognisers."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

RATE_HZ = 16000
MAX_S = 30.0  # Whisper's window
# ISO 639 codes of languages for which Whisper uses another code
WHISPER_CODES = {"nb": "no", "jv": "jw"}
Span = tuple[int, int]  # samples, end exclusive


@dataclass(frozen=True)
class Limits:
    """Limits beyond which a clip is decoded again or counts as silent: upstream's transcribe.py."""

    max_compression_ratio: float = 2.4
    min_avg_logprob: float = -1.0
    max_no_speech_prob: float = 0.6

    def silent(self, avg_logprob: float, no_speech_prob: float) -> bool:
        """Whether the scores indicate a clip without speech."""
        return no_speech_prob > self.max_no_speech_prob and avg_logprob < self.min_avg_logprob


UPSTREAM = Limits()


@dataclass(frozen=True)
class Clip:
    """Audio of one segment to transcribe."""

    samples: np.ndarray  # [n] float32, mono, 16 kHz, at most 30 s
    language: str | None  # Whisper's code; None: detect

    @property
    def seed(self) -> int:
        """Seed for sampling, derived from the samples alone."""
        return int.from_bytes(hashlib.sha256(self.samples.tobytes()).digest()[:8], "little")


@dataclass(frozen=True)
class Block:
    """Neighbouring spans of a recording, whose transcripts form one item of the store.

    Attributes:
        key: of the item.
        item: key of the normalised recording.
        language: of the decode; None: detect.
        spans: samples at the rate of the recording, end exclusive, at most 30 s each.
    """

    key: str
    item: str
    language: str | None
    spans: tuple[Span, ...]


@dataclass(frozen=True)
class Hypothesis:
    """Transcript of one clip by a recogniser, with Whisper's scores."""

    text: str
    language: str
    language_prob: float | None  # None if the language was given
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    words: list[list] | None  # [word, start_s, end_s, probability]; None if not requested

    def silent(self, limits: Limits) -> bool:
        """Whether there is no speech in the clip."""
        return limits.silent(self.avg_logprob, self.no_speech_prob)

    def repetitive(self, limits: Limits) -> bool:
        """Whether the text is repetitive."""
        return self.compression_ratio > limits.max_compression_ratio

    def doubtful(self, limits: Limits) -> bool:
        """Whether to decode again at a higher temperature: upstream's rule."""
        unsure = self.avg_logprob < limits.min_avg_logprob
        return not self.silent(limits) and (self.repetitive(limits) or unsure)


class Recogniser(Protocol):
    """An ASR engine with a loaded model.

    Attributes:
        batch: maximum batch size of `transcribe`.
        retry_batch: the same for the few clips that are decoded again.
        second_decode: options of `transcribe` for a second opinion on its own first decode.
    """

    batch: int
    retry_batch: int
    second_decode: dict

    def transcribe(
        self, clips: Sequence[Clip], size: int, temperature: float = 0.0, beams: int = 1
    ) -> list[Hypothesis]:
        """Hypotheses of at most `size` clips.

        Args:
            clips: audio to transcribe.
            size: batch size; results may depend on it, but not on the other clips.
            temperature: 0: greedy decoding; above: sampling.
            beams: number of beams, at temperature 0.
        """
        ...

    def language_probabilities(self, clips: Sequence[Clip]) -> list[dict[str, float]]:
        """Language probabilities of each clip; empty for a monolingual model."""
        ...
