"""Normalise texts to their spoken form: unified signs, numbers and abbreviations spelled out.

Digits and the shapes of quotation marks are inaudible. Anything without a known spoken form is
left unchanged: numbers in languages that num2words lacks, and signs of unlisted scripts.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from voicekiln.text import unspoken
from voicekiln.text.abbreviations import write_out
from voicekiln.text.clean import clean
from voicekiln.text.forms import ordinary_letters
from voicekiln.text.languages import short_code
from voicekiln.text.numbers import ascii_digits, in_words, n_digits
from voicekiln.text.numbers_from_hypothesis import spell_from_hypothesis
from voicekiln.text.punctuation import localize_signs, unify_signs

ETHIOPIC_TIME = re.compile("(?<=[\\d\u1369-\u137c])\u1361(?=[\\d\u1369-\u137c])")  # 7፡30
UNSETTLED = re.compile("[\\d\u1369-\u137c&]")
ROUNDS = 8
GROUPED = re.compile(
    "(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))"
)  # 12 345 with a no-break space


@dataclass(frozen=True)
class TextSettings:
    """Section `text` of a corpus."""

    normalize: bool
    punctuation: str  # native | latin
    numbers: str  # spell | drop | keep
    abbreviations: Mapping[str, str]  # the user's own, in addition to the built-in ones
    romanize: str | None = None  # uroman | epitran: adds a second, romanized text
    keep: Collection[str] = ()  # kinds of `unspoken.KINDS` that are not removed


def normalize(
    text: str, language: str, settings: TextSettings, hypothesis: str | None = None
) -> str:
    """`text` in its spoken form in `language` (ISO 639), in NFC with single spaces.

    Idempotent: a normalised text is returned unchanged.

    Args:
        hypothesis: transcript of the same speech by a recogniser; it selects among the readings of
            a number.
    """
    if not settings.normalize:
        return clean(text)
    language = short_code(language)
    rounds = ROUNDS if UNSETTLED.search(text) else 0
    text = _once(text, language, settings, hypothesis)
    for _ in range(rounds):  # a replaced sign or entity may make a number readable
        before, text = text, _once(text, language, settings, None)
        if text == before:
            break
    return text


def _once(text, language, settings, hypothesis):
    text = clean(GROUPED.sub("", ETHIOPIC_TIME.sub(":", text)))
    text = unify_signs(clean(ordinary_letters(unspoken.strip(text, settings.keep))))
    text = unspoken.strip(clean(text), settings.keep)  # markup written with unusual signs
    text = ascii_digits(write_out(text, language, settings.abbreviations))
    if settings.numbers != "keep":
        if hypothesis and n_digits(text):
            text = spell_from_hypothesis(text, language, hypothesis)
        text = in_words(text, language)
    return localize_signs(clean(text), language, settings.punctuation)
