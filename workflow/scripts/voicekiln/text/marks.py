"""Numbers with a mark: ordinals (`21st`, `2º`, `1ኛ`, `3'üncü`) and signs before them (`№5`, `%50`).

The mark and the number are one: both are read, or both stay. An ordinal is read where the mark
leaves one form only (`2e`, `3ª` after an article); `1º` may be `primero` or `primer` and stays.
"""

import re

from voicekiln.text.agreement import has_one_reading
from voicekiln.text.context import alone_after, alone_before
from voicekiln.text.spelling import cardinal, ordinal, ordinals_of

SMALL = r"(?P<number>[1-9]\d?)"
SUFFIXED = {
    "en": re.compile(r"(?P<number>\d{1,4})(?P<suffix>st|nd|rd|th)(?!\w)"),
    "fr": re.compile(rf"{SMALL}(?P<suffix>er|re|ère|e|è|ème|eme)(?!\w)"),
    "nl": re.compile(rf"{SMALL}(?P<suffix>e|de|ste)(?!\w)"),
    "sv": re.compile(rf"{SMALL}:(?P<suffix>a|e)(?!\w)"),
    "tr": re.compile(rf"{SMALL}'(?P<suffix>[iıuü]?nc[iıuü])(?!\w)"),
    "am": re.compile(rf"{SMALL}(?P<suffix>ኛ)"),
    "es": re.compile(
        r"(?P<article>\b(?i:el|la|del|al) )(?P<number>[1-9]|10)\.?"
        r"(?P<suffix>[ºª]|er|[dtrmvn][oa])(?!\w)"
    ),
    "it": re.compile(
        r"(?P<article>\b(?i:il|la|del|della|al|alla|nel|nella|dal|dalla|sul|sulla) )"
        r"(?P<number>[1-9]|10)\.?(?P<suffix>[ºª])"
    ),
    "pt": re.compile(
        r"(?P<article>\b(?i:o|a|do|da|no|na|ao|pelo|pela) )(?P<number>[1-9]|10)\.?(?P<suffix>[ºª])"
    ),
}
ENGLISH_SUFFIX = {1: "st", 2: "nd", 3: "rd"}
FRENCH_FIRST = {"er": "premier", "re": "première", "ère": "première"}
FRENCH = ("e", "è", "ème", "eme")
NUMBER_SIGN = {
    "en": "number", "de": "Nummer", "fr": "numéro", "es": "número", "it": "numero",
    "pt": "número", "nl": "nummer",
}  # fmt: skip
SIGNED = re.compile(r"(?:№|\b[Nn]\.?[º°]) ?(?P<number>\d{1,3})(?![\d.,:]\d|\w)")
PERCENT_BEFORE = {"tr": "yüzde"}
PERCENT = re.compile(r"% ?(?P<number>\d{1,3})(?![\d.,:]\d|\w)")


def read_marked(text: str, language: str) -> str:
    """`text` with its marked numbers spelled where they have one reading."""
    if language in SUFFIXED:
        text = SUFFIXED[language].sub(lambda match: _ordinal(match, language), text)
    for pattern, words in ((SIGNED, NUMBER_SIGN), (PERCENT, PERCENT_BEFORE)):
        if language in words:
            text = pattern.sub(lambda match, w=words: _signed(match, w[language], language), text)
    return text


def _ordinal(match, language):
    article = match.groupdict().get("article") or ""
    if not article and not alone_before(match.string, match.start(), language):
        return match[0]
    if language != "am" and not alone_after(match.string, match.end(), language):
        return match[0]
    if match["number"][0] == "0":
        return match[0]
    said = _agreeing(int(match["number"]), match["suffix"], language)
    return article + said if said else match[0]


def _agreeing(n, suffix, language) -> str | None:
    """The ordinal that the suffix belongs to; None if it does not fit the number."""
    said = ordinal(n, language)
    if said is None or (language == "am" and not has_one_reading(n, "am")):
        return None
    if language == "en":
        teen = n // 10 % 10 == 1
        return said if suffix == ("th" if teen else ENGLISH_SUFFIX.get(n % 10, "th")) else None
    if language == "fr":
        return FRENCH_FIRST.get(suffix) if n == 1 else said if suffix in FRENCH else None
    if suffix == "ª":
        return said[:-1] + "a"
    if suffix == "º":
        return None if language == "es" and n in (1, 3) else said  # tercer or tercero
    if language == "es":
        fits = [form for form in ordinals_of(n, language) if form.endswith(suffix)]
        return fits[0] if len(fits) == 1 else None
    if language == "sv":
        fits = suffix == ("a" if n % 10 in (1, 2) and n not in (11, 12) else "e")
        return said if fits and n <= 12 else None
    return said if said.endswith(suffix) else None


def _signed(match, word, language):
    free = alone_before(match.string, match.start(), language)
    if not free or not alone_after(match.string, match.end(), language):
        return match[0]
    if match["number"][0] == "0":
        return match[0]
    said = cardinal(int(match["number"]), language)
    return f"{word} {said}" if said else match[0]
