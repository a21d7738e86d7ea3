"""Texts as they are spoken: one form of each sign, numbers and abbreviations spelled out.

A model hears no digit and no quotation mark of a certain shape. What is not known to be spoken in
some way stays as it is: numbers of a language that num2words does not know, and signs of scripts
that are not listed here.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from voicekiln.text import unspoken
from voicekiln.text.abbreviations import write_out
from voicekiln.text.clean import clean
from voicekiln.text.forms import ordinary_letters
from voicekiln.text.languages import short_code
from voicekiln.text.numbers import in_digits, in_words, n_digits
from voicekiln.text.numbers_heard import as_heard
from voicekiln.text.punctuation import in_language, one_form

ETHIOPIC_TIME = re.compile("(?<=[\\d\u1369-\u137c])\u1361(?=[\\d\u1369-\u137c])")  # 7፡30
UNSETTLED = re.compile("[\\d\u1369-\u137c&]")
ROUNDS = 8
GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")  # 12 345, never split


@dataclass(frozen=True)
class TextSettings:
    """Section `text` of a corpus."""

    normalize: bool
    punctuation: str  # native | latin
    numbers: str  # spell | drop | keep
    abbreviations: Mapping[str, str]  # the user's, beside those of the language
    romanize: str | None = None  # uroman | epitran: makes a second text
    keep: Collection[str] = ()  # of `unspoken.KINDS`: what is not said and stays all the same


def normalize(
    text: str, language: str, settings: TextSettings, hypothesis: str | None = None
) -> str:
    """`text` as it is spoken in `language` (ISO 639), in NFC with single spaces.

    What is normalised already stays as it is.

    Args:
        hypothesis: what a recogniser heard of the same speech; it tells which of its readings a
            number has.
    """
    if not settings.normalize:
        return clean(text)
    language = short_code(language)
    rounds = ROUNDS if UNSETTLED.search(text) else 0
    text = _once(text, language, settings, hypothesis)
    for _ in range(rounds):  # punctuation and entities may set a number free
        before, text = text, _once(text, language, settings, None)
        if text == before:
            break
    return text


def _once(text, language, settings, hypothesis):
    text = clean(GROUPED.sub("", ETHIOPIC_TIME.sub(":", text)))
    text = one_form(clean(ordinary_letters(unspoken.strip(text, settings.keep))))
    text = unspoken.strip(clean(text), settings.keep)  # what was written in unusual signs
    text = in_digits(write_out(text, language, settings.abbreviations))
    if settings.numbers != "keep":
        if hypothesis and n_digits(text):
            text = as_heard(text, language, hypothesis)
        text = in_words(text, language)
    return in_language(clean(text), language, settings.punctuation)
