"""One code point for each sign of punctuation within a language.

The table punctuation.tsv names, for all languages (`*`), a script or a language, what becomes of a
sign where a language keeps its own (`native`), and where it takes those of Latin script (`latin`).
Sources: The Unicode Standard, chapters 6.2 (general and CJK punctuation), 7.2 Greek, 7.6 Armenian,
9.1 Hebrew, 9.2 Arabic, 12 (danda), 13.4 Tibetan, 16 Myanmar and Khmer, 19.1 Ethiopic.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

from voicekiln.text import lists
from voicekiln.text.scripts import main_scripts

TABLE = Path(__file__).with_name("punctuation.tsv")
CLOSING = ".,!?;:።፣፤፥፦፧፨،؛؟۔。，！？；：、।॥։׃།༎၊။។៕៖"
SPACE_BEFORE = re.compile(rf"\s+(?=[{re.escape(CLOSING)}](?:\s|$|[{re.escape(CLOSING)}\"']))")
WIDE = frozenset("zh yue ja".split())  # their signs bring their own space
SPACE_AFTER_WIDE = re.compile(r"(?<=[。，、；：？！])\s+")
NO_SPACE_AFTER = re.compile(r"(?<=[.,;:?!])(?=[^\W\d_])(?=[^\x00-\x7f])")
LEAST_WORD = 2  # letters and marks; a shorter one before a full stop is an abbreviation


def one_form(text: str) -> str:
    """`text` with each sign in the form that stands for all its variants, in any language."""
    pattern, signs = _signs(("*",), "native")
    return pattern.sub(lambda match: signs[match[0]], text)


def in_language(text: str, language: str, kind: str) -> str:
    """`text`, which is in one form, with the signs that `language` (ISO 639) is written with.

    Signs between two digits belong to the number and stay.

    Args:
        kind: `native` or `latin`.
    """
    pattern, signs = _signs((*main_scripts(language), language), kind)

    def sign(match):
        said, start, end = match.string, *match.span()
        if said[start - 1 : start].isdigit() and said[end : end + 1].isdigit():
            return match[0]
        if match[0] == "." and not _ends_sentence(said, start, language):
            return match[0]
        return signs[match[0]]

    before = None
    while text != before:  # two signs that come together may be another
        before, text = text, SPACE_BEFORE.sub("", text)
        text = pattern.sub(sign, text) if pattern else text
        if language in WIDE:
            native = kind == "native"
            text = SPACE_AFTER_WIDE.sub("", text) if native else NO_SPACE_AFTER.sub(" ", text)
    return text


def _ends_sentence(text, at, language):
    """Whether the dot follows a whole word of the language and nothing but a space follows it."""
    word = text[:at].rpartition(" ")[2]
    written = [c for c in word if unicodedata.category(c)[0] in "LM"]
    names = main_scripts(language)
    if not written or not unicodedata.name(written[-1], "").startswith(names):
        return False
    after = text[at + 1 : at + 2]
    if language in WIDE:
        return word.endswith(written[-1]) and after != "."
    return after in ("", *" \"')") and "." not in word and len(written) >= LEAST_WORD


@cache
def _signs(names, kind):
    """A pattern that finds the signs that change, and what each becomes; later names go first."""
    rows = lists.rows(TABLE)
    signs = {row["sign"]: row[kind] for name in names for row in rows if row["where"] == name}
    longest_first = sorted(signs, key=lambda sign: (-len(sign), sign))
    pattern = "|".join(re.escape(sign) for sign in longest_first)
    return re.compile(pattern) if signs else None, signs
