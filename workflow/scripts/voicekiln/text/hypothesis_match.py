"""Find the words that a hypothesis has for a number, and the reading that they match.

The text around the number is aligned with the hypothesis; the hypothesis words in between were
spoken for it. A reading is chosen if it equals these words, or if it is closer to them than any
other reading by a margin. A hypothesis with digits does not reveal how they were read.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache

from rapidfuzz.distance import Levenshtein

from voicekiln.text.align import align
from voicekiln.text.clean import comparable, letters
from voicekiln.text.scripts import WITHOUT_SPACES

NUMBER = "\ue000"  # placeholder for the number during alignment
ACCENTS = re.compile("[\u0300-\u036f]")
MAX_EDITS_PER_LETTER = 0.15  # of a reading that differs from the hypothesis
MIN_LETTERS = 6  # fewer must match exactly
MARGIN = 2  # edits to the second-best reading
# Amharic homophones, by series of seven vowels: ሐ ኀ ሠ ዐ ፀ as ሀ ሀ ሰ አ ጸ
AMHARIC_HOMOPHONES = {
    first + vowel: other + vowel
    for first, other in (
        (0x1210, 0x1200), (0x1280, 0x1200), (0x1220, 0x1230), (0x12D0, 0x12A0), (0x1340, 0x1338),
    )
    for vowel in range(7)
} | {0x1203: 0x1200, 0x1213: 0x1200, 0x1283: 0x1200, 0x12A3: 0x12A0, 0x12D3: 0x12A0}  # fmt: skip
CACHED = 1 << 16
MAX_WORDS = 40  # for one expression
Reading = Callable[[str], str | None]  # the reading that some words are, or None
Part = Mapping[str, str]  # readings of one part of an expression, by their letters


def match_expressions(
    text: str, start: int, end: int, hypothesis: str, language: str, reads: Sequence[Reading]
) -> list[str] | None:
    """Readings of the expressions in `text[start:end]` by the hypothesis, or None if unclear.

    Args:
        reads: one reader per expression, in order; there are no letters between expressions.
    """
    words, first, last = _aligned_span(text, start, end, hypothesis, language)
    spoken = _in_order(words[first:last], reads, language)
    if spoken or last - first > MAX_WORDS:
        return spoken[0] if len(spoken) == 1 else None
    # the alignment may miss short neighbours: look for the same words on both sides
    before, after = comparable(text[:start]).split()[-1:], comparable(text[end:]).split()[:1]
    found = [
        spoken
        for i in range(first, last)
        if i == first or words[i - 1 : i] == before
        for j in range(i + 1, last + 1)
        if (j == last or words[j : j + 1] == after) and j - i < last - first
        for spoken in _in_order(words[i:j], reads, language)
    ]
    return found[0] if found and all(spoken == found[0] for spoken in found) else None


def _in_order(words, reads, language) -> list[list[str]]:
    """Ways to split the words into readings of all expressions, in order; at most two, since two
    are already ambiguous."""
    if len(reads) > 1 and len(words) > MAX_WORDS:
        return []

    @cache
    def ways(first: int, k: int) -> list[tuple[str, ...]]:
        if k == len(reads):
            return [()]
        left = len(reads) - k - 1
        found: dict[tuple[str, ...], None] = {}
        for last in range(first + 1 if left else len(words), len(words) - left + 1):
            spoken = _read(words[first:last], reads[k], language)
            if spoken:
                found.update(dict.fromkeys((spoken, *rest) for rest in ways(last, k + 1)))
        return list(found)[:2]

    return [list(spoken) for spoken in ways(0, 0)]


def _read(words: Sequence[str], read: Reading, language: str) -> str | None:
    """`read` applied to the words; None if they contain digits."""
    spoken = _joined(words, language)
    return read(spoken) if spoken and not any(c.isnumeric() for c in spoken) else None


def _joined(words, language):
    return ("" if language in WITHOUT_SPACES else " ").join(words)


def _aligned_span(text, start, end, hypothesis, language) -> tuple[list[str], int, int]:
    """The words of the hypothesis, and the first and last (exclusive) aligned with the number."""
    before, after = letters(text[:start]), letters(text[end:])
    spoken = comparable(hypothesis)
    words = list(spoken.replace(" ", "")) if language in WITHOUT_SPACES else spoken.split()
    reference, hypothesis_letters = before + NUMBER + after, "".join(words)
    sides = [
        0 if place < 0 or reference[place] != letter else -1 if place < len(before) else 1
        for place, letter in zip(
            align(reference, hypothesis_letters).tolist(), hypothesis_letters, strict=True
        )
    ]
    first, last, at = 0, len(words), 0
    for number, word in enumerate(words):
        here = sides[at : at + len(word)]
        at += len(word)
        if 2 * here.count(-1) >= len(word):
            first = number + 1
        elif 2 * here.count(1) >= len(word) and number < last:
            last = number
    return words, first, max(first, last)


def closest_reading(readings: Sequence[str], words: str, language: str) -> str | None:
    """The reading closest to `words`, or None if it does not win by a margin."""
    spoken = matching_form(words, language)
    if not spoken:
        return None
    by_distance: dict[str, int] = {}
    for reading in readings:
        if matching_form(reading, language) == spoken:
            return reading
        by_distance[reading] = Levenshtein.distance(matching_form(reading, language), spoken)
    best, *others = sorted(readings, key=by_distance.__getitem__)[:2] or [None]
    if (
        best is None
        or len(spoken) < MIN_LETTERS
        or by_distance[best] > MAX_EDITS_PER_LETTER * len(spoken)
    ):
        return None
    clear = not others or by_distance[others[0]] - by_distance[best] >= MARGIN
    return best if clear else None


def parse(words: str, templates: Iterable[Sequence[Part]], language: str) -> str | None:
    """Reading of `words` by the first template that matches exactly, part by part, or None.

    Args:
        templates: sequences of parts; an empty string among a part's letters makes it optional.
    """
    letters_spoken = matching_form(words, language)
    for parts in templates:
        pattern = "".join(f"({_any(tuple(part))})" for part in parts)
        found = re.fullmatch(pattern, letters_spoken) if all(parts) else None
        if found:
            spoken = (part[letter] for part, letter in zip(parts, found.groups(), strict=True))
            return " ".join(filter(None, spoken))
    return None


def part(readings: Iterable[str | None], language: str, optional: bool = False) -> Part:
    """Map readings from their letters; an `optional` part may be missing."""
    found = {matching_form(reading, language): reading for reading in readings if reading}
    return found | ({"": ""} if optional else {})


@lru_cache(CACHED)
def matching_form(text: str, language: str) -> str:
    """Letters of `text` without accents and spelling variants that recognisers confuse."""
    text = letters(text)
    if language == "am":
        return text.translate(AMHARIC_HOMOPHONES)
    if language == "vi" or text.isascii():  # Vietnamese tones distinguish numbers
        return text
    return unicodedata.normalize("NFC", ACCENTS.sub("", unicodedata.normalize("NFD", text)))


@lru_cache(CACHED // 64)
def _any(alternatives):
    return "|".join(re.escape(a) for a in sorted(alternatives, key=lambda a: (-len(a), a)))
