"""Words with times, from an aligner or a recogniser, joined into utterances."""

import re
import statistics
from collections.abc import Sequence
from dataclasses import replace

from voicekiln.corpus.sources.timed.utterance import Utterance

PAUSE_S = 0.3  # between two utterances
LONGEST_S = 15.0  # longer utterances are cut at the longest pause near their middle
WORD_S = 0.8  # upper limit of the median length of words
PHONE_S = 0.13  # and of phones
TOUCH_S = 0.1
LEAST = 4  # utterances; fewer are not classified
CONTEXT = re.compile(r"\S*\^\S+-\S+\+\S+=\S*")  # full-context labels of HTS
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u3400-\u9fff\uff66-\uff9f"
NO_SPACE = re.compile(
    rf"(?<=[{UNSPACED}])\s+(?=[{UNSPACED}])|\s+(?=[.,;:!?…。、，！？።፣፤]+(?:\s|$))"
)


def are_words(utterances: Sequence[Utterance]) -> bool:
    """Whether the utterances are single words that follow each other."""
    if len(utterances) < LEAST or any(utterance.end_s is None for utterance in utterances):
        return False
    pairs = zip(utterances, utterances[1:], strict=False)
    touching = sum(abs(b.start_s - a.end_s) < TOUCH_S for a, b in pairs)
    return (
        _single(utterances) > 0.8 * len(utterances)
        and statistics.median(_lengths(utterances)) <= WORD_S
        and touching > (len(utterances) - 1) / 3
    )


def are_phones(utterances: Sequence[Utterance]) -> bool:
    """Whether the utterances are speech sounds."""
    if any(CONTEXT.fullmatch(utterance.text) for utterance in utterances[:LEAST]):
        return True
    return (
        len(utterances) >= LEAST
        and all(utterance.end_s is not None for utterance in utterances)
        and _single(utterances) == len(utterances)
        and statistics.median(_lengths(utterances)) < PHONE_S
        and statistics.mean(len(utterance.text) for utterance in utterances) <= 3
    )


def in_order(utterances: Sequence[Utterance], words: bool = False) -> list[Utterance]:
    """The utterances in the order of time; words are joined, separately in each channel.

    Args:
        words: the utterances are words; otherwise this is detected.
    """
    ordered = sorted(utterances, key=lambda s: (s.channel or 0, s.start_s, s.line))
    if words or are_words(ordered):
        ordered = join(ordered)
    return sorted(ordered, key=lambda s: (s.start_s, s.line))


def join(words: Sequence[Utterance]) -> list[Utterance]:
    """Utterances, from words in the order of time; a pause or another speaker ends one."""
    groups: list[list[Utterance]] = []
    for word in words:
        before = groups[-1][-1] if groups else None
        if (
            before is None
            or word.start_s - before.end_s >= PAUSE_S
            or (word.speaker, word.channel) != (before.speaker, before.channel)
        ):
            groups.append([])
        groups[-1].append(word)
    return [_joined(part) for group in groups for part in _parts(group)]


def _parts(group):
    """The group, cut until no part is longer than `LONGEST_S`."""
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


def _joined(words):
    if len(words) == 1:
        return words[0]
    text = NO_SPACE.sub("", " ".join(" ".join(word.text.split()) for word in words))
    return replace(words[0], end_s=max(word.end_s for word in words), text=text)


def _single(utterances):
    return sum(
        not re.search(r"\S\s+\S", s.text) and len(s.text) <= 25 and not _is_sentence(s.text)
        for s in utterances
    )


def _is_sentence(text):
    """Whether a text in a script without spaces is more than a word."""
    return len(re.findall(f"[{UNSPACED}]", text)) > 4


def _lengths(utterances):
    return [utterance.end_s - utterance.start_s for utterance in utterances]
