"""Numbers, dates and times of a text as a hypothesis of the same speech has them.

Each expression (a date, a number with its suffix, a plain number) is compared with the words that
the hypothesis has in its place. What is not clear there stays as it is.
"""

import re
from collections.abc import Iterator
from itertools import islice

from voicekiln.text import dates
from voicekiln.text.clean import letters
from voicekiln.text.context import stands_alone
from voicekiln.text.heard import Reading, choose, parse, part, plain, spoken_for
from voicekiln.text.numbers import DOTTED_ORDINALS, number_pattern, value
from voicekiln.text.spelling import (
    digit_by_digit,
    distinct,
    knows_numbers,
    ordinals_of,
    readings,
)

SUFFIXED = re.compile(
    rf"{dates.EDGE}(?P<number>\d{{1,4}})(?P<joint>[-':.]?)(?P<suffix>[^\W\d_]{{1,4}}|[ºª°])(?!\w)"
)
DOTTED = re.compile(rf"{dates.EDGE}(?P<number>\d{{1,4}})\.(?= \w)")
JOINED_SUFFIXES = frozenset("tr az kk hu fi".split())  # 1990'da: the ending of the spoken number
PREFIX = re.compile(r"(?<!\w)[^\W\d_A-Za-z]{1,4}-?$")  # በ, ב-, و: written with the number
PREFIXED = frozenset("am ti ar he fa".split())
MOST_DIGITS = 16  # of a number whose readings are tried
MOST = 40  # expressions of one text; in a longer one the rest stays


def as_heard(text: str, language: str, hypothesis: str) -> str:
    """`text` with its numbers as the hypothesis has them, if it has words in their places."""
    if not knows_numbers(language):
        return text
    chains: list[list] = []
    for expression in islice(_expressions(text, language), MOST):
        follows = chains and not letters(text[chains[-1][-1][1] : expression[0]])
        if not follows:
            chains.append([])
        chains[-1].append(expression)
    for chain in reversed(chains):  # from the end, so that places stay
        start, end = chain[0][0], chain[-1][1]
        reads = [read for _, _, read in chain]
        said = spoken_for(text, start, end, hypothesis, language, reads)
        for (at, over, _), words in zip(reversed(chain), reversed(said or []), strict=False):
            text = text[:at] + words + text[over:]
    return text


def _expressions(text: str, language: str) -> Iterator[tuple[int, int, Reading]]:
    """Where the numbers of a text stand with what belongs to them, and how each is read."""
    taken = 0
    for start, end, reading in sorted(_candidates(text, language), key=lambda e: (e[0], -e[1])):
        if start >= taken and stands_alone(text, start, end, language, strict=False):
            taken = end
            prefix = PREFIX.search(text, 0, start) if language in PREFIXED else None
            if prefix:
                yield prefix.start(), end, _after(prefix[0], reading, language)
            else:
                yield start, end, reading


def _after(prefix, reading, language):
    """A reading behind a prefix that is written with the number."""

    def read(words):
        joined = prefix.rstrip("-")
        said = reading(words[len(joined) :]) if words.startswith(plain(joined, language)) else None
        return said and joined + said

    return read


def _candidates(text, language):
    for pattern, read in ((dates.DATE, dates.date), (dates.TIME, dates.time)):
        for match in pattern.finditer(text):
            yield *match.span(), lambda words, m=match, read=read: read(m, words, language)
    plain_number = number_pattern(language)
    for match in dates.GROUPS.finditer(text):
        if not plain_number.fullmatch(match[0]):
            numbers = re.findall(r"\d+", match[0])
            yield *match.span(), lambda words, n=numbers: dates.groups(n, words, language)
    for match in SUFFIXED.finditer(text):
        if _with_suffix(match, language):
            yield (
                *match.span(),
                lambda words, m=match: choose(_with_suffix(m, language), words, language),
            )
    if language in DOTTED_ORDINALS:
        for match in DOTTED.finditer(text):
            yield (
                *match.span(),
                lambda words, m=match: choose(
                    ordinals_of(int(m["number"]), language), words, language
                ),
            )
    for match in plain_number.finditer(text):
        yield *match.span(), lambda words, m=match: _number(m, words, language)


def _with_suffix(match, language) -> tuple[str, ...]:
    """The readings that end in the suffix of a number."""
    number, suffix = match["number"], match["suffix"].lower()
    ordinals = ordinals_of(int(number), language)
    if suffix in "ºª°":
        return ordinals
    fits = [form for form in ordinals if form.lower().endswith(suffix)]
    if language == "en" and suffix == "s":  # the 1960s
        fits += [re.sub("ys$", "ies", form + suffix) for form in readings(number, language)]
    if match["joint"] and language in JOINED_SUFFIXES:
        fits += [form + suffix for form in readings(number, language)]
    return distinct(fits)


def _number(match, words, language):
    whole, fraction = match["whole"], match["part"]
    digits = re.sub(r"\D", "", whole) if whole.isascii() else str(value(match))
    if len(digits) > MOST_DIGITS:
        return None
    said = readings(digits, language)
    if fraction is None:
        return choose(said, words, language)
    after = (digit_by_digit(fraction, language), *readings(fraction[:MOST_DIGITS], language))
    points = part(dates.BETWEEN.get(language, "").split(), language)
    parts = [part(said, language), points, part(after, language)]
    return parse(words, [parts], language)
