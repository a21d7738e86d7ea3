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
from voicekiln.text.punctuation import in_language, one_form

ABBREVIATIONS = Path(__file__).with_name("abbreviations.tsv")
ETHIOPIC_NUMBER = re.compile("[\u1369-\u137c]+")
DECIMAL_COMMA = frozenset(
    "az be bg ca cs da de el es et fi fr hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt ro ru "
    "sk sl sq sr sv tr uk uz vi".split()
)
GROUPED = re.compile("(?<=\\d)[\u00a0\u2009\u202f](?=\\d{3}(?!\\d))")  # 12 345, never split
GROUP_AFTER = re.compile(r" \d{3}(?!\d)")
DOT_GOES_ON = re.compile(r"\.\s+\S")  # 3. Mai
DOTTED_ORDINALS = frozenset("de da nb nn no fi cs sk hu sl hr sr et lv is tr".split())
WITHOUT_SPACES = frozenset("ja zh yue th lo km my".split())
UNIT_SIGN = re.compile(r"\s?[%$€£°]")
CODES = {"kk": "kz", "nb": "no", "nn": "no"}  # as num2words calls them
POINT = {
    "en": "point", "de": "Komma", "fr": "virgule", "es": "coma", "it": "virgola", "pt": "vírgula",
    "nl": "komma", "sv": "komma", "da": "komma", "no": "komma", "nb": "komma", "fi": "pilkku",
    "pl": "przecinek", "tr": "virgül", "ar": "فاصلة", "am": "ነጥብ",
}  # fmt: skip
AMHARIC_POWERS = ((10**9, "ቢሊዮን"), (10**6, "ሚሊዮን"), (1000, "ሺህ"))  # num2words errs from 1000 on
NUM2WORDS_FAILS = (NotImplementedError, ArithmeticError, ValueError, LookupError)
NUM2WORDS_FAILS += (TypeError, AttributeError)
# read in pairs of digits: nineteen eighty-four
YEARS_IN_PAIRS, FIRST_YEAR, LAST_YEAR = ("en", "de"), 1100, 1999
MAX_DIGITS = 12  # longer ones are read digit by digit, and so are those that begin with 0


@dataclass(frozen=True)
class TextSettings:
    """Section `text` of a corpus."""

    normalize: bool
    punctuation: str  # native | latin
    numbers: str  # spell | keep
    abbreviations: Mapping[str, str]  # the user's, beside those of the language
    romanize: str | None = None  # uroman | epitran: makes a second text


def normalize(text: str, language: str, settings: TextSettings) -> str:
    """`text` as it is spoken in `language` (ISO 639), in NFC with single spaces.

    What is normalised already stays as it is.
    """
    if not settings.normalize:
        return clean(text)
    text = clean(one_form(clean(GROUPED.sub("", text))))
    pattern, words = _abbreviations(language, tuple(sorted(settings.abbreviations.items())))
    if pattern:
        text = pattern.sub(lambda match: words[match[0]], text)
    text = ETHIOPIC_NUMBER.sub(lambda match: str(ethiopic_number(match[0])), text)
    text = "".join(_ascii_digit(c) for c in text)
    if settings.numbers == "spell" and knows_numbers(language):
        text = _number_pattern(language).sub(lambda match: _spoken(match, language), text)
    return in_language(clean(text), language, settings.punctuation)


def knows_numbers(language: str) -> bool:
    """Whether numbers of this language can be spelled out."""
    return CODES.get(language, language) in num2words.CONVERTER_CLASSES


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
    point, group = (",", r"\.") if language in DECIMAL_COMMA else (r"\.", ",")
    whole = rf"\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d+"
    ordinal = r"(?P<ordinal>st|nd|rd|th)?" if language == "en" else ""
    return re.compile(rf"(?P<whole>{whole})(?:{point}(?P<part>\d+))?{ordinal}")


def _spoken(match, language):
    """The number in words; as it is where it is a part of something else."""
    text, start, end = match.string, *match.span()
    said = None if _is_part(text, start, end) else _said(match, language)
    if said is None or (language in DOTTED_ORDINALS and DOT_GOES_ON.match(text, end)):
        return match[0]
    if language in WITHOUT_SPACES:
        return said
    # prefixes of scripts without capitals stand at a number without a space
    return " " * text[start - 1 : start].isalpha() + said + " " * text[end : end + 1].isalpha()


def _is_part(text, start, end):
    """Whether a number belongs to a date, a time, a price, a version or a name."""
    before, after = text[start - 1 : start], text[end : end + 2]
    return (
        before in tuple(".,:/-_$€£")
        or _is_cased(before)
        or after[:1] in tuple("/_")
        or _is_cased(after[:1])
        or (after[:1] in tuple(".,:-") and after[1:].isdigit())
        or UNIT_SIGN.match(text, end) is not None
        or GROUP_AFTER.match(text, end) is not None  # 12 345, or two numbers: nobody knows
        or (
            end - start == 3 and text[start - 1 : start] == " " and text[: start - 1][-1:].isdigit()
        )
    )


def _is_cased(character):
    return character.lower() != character.upper()


def _said(match, language):
    whole = re.sub(r"\D", "", match["whole"])
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return _digits(whole, language)
    if match["part"]:
        point = POINT.get(language)
        words = (_words(int(whole), language), point, _digits(match["part"], language))
        return " ".join(words) if all(words) else None
    if match.groupdict().get("ordinal"):
        return _words(int(whole), language, "ordinal")
    alone = match["whole"] == whole and FIRST_YEAR <= int(whole) <= LAST_YEAR
    return _words(
        int(whole), language, "year" if alone and language in YEARS_IN_PAIRS else "cardinal"
    )


def _digits(digits, language):
    words = [_words(int(digit), language) for digit in digits]
    return " ".join(words) if all(words) else None


def _words(number, language, kind="cardinal"):
    """The number in words, or None where num2words fails."""
    if language == "am" and number >= 1000:
        power, name = next(pair for pair in AMHARIC_POWERS if number >= pair[0])
        many, rest = divmod(number, power)
        parts = [_words(many, "am"), name, _words(rest, "am") if rest else ""]
        return " ".join(part for part in parts if part)
    try:
        said = num2words.num2words(number, lang=CODES.get(language, language), to=kind)
    except NUM2WORDS_FAILS:
        return None
    return None if has_digits(said) else clean(said)


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
