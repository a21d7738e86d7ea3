"""The context of a number: whether neighbouring text is part of the same expression.

A number joined to a sign, a suffix or another number is one expression (`№5`, `5-й`, `3 × 4`,
`12 345`): either the whole expression is spelled out or none of it.
"""

import re
import unicodedata
from functools import cache

from voicekiln.text import months
from voicekiln.text.scripts import WITHOUT_SPACES

OPENING = frozenset("([\"'«“„‘¿¡—:;,.!?")  # after a space, or after a letter of a caseless script
CLOSING = frozenset(")\"'»”’.,:;!?…")
SEPARATORS = frozenset(
    ".,:፣፤፥፦።፡،؛؟۔，：；。、「『（《〈・！？」』）》〉…"
)  # also without spaces around them
SIGNS = frozenset("#@&%‰§№*^°º²³/\\_~|<>=+†‡ªº٪$€£")
SHORT_WORDS = frozenset(
    "no nos num núm vol pág pag chap cap kap fig abb art sec op tab abs".split()
)
NUMBER_ABBREVIATIONS = frozenset("No Nr nr Nos n N x X".split())
CONSONANTS = re.compile("[b-df-hj-np-tv-xz]{1,4}|Ft|Kč")  # kr: an abbreviation, not a word
DAYS_AS_ORDINALS = frozenset("en nl sv da no nb nn is hu kk fa bn".split())  # May 5: fifth
FRACTION = re.compile(r"\d+/\d")  # 5 and 1/2
VOWEL = re.compile("[aeiouy]", re.IGNORECASE)
AMHARIC_PREFIX = re.compile(r"(?<!\w)(?:[የበለከ]|እስከ|ስለ|ወደ|እንደ)$")
UNIT_WORDS = frozenset(  # abbreviations that are read as part of a number
    "km m cm mm kg g mg l ml dl cl ha kW MW GW W V A kV kHz MHz GHz Hz kB KB MB GB TB min sec s h "
    "hr hrs Std am pm a.m p.m a.m. p.m. AM PM ft lb lbs oz mph kWh dB USD EUR GBP bn mn zł лв "
    "грн руб млн тыс г гг в вв р Mio Mrd Mio. Mrd. Std. Min. Sek. Tsd. km/h m/s".split()
)
ENGLISH_COMPOUND = re.compile(r"-[a-z]{3,}(?:-[a-z]+)*(?![\w-])")  # 20-year-old


def stands_alone(text: str, start: int, end: int, language: str, strict: bool = True) -> bool:
    """Whether nothing on either side is read as part of the number.

    Args:
        strict: consider words as well (`5 km`, `p. 5`, `May 5`), not only signs and numbers.
    """
    if strict and text[start - 1 : start] == "(" and text[end : end + 1] == ")":
        return False  # a footnote or list item
    return alone_before(text, start, language, strict) and alone_after(text, end, language, strict)


def alone_before(text: str, start: int, language: str, strict: bool = True) -> bool:
    """Whether nothing before the number is read as part of it."""
    before, first = text[start - 1 : start], text[start - 2 : start - 1] if start > 1 else ""
    if before in ("", " "):
        return _free_before(text[:start].rstrip(), language, strict)
    if before in SEPARATORS and first.isalpha():
        return not _is_cased(first)  # scripts without spaces
    if before in OPENING and before != "'":
        return first in ("", " ", "(") and _free_before(
            text[: start - 1].rstrip(), language, strict
        )
    if language == "am" and strict:
        return AMHARIC_PREFIX.search(text, 0, start) is not None
    return (language in WITHOUT_SPACES or not strict) and _is_plain_letter(before)


def alone_after(text: str, end: int, language: str, strict: bool = True) -> bool:
    """Whether nothing after the number is read as part of it."""
    after, next_one = text[end : end + 1], text[end + 1 : end + 2]
    if after in ("", " "):
        return _free_after(text[end + 1 :], language, strict)
    if after == "-":
        return language == "en" and ENGLISH_COMPOUND.match(text, end) is not None
    if after == "'":
        return False  # feet, minutes, a suffix
    if after == '"' and text[:end].count('"') % 2 == 0:
        return False  # inches, seconds
    if after == ")" and text[:end].count("(") <= text[:end].count(")"):
        return False  # 5) as a list item
    if after in CLOSING:
        continues = after in ".:" and text[end + 2 : end + 3].isdigit()
        return not (continues or next_one.isalnum() or next_one == "-" or _is_sign_or(next_one))
    if after in SEPARATORS:
        return not (_is_cased(next_one) or next_one.isdigit())
    return (language in WITHOUT_SPACES or not strict) and _is_plain_letter(after)


def _free_before(text, language, strict):
    """Whether the last word of `text` is read separately from a number after it."""
    token = text.rpartition(" ")[2]
    if not token:
        return True
    if _is_sign_or(token[-1]) or token.rstrip(".:")[-1:].isdigit():
        return False
    if token == "-":
        return not text[:-1].rstrip()[-1:].isdigit()
    if not strict:
        return True
    bare = token.lstrip("(\"'").rstrip(".")
    if language in DAYS_AS_ORDINALS and bare in _months(language):
        return False
    if token[-1] != "." or not bare:
        return bare not in NUMBER_ABBREVIATIONS and not (language == "fr" and bare == "no")
    consonants = bare.isascii() and not VOWEL.search(bare)
    return not (len(bare) == 1 or consonants or bare.lower() in SHORT_WORDS)


def _free_after(text, language, strict):
    """Whether the first word of `text` is read separately from a number before it."""
    token, _, rest = text.partition(" ")
    if not token:
        return True
    bare = token.rstrip('.,;:!?")')
    if any(map(is_sign, token)) or token[0].isdigit() or token in ("x", "X"):
        return False
    if token == "-":
        return not rest[:1].isdigit()
    if token == "and" and FRACTION.match(rest):
        return False
    if not strict:
        return True
    if token in UNIT_WORDS or bare in UNIT_WORDS or CONSONANTS.fullmatch(bare):
        return False
    return language not in DAYS_AS_ORDINALS or bare not in _months(language)


@cache
def _months(language):
    return frozenset(months.names(language))


def _is_sign_or(character):
    return character != "" and is_sign(character)


def is_sign(character: str) -> bool:
    """Whether a sign is read as part of an adjacent number: currency, mathematics, marks."""
    return character in SIGNS or unicodedata.category(character) in ("Sc", "Sm", "So", "Sk", "No")


def _is_plain_letter(character):
    return character.isalpha() and not _is_cased(character)


def _is_cased(character):
    return character.lower() != character.upper()
