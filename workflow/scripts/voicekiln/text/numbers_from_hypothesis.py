"""Spell out the numbers, dates and times of a text by a hypothesis of the same speech.

Each expression (a date, a number with its suffix, a plain number) is compared with the words that
the hypothesis has in its place. Expressions without a clear match are left unchanged.
"""

import re
from collections.abc import Iterator
from itertools import islice

from voicekiln.text import dates
from voicekiln.text.clean import letters
from voicekiln.text.context import stands_alone
from voicekiln.text.hypothesis_match import (
    Reading,
    closest_reading,
    match_expressions,
    matching_form,
    parse,
    part,
)
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
JOINED_SUFFIXES = frozenset("tr az kk hu fi".split())  # 1990'da: a case ending of the spoken number
PREFIX = re.compile(r"(?<!\w)[^\W\d_A-Za-z]{1,4}-?$")  # በ, ב-, و: joined to the number
PREFIXED = frozenset("am ti ar he fa".split())
MAX_DIGITS = 16  # of a number whose readings are tried
MAX_EXPRESSIONS = 40  # of one text; the rest stays in digits


def spell_from_hypothesis(text: str, language: str, hypothesis: str) -> str:
    """`text` with its numbers spelled out as in the hypothesis, if it has words in their place."""
    if not knows_numbers(language):
        return text
    chains: list[list] = []
    for expression in islice(_expressions(text, language), MAX_EXPRESSIONS):
        follows = chains and not letters(text[chains[-1][-1][1] : expression[0]])
        if not follows:
            chains.append([])
        chains[-1].append(expression)
    for chain in reversed(chains):  # from the end, so that positions stay valid
        start, end = chain[0][0], chain[-1][1]
        reads = [read for _, _, read in chain]
        spoken = match_expressions(text, start, end, hypothesis, language, reads)
        for (at, over, _), words in zip(reversed(chain), reversed(spoken or []), strict=False):
            text = text[:at] + words + text[over:]
    return text


def _expressions(text: str, language: str) -> Iterator[tuple[int, int, Reading]]:
    """(start, end, reader) of the number expressions of a text."""
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
    """Reader of an expression after a prefix that is joined to the number."""

    def read(words):
        joined = prefix.rstrip("-")
        spoken = (
            reading(words[len(joined) :])
            if words.startswith(matching_form(joined, language))
            else None
        )
        return spoken and joined + spoken

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
                lambda words, m=match: closest_reading(_with_suffix(m, language), words, language),
            )
    if language in DOTTED_ORDINALS:
        for match in DOTTED.finditer(text):
            yield (
                *match.span(),
                lambda words, m=match: closest_reading(
                    ordinals_of(int(m["number"]), language), words, language
                ),
            )
    for match in plain_number.finditer(text):
        yield *match.span(), lambda words, m=match: _number(m, words, language)


def _with_suffix(match, language) -> tuple[str, ...]:
    """Readings of the number that end in its suffix."""
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
    if len(digits) > MAX_DIGITS:
        return None
    spoken = readings(digits, language)
    if fraction is None:
        return closest_reading(spoken, words, language)
    after = (digit_by_digit(fraction, language), *readings(fraction[:MAX_DIGITS], language))
    points = part(dates.BETWEEN.get(language, "").split(), language)
    parts = [part(spoken, language), points, part(after, language)]
    return parse(words, [parts], language)
