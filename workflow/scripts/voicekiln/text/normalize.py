"""Texts as they are spoken: one form of each sign, numbers and abbreviations in words.

A model hears no digit and no quotation mark of a certain shape. What is not known to be spoken in
some way stays as it is: numbers of a language that num2words does not know, and signs of scripts
that are not listed here.
"""

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import num2words

from voicekiln.text.clean import clean

ABBREVIATIONS = Path(__file__).with_name("abbreviations.tsv")
SIGNS = str.maketrans(
    dict.fromkeys("“”„‟«»″＂", '"')
    | dict.fromkeys("‘’‚‛‹›′`´ʼ＇", "'")
    | dict.fromkeys("‐‑‒–−﹣－", "-")
    | dict.fromkeys("—―", " - ")
    | {"…": "...", "ـ": None, "፡": " "}  # Arabic tatweel is drawn, not said; Ethiopic word space
)
CLOSING = ".,!?;:።፣፤፥፦፧፨،؛؟。，！？；：、।॥"
SPACE_BEFORE = re.compile(rf"\s+(?=[{re.escape(CLOSING)}](?:\s|$|[{re.escape(CLOSING)}\"']))")
ETHIOPIC_NUMBER = re.compile("[\u1369-\u137c]+")
DECIMAL_COMMA = frozenset(
    "az be bg ca cs da de el es et fi fr hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt ro ru "
    "sk sl sq sr sv tr uk uz vi".split()
)
# read in pairs of digits: nineteen eighty-four
YEARS_IN_PAIRS, FIRST_YEAR, LAST_YEAR = ("en", "de"), 1100, 1999
MAX_DIGITS = 15  # longer ones are read digit by digit, and so are those that begin with 0


@dataclass(frozen=True)
class TextSettings:
    """Section `text` of a corpus."""

    normalize: bool
    numbers: str  # spell | keep
    abbreviations: Mapping[str, str]  # the user's, beside those of the language


def normalize(text: str, language: str, settings: TextSettings) -> str:
    """`text` as it is spoken in `language` (ISO 639), in NFC with single spaces.

    What is normalised already stays as it is.
    """
    text = clean(text)
    if not settings.normalize:
        return text
    text = clean(text.translate(SIGNS))
    pattern, words = _abbreviations(language, tuple(sorted(settings.abbreviations.items())))
    if pattern:
        text = pattern.sub(lambda match: words[match[0]], text)
    text = ETHIOPIC_NUMBER.sub(lambda match: str(ethiopic_number(match[0])), text)
    text = "".join(_ascii_digit(c) for c in text)
    if settings.numbers == "spell" and knows_numbers(language):
        text = _number_pattern(language).sub(lambda match: _spoken(match, language), text)
    return SPACE_BEFORE.sub("", clean(text))


def knows_numbers(language: str) -> bool:
    """Whether numbers of this language can be spelled out."""
    return language in num2words.CONVERTER_CLASSES


def has_digits(text: str) -> bool:
    """Whether `text` holds a number that is not in words."""
    return any(unicodedata.category(c) in ("Nd", "No", "Nl") for c in text)


def ethiopic_number(signs: str) -> int:
    """Value of a number in Ethiopic signs: units and tens before each hundred, pairs of those
    before each ten thousand."""
    total = group = 0
    for sign in signs:
        value = int(unicodedata.numeric(sign))
        if value == 100:
            group = (group or 1) * 100
        elif value == 10_000:
            total, group = (total + (group or (0 if total else 1))) * 10_000, 0
        else:
            group += value
    return total + group


def _ascii_digit(character):
    is_digit = character > "9" and unicodedata.category(character) == "Nd"
    return str(unicodedata.digit(character)) if is_digit else character


@cache
def _number_pattern(language):
    point, group = (",", r"[.\u0020]") if language in DECIMAL_COMMA else (r"\.", ",")
    whole = rf"\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d+"
    ordinal = r"(?P<ordinal>(?:st|nd|rd|th)\b)?" if language == "en" else ""
    return re.compile(rf"(?<![\w.,])(?P<whole>{whole})(?:{point}(?P<part>\d+))?{ordinal}(?![\w])")


def _spoken(match, language):
    whole = re.sub(r"\D", "", match["whole"])
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return " ".join(_words(int(digit), language) for digit in whole)
    if match["part"]:
        return _words(float(f"{whole}.{match['part'][: MAX_DIGITS - len(whole)]}"), language)
    if "ordinal" in match.groupdict() and match["ordinal"]:
        return _words(int(whole), language, "ordinal")
    alone = match["whole"] == whole and FIRST_YEAR <= int(whole) <= LAST_YEAR
    kind = "year" if alone and language in YEARS_IN_PAIRS else "cardinal"
    return _words(int(whole), language, kind)


def _words(number, language, kind="cardinal"):
    try:
        return clean(num2words.num2words(number, lang=language, to=kind))
    except (NotImplementedError, OverflowError, ValueError, KeyError, IndexError):
        return str(number)


@cache
def _abbreviations(language, users):
    """A pattern that finds the abbreviations, and what each stands for."""
    with open(ABBREVIATIONS, encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        words = {row["short"]: row["long"] for row in rows if row["language"] == language}
    words |= dict(users)
    if not words:
        return None, {}
    longest_first = sorted(words, key=lambda short: (-len(short), short))
    pattern = "|".join(re.escape(short) for short in longest_first)
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)"), words
