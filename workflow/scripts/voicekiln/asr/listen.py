"""How clips are heard: first decode, fallback, second opinion, and once more in a disagreement.

Each pass is over all clips that need it, in batches of similar length: a batch takes as long as its
longest text. What a clip gets depends on the clip and the settings alone.
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
class ListenSettings:
    """How often and how a clip is heard."""

    temperatures: tuple[float, ...]  # the first for all, the others for doubtful texts
    second: str  # which clips get a second opinion: none | doubtful | all
    min_agreement: float  # below, a clip is heard a third time
    limits: Limits = UPSTREAM  # of a text that needs no other decode


class Listener:
    """Recognisers that listen to clips as the settings say.

    Args:
        first: the recogniser whose texts count.
        second: the one asked for second opinions; None asks the first one in another way.
        settings: how to listen.
    """

    def __init__(self, first: Recogniser, second: Recogniser | None, settings: ListenSettings):
        self.first, self.second, self.settings = first, second, settings

    @property
    def batch(self) -> int:
        """Clips that are decoded together."""
        return self.first.batch

    def __call__(
        self, clips: Sequence[Clip], advance: Callable[[int], None] = lambda n: None
    ) -> list[dict]:
        """The records of any number of clips: a `Hypothesis` with `agreement` and `again`.

        `agreement` is 1 - CER between the first decode and the second opinion, None without one.
        `again` says whether the clip was heard a third time; `agreement` is then the text's mean
        agreement with the two others.
        """
        heard = self._with_fallback(clips, advance)
        agreement: list[float | None] = [None] * len(clips)
        again = [False] * len(clips)
        opinions = self._opinions(clips, heard)
        for i, opinion in opinions.items():
            agreement[i] = agree(heard[i].text, opinion.text)
        split = [i for i in opinions if agreement[i] < self.settings.min_agreement]
        if split:
            log.info("transcribing again %d segments whose decodes disagree", len(split))
        third = _hear(self.first, clips, split, self.first.few, beams=AGAIN_BEAMS)
        for i, hypothesis in third.items():
            heard[i], agreement[i] = _consensus([heard[i], hypothesis, opinions[i]])
            again[i] = True
        return [
            asdict(hypothesis) | {"agreement": agreement[i], "again": again[i]}
            for i, hypothesis in enumerate(heard)
        ]

    def _with_fallback(self, clips, advance) -> list[Hypothesis]:
        """First decodes; doubtful ones are drawn at rising temperatures until one holds.

        Where none holds, the surest of them counts, of those that are not repetitive if any.
        """
        first, *others = self.settings.temperatures
        limits = self.settings.limits
        everyone = range(len(clips))
        done = _hear(self.first, clips, everyone, self.first.batch, advance, temperature=first)
        tried = {i: [done[i]] for i in everyone if done[i].doubtful(limits)}
        for temperature in others:
            left = [i for i in tried if tried[i][-1].doubtful(limits)]
            for i, hypothesis in _hear(
                self.first, clips, left, self.first.few, temperature=temperature
            ).items():
                tried[i].append(hypothesis)
        for i, several in tried.items():
            holding = [several[-1]] if not several[-1].doubtful(limits) else several
            sound = [one for one in holding if not one.repetitive(limits)] or holding
            done[i] = max(sound, key=lambda one: one.avg_logprob)
        if others and tried:
            log.info("%d segments decoded again at higher temperatures", len(tried))
        return [done[i] for i in everyone]

    def _opinions(self, clips, heard) -> dict[int, Hypothesis]:
        """Second opinions by position of the clip."""
        which = [
            i
            for i, one in enumerate(heard)
            if self.settings.second == "all"
            or (self.settings.second == "doubtful" and _questionable(one, self.settings.limits))
        ]
        asked = self.second or self.first
        way = {} if self.second else self.first.opinion
        size = asked.batch if self.settings.second == "all" else asked.few
        return _hear(asked, clips, which, size, **way)


def _questionable(one: Hypothesis, limits: Limits) -> bool:
    """Whether a text deserves a second opinion: halfway to upstream's limits, or beyond them.

    Silence does not: what is read into it is dropped anyway.
    """
    half = (limits.min_avg_logprob / 2, 0.75 * limits.max_compression_ratio)
    unsure = one.temperature > 0 or one.avg_logprob < half[0] or one.compression_ratio > half[1]
    return unsure and not one.silent(limits)


def _hear(
    recogniser: Recogniser,
    clips: Sequence[Clip],
    which: Sequence[int],
    size: int,
    advance: Callable[[int], None] = lambda n: None,
    **way,
) -> dict[int, Hypothesis]:
    """Hypotheses of the clips at the positions `which`, heard in batches of similar length."""
    order = sorted(which, key=lambda i: (len(clips[i].samples), i))
    heard = {}
    for at in range(0, len(order), size):
        part = order[at : at + size]
        heard |= zip(part, recogniser.hear([clips[i] for i in part], size, **way), strict=True)
        advance(len(part))
    return {i: heard[i] for i in which}


def agree(one: str, other: str) -> float:
    """1 - CER of two texts, at least 0."""
    return round(max(0.0, 1 - character_error_rate(one, other)), 4)


def _consensus(several: Sequence[Hypothesis]) -> tuple[Hypothesis, float]:
    """The one that agrees best with all others, the first of equals; and how well it agrees."""
    means = [
        sum(agree(other.text, one.text) for other in several if other is not one)
        / (len(several) - 1)
        for one in several
    ]
    best = max(range(len(several)), key=means.__getitem__)
    return several[best], round(means[best], 4)
