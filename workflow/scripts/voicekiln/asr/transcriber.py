"""Transcribe clips: first decode, temperature fallback, second opinion, third decode.

Each pass covers all clips that need it, in batches of similar length, since a batch takes as long
as its longest text. The result for a clip depends only on the clip and the settings.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from voicekiln.asr.hypothesis import UPSTREAM, Clip, Hypothesis, Limits, Recogniser
from voicekiln.text.distance import character_error_rate

log = logging.getLogger("transcribe")
VERSION = 2
AGAIN_BEAMS = 5


@dataclass(frozen=True)
class TranscriberSettings:
    """Decoding passes of a clip."""

    temperatures: tuple[
        float, ...
    ]  # the first for all clips, the others as fallback for doubtful texts
    second: str  # which clips get a second opinion: none | doubtful | all
    min_agreement: float  # below: third decode
    limits: Limits = UPSTREAM  # of a text that is not decoded again


class Transcriber:
    """Runs the decoding passes over clips.

    Args:
        first: the main recogniser.
        second: recogniser for second opinions; None: `first`, with its `second_decode` options.
        settings: which passes to run.
    """

    def __init__(self, first: Recogniser, second: Recogniser | None, settings: TranscriberSettings):
        self.first, self.second, self.settings = first, second, settings

    @property
    def batch(self) -> int:
        """Clips that are decoded together."""
        return self.first.batch

    def __call__(
        self, clips: Sequence[Clip], advance: Callable[[int], None] = lambda n: None
    ) -> list[dict]:
        """One record per clip: the fields of `Hypothesis`, with `agreement` and `again`.

        `agreement` is 1 - CER between first decode and second opinion, None without one. `again`
        is true after a third decode; `agreement` is then the mean agreement of the chosen text with
        the two others.
        """
        hypotheses = self._with_fallback(clips, advance)
        agreement: list[float | None] = [None] * len(clips)
        again = [False] * len(clips)
        opinions = self._opinions(clips, hypotheses)
        for i, opinion in opinions.items():
            agreement[i] = text_agreement(hypotheses[i].text, opinion.text)
        split = [i for i in opinions if agreement[i] < self.settings.min_agreement]
        if split:
            log.info(
                "transcribing %d segments a third time because their decodes disagree", len(split)
            )
        third = _transcribe(self.first, clips, split, self.first.retry_batch, beams=AGAIN_BEAMS)
        for i, hypothesis in third.items():
            hypotheses[i], agreement[i] = _consensus([hypotheses[i], hypothesis, opinions[i]])
            again[i] = True
        return [
            asdict(hypothesis) | {"agreement": agreement[i], "again": again[i]}
            for i, hypothesis in enumerate(hypotheses)
        ]

    def _with_fallback(self, clips, advance) -> list[Hypothesis]:
        """First decodes; doubtful ones are sampled at rising temperatures until one is accepted.

        If none is accepted, the one with the best log-probability is returned, preferably among
        those that are not repetitive.
        """
        first, *others = self.settings.temperatures
        limits = self.settings.limits
        everyone = range(len(clips))
        done = _transcribe(
            self.first, clips, everyone, self.first.batch, advance, temperature=first
        )
        attempts = {i: [done[i]] for i in everyone if done[i].doubtful(limits)}
        for temperature in others:
            left = [i for i in attempts if attempts[i][-1].doubtful(limits)]
            for i, hypothesis in _transcribe(
                self.first, clips, left, self.first.retry_batch, temperature=temperature
            ).items():
                attempts[i].append(hypothesis)
        for i, several in attempts.items():
            accepted = [several[-1]] if not several[-1].doubtful(limits) else several
            sound = [one for one in accepted if not one.repetitive(limits)] or accepted
            done[i] = max(sound, key=lambda one: one.avg_logprob)
        if others and attempts:
            log.info("%d segments decoded again at higher temperatures", len(attempts))
        return [done[i] for i in everyone]

    def _opinions(self, clips, hypotheses) -> dict[int, Hypothesis]:
        """Second opinions, by index of the clip."""
        which = [
            i
            for i, one in enumerate(hypotheses)
            if self.settings.second == "all"
            or (
                self.settings.second == "doubtful"
                and _needs_second_opinion(one, self.settings.limits)
            )
        ]
        recogniser = self.second or self.first
        options = {} if self.second else self.first.second_decode
        size = recogniser.batch if self.settings.second == "all" else recogniser.retry_batch
        return _transcribe(recogniser, clips, which, size, **options)


def _needs_second_opinion(one: Hypothesis, limits: Limits) -> bool:
    """Whether a text needs a second opinion: halfway to upstream's limits, or beyond.

    Silence does not: its text is dropped anyway.
    """
    half = (limits.min_avg_logprob / 2, 0.75 * limits.max_compression_ratio)
    unsure = one.temperature > 0 or one.avg_logprob < half[0] or one.compression_ratio > half[1]
    return unsure and not one.silent(limits)


def _transcribe(
    recogniser: Recogniser,
    clips: Sequence[Clip],
    which: Sequence[int],
    size: int,
    advance: Callable[[int], None] = lambda n: None,
    **options,
) -> dict[int, Hypothesis]:
    """Hypotheses of the clips with the indices `which`, in batches of similar length."""
    order = sorted(which, key=lambda i: (len(clips[i].samples), i))
    hypotheses = {}
    for at in range(0, len(order), size):
        part = order[at : at + size]
        hypotheses |= zip(
            part, recogniser.transcribe([clips[i] for i in part], size, **options), strict=True
        )
        advance(len(part))
    return {i: hypotheses[i] for i in which}


def text_agreement(one: str, other: str) -> float:
    """1 - CER of two texts, clipped to 0."""
    return round(max(0.0, 1 - character_error_rate(one, other)), 4)


def _consensus(several: Sequence[Hypothesis]) -> tuple[Hypothesis, float]:
    """The hypothesis with the best mean agreement with the others, and that agreement."""
    means = [
        sum(text_agreement(other.text, one.text) for other in several if other is not one)
        / (len(several) - 1)
        for one in several
    ]
    best = max(range(len(several)), key=means.__getitem__)
    return several[best], round(means[best], 4)
