"""What a hypothesis has in the place of a number, and which of its readings that is.

The text around the number is aligned with the hypothesis; the words between them are what was
spoken for it. A reading is chosen if it is exactly these words, or closer to them than any other by
a margin; a hypothesis with digits says nothing about how they were read.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, lru_cache

from rapidfuzz.distance import Levenshtein

from voicekiln.text.align import align
from voicekiln.text.clean import comparable, letters
from voicekiln.text.scripts import WITHOUT_SPACES

NUMBER = "\ue000"  # stands for the number while texts are aligned
ACCENTS = re.compile("[\u0300-\u036f]")
MOST_OFF = 0.15  # edits a letter in a reading that is not heard exactly
LEAST_LETTERS = 6  # below which only exactly what was heard counts
MARGIN = 2  # edits to the next reading
# Amharic letters of one sound, by their series of seven vowels: ሐ ኀ ሠ ዐ ፀ as ሀ ሀ ሰ አ ጸ
AMHARIC_HOMOPHONES = {
    first + vowel: other + vowel
    for first, other in (
        (0x1210, 0x1200), (0x1280, 0x1200), (0x1220, 0x1230), (0x12D0, 0x12A0), (0x1340, 0x1338),
    )
    for vowel in range(7)
} | {0x1203: 0x1200, 0x1213: 0x1200, 0x1283: 0x1200, 0x12A3: 0x12A0, 0x12D3: 0x12A0}  # fmt: skip
CACHED = 1 << 16
MOST_WORDS = 40  # in the place of one expression
Reading = Callable[[str], str | None]  # what words are, if they are a reading
Part = Mapping[str, str]  # readings of a part of a date by their letters


def spoken_for(
    text: str, start: int, end: int, hypothesis: str, language: str, reads: Sequence[Reading]
) -> list[str] | None:
    """What the hypothesis has for the expressions in `text[start:end]`, if that is clear.

    Args:
        reads: reads each of the expressions, in order; no letters stand between them.
    """
    words, first, last = _place(text, start, end, hypothesis, language)
    said = _in_order(words[first:last], reads, language)
    if said or last - first > MOST_WORDS:
        return said[0] if len(said) == 1 else None
    # neighbours that are short or not anchored: the same words at both sides settle the place
    before, after = comparable(text[:start]).split()[-1:], comparable(text[end:]).split()[:1]
    found = [
        said
        for i in range(first, last)
        if i == first or words[i - 1 : i] == before
        for j in range(i + 1, last + 1)
        if (j == last or words[j : j + 1] == after) and j - i < last - first
        for said in _in_order(words[i:j], reads, language)
    ]
    return found[0] if found and all(said == found[0] for said in found) else None


def _in_order(words, reads, language) -> list[list[str]]:
    """Ways in which the words are readings of all the expressions, one after the other; of several
    only two, since more are no clearer."""
    if len(reads) > 1 and len(words) > MOST_WORDS:
        return []

    @cache
    def ways(first: int, k: int) -> list[tuple[str, ...]]:
        if k == len(reads):
            return [()]
        left = len(reads) - k - 1
        found: dict[tuple[str, ...], None] = {}
        for last in range(first + 1 if left else len(words), len(words) - left + 1):
            said = _read(words[first:last], reads[k], language)
            if said:
                found.update(dict.fromkeys((said, *rest) for rest in ways(last, k + 1)))
        return list(found)[:2]

    return [list(said) for said in ways(0, 0)]


def _read(words: Sequence[str], read: Reading, language: str) -> str | None:
    """What `read` makes of words, unless they hold digits."""
    said = _joined(words, language)
    return read(said) if said and not any(c.isnumeric() for c in said) else None


def _joined(words, language):
    return ("" if language in WITHOUT_SPACES else " ").join(words)


def _place(text, start, end, hypothesis, language) -> tuple[list[str], int, int]:
    """The words of the hypothesis, and which of them face a part of the text."""
    before, after = letters(text[:start]), letters(text[end:])
    said = comparable(hypothesis)
    words = list(said.replace(" ", "")) if language in WITHOUT_SPACES else said.split()
    known, heard = before + NUMBER + after, "".join(words)
    sides = [
        0 if place < 0 or known[place] != letter else -1 if place < len(before) else 1
        for place, letter in zip(align(known, heard).tolist(), heard, strict=True)
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


def choose(readings: Sequence[str], words: str, language: str) -> str | None:
    """The reading that `words` are, if it is closer than all others by a margin."""
    said = plain(words, language)
    if not said:
        return None
    by_distance: dict[str, int] = {}
    for reading in readings:
        if plain(reading, language) == said:
            return reading
        by_distance[reading] = Levenshtein.distance(plain(reading, language), said)
    best, *others = sorted(readings, key=by_distance.__getitem__)[:2] or [None]
    if best is None or len(said) < LEAST_LETTERS or by_distance[best] > MOST_OFF * len(said):
        return None
    clear = not others or by_distance[others[0]] - by_distance[best] >= MARGIN
    return best if clear else None


def parse(words: str, templates: Iterable[Sequence[Part]], language: str) -> str | None:
    """The words as the first template that they follow exactly, part by part.

    Args:
        templates: sequences of parts; the empty string among a part's letters makes it optional.
    """
    said = plain(words, language)
    for parts in templates:
        pattern = "".join(f"({_any(tuple(part))})" for part in parts)
        found = re.fullmatch(pattern, said) if all(parts) else None
        if found:
            spoken = (part[letter] for part, letter in zip(parts, found.groups(), strict=True))
            return " ".join(filter(None, spoken))
    return None


def part(readings: Iterable[str | None], language: str, optional: bool = False) -> Part:
    """Readings by their letters; with `optional` the part may be missing."""
    found = {plain(reading, language): reading for reading in readings if reading}
    return found | ({"": ""} if optional else {})


@lru_cache(CACHED)
def plain(text: str, language: str) -> str:
    """The letters of `text` without what recognisers often leave out or write in another way."""
    text = letters(text)
    if language == "am":
        return text.translate(AMHARIC_HOMOPHONES)
    if language == "vi" or text.isascii():  # Vietnamese tones tell numbers apart
        return text
    return unicodedata.normalize("NFC", ACCENTS.sub("", unicodedata.normalize("NFD", text)))


@lru_cache(CACHED // 64)
def _any(alternatives):
    return "|".join(re.escape(a) for a in sorted(alternatives, key=lambda a: (-len(a), a)))
