"""Numbers with a mark: ordinals (`21st`, `2º`, `1ኛ`, `3'üncü`) and signs before them (`№5`, `%50`).

Mark and number form one expression: both are spelled out, or neither. An ordinal is spelled out if
the mark leaves a single form (`2e`, `3ª` after an article); `1º` may be `primero` or `primer` and
stays.
"""

import re
from collections.abc import Callable

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
SIGN_BEFORE = re.compile(r"(?:№|\b[Nn]\.?[º°]) ?(?P<number>\d{1,3})(?![\d.,:]\d|\w)")
PERCENT_BEFORE = {"tr": "yüzde"}
PERCENT = re.compile(r"% ?(?P<number>\d{1,3})(?![\d.,:]\d|\w)")


def marked_patterns(language: str) -> list[tuple[re.Pattern, Callable[[re.Match], str]]]:
    """Patterns of marked numbers, each with a function that spells a match if unambiguous."""
    patterns = []
    if language in SUFFIXED:
        patterns.append((SUFFIXED[language], lambda match: _ordinal(match, language)))
    for pattern, words in ((SIGN_BEFORE, NUMBER_SIGN), (PERCENT, PERCENT_BEFORE)):
        if language in words:
            word = words[language]
            patterns.append((pattern, lambda match, word=word: _with_sign(match, word, language)))
    return patterns


def _ordinal(match, language):
    article = match.groupdict().get("article") or ""
    if not article and not alone_before(match.string, match.start(), language):
        return match[0]
    if language != "am" and not alone_after(match.string, match.end(), language):
        return match[0]
    if match["number"][0] == "0":
        return match[0]
    spelled = _agreeing(int(match["number"]), match["suffix"], language)
    return article + spelled if spelled else match[0]


def _agreeing(n, suffix, language) -> str | None:
    """The ordinal that the suffix stands for; None if it does not fit the number."""
    spelled = ordinal(n, language)
    if spelled is None or (language == "am" and not has_one_reading(n, "am")):
        return None
    if language == "en":
        teen = n // 10 % 10 == 1
        return spelled if suffix == ("th" if teen else ENGLISH_SUFFIX.get(n % 10, "th")) else None
    if language == "fr":
        return FRENCH_FIRST.get(suffix) if n == 1 else spelled if suffix in FRENCH else None
    if suffix == "ª":
        return spelled[:-1] + "a"
    if suffix == "º":
        return None if language == "es" and n in (1, 3) else spelled  # tercer or tercero
    if language == "es":
        fits = [form for form in ordinals_of(n, language) if form.endswith(suffix)]
        return fits[0] if len(fits) == 1 else None
    if language == "sv":
        fits = suffix == ("a" if n % 10 in (1, 2) and n not in (11, 12) else "e")
        return spelled if fits and n <= 12 else None
    return spelled if spelled.endswith(suffix) else None


def _with_sign(match, word, language):
    free = alone_before(match.string, match.start(), language)
    if not free or not alone_after(match.string, match.end(), language):
        return match[0]
    if match["number"][0] == "0":
        return match[0]
    spelled = cardinal(int(match["number"]), language)
    return f"{word} {spelled}" if spelled else match[0]
