"""Words with a time each, of an aligner or a recogniser, joined into what is said in one go."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import replace

from voicekiln.corpus.sources.timed.stretch import Stretch

PAUSE_S = 0.3  # between two utterances
LONGEST_S = 15.0  # an utterance is cut at the longest pause about its middle until it is shorter
WORD_S = 0.8  # words are shorter in the median
PHONE_S = 0.13  # and phones than this
TOUCH_S = 0.1
LEAST = 4  # stretches; fewer say nothing of what they are
CONTEXT = re.compile(r"\S*\^\S+-\S+\+\S+=\S*")  # full-context labels of HTS
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uff66-\uff9f"
NO_SPACE = re.compile(
    rf"(?<=[{UNSPACED}])\s+(?=[{UNSPACED}])|\s+(?=[.,;:!?…。、，！？።፣፤]+(?:\s|$))"
)


def are_words(stretches: Sequence[Stretch]) -> bool:
    """Whether the stretches are single words that follow each other."""
    if len(stretches) < LEAST or any(stretch.end_s is None for stretch in stretches):
        return False
    pairs = zip(stretches, stretches[1:], strict=False)
    touching = sum(abs(b.start_s - a.end_s) < TOUCH_S for a, b in pairs)
    return (
        _single(stretches) > 0.8 * len(stretches)
        and statistics.median(_lengths(stretches)) <= WORD_S
        and touching > (len(stretches) - 1) / 3
    )


def are_phones(stretches: Sequence[Stretch]) -> bool:
    """Whether the stretches are speech sounds."""
    if any(CONTEXT.fullmatch(stretch.text) for stretch in stretches[:LEAST]):
        return True
    return (
        len(stretches) >= LEAST
        and all(stretch.end_s is not None for stretch in stretches)
        and _single(stretches) == len(stretches)
        and statistics.median(_lengths(stretches)) < PHONE_S
        and statistics.mean(len(stretch.text) for stretch in stretches) <= 3
    )


def utterances(stretches: Sequence[Stretch], words: bool = False) -> list[Stretch]:
    """The stretches in the order of time; words are joined, of each channel for itself.

    Args:
        words: they are known to be words; otherwise it is found out.
    """
    ordered = sorted(stretches, key=lambda s: (s.channel or 0, s.start_s, s.line))
    if words or are_words(ordered):
        ordered = joined(ordered)
    return sorted(ordered, key=lambda s: (s.start_s, s.line))


def joined(words: Sequence[Stretch]) -> list[Stretch]:
    """Utterances, from words in the order of time; a pause or another speaker ends one."""
    groups: list[list[Stretch]] = []
    for word in words:
        before = groups[-1][-1] if groups else None
        if (
            before is None
            or word.start_s - before.end_s >= PAUSE_S
            or (word.speaker, word.channel) != (before.speaker, before.channel)
        ):
            groups.append([])
        groups[-1].append(word)
    return [_utterance(part) for group in groups for part in _parts(group)]


def _parts(group):
    """The group, cut while it is longer than `LONGEST_S`."""
    waiting, parts = [group], []
    while waiting:
        part = waiting.pop()
        if len(part) < 2 or part[-1].end_s - part[0].start_s <= LONGEST_S:
            parts.append(part)
            continue
        length_s = part[-1].end_s - part[0].start_s
        middle_s = part[0].start_s + length_s / 2
        inner = [i for i in range(1, len(part)) if abs(part[i].start_s - middle_s) < length_s / 4]
        cut = max(
            inner or [len(part) // 2],
            # of equal pauses the one in the middle
            key=lambda i: (
                round(part[i].start_s - part[i - 1].end_s, 3),
                -abs(part[i].start_s - middle_s),
            ),
        )
        waiting += [part[cut:], part[:cut]]
    return parts


def _utterance(words):
    if len(words) == 1:
        return words[0]
    text = NO_SPACE.sub("", " ".join(" ".join(word.text.split()) for word in words))
    return replace(words[0], end_s=max(word.end_s for word in words), text=text)


def _single(stretches):
    return sum(
        not re.search(r"\S\s+\S", s.text) and len(s.text) <= 25 and not _is_sentence(s.text)
        for s in stretches
    )


def _is_sentence(text):
    """Of a script without spaces, more than a word."""
    return len(re.findall(f"[{UNSPACED}]", text)) > 4


def _lengths(stretches):
    return [stretch.end_s - stretch.start_s for stretch in stretches]
