"""Unify punctuation: one code point per sign within a language.

The table punctuation.tsv gives the replacement of each sign, for all languages (`*`), a script or a
language: by the language's own punctuation (`native`), or by that of Latin script (`latin`).
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
WIDE = frozenset("zh yue ja".split())  # full-width signs include their own space
SPACE_AFTER_WIDE = re.compile(r"(?<=[。，、；：？！])\s+")
NO_SPACE_AFTER = re.compile(r"(?<=[.,;:?!])(?=[^\W\d_])(?=[^\x00-\x7f])")
MIN_WORD_LETTERS = 2  # letters and marks; a shorter word before a full stop is an abbreviation


def unify_signs(text: str) -> str:
    """`text` with variants of each sign replaced by one form, in any language."""
    pattern, signs = _signs(("*",), "native")
    return pattern.sub(lambda match: signs[match[0]], text)


def localize_signs(text: str, language: str, kind: str) -> str:
    """Unified `text` with the punctuation of `language` (ISO 639).

    Signs between two digits belong to the number and are kept.

    Args:
        kind: `native` or `latin`.
    """
    pattern, signs = _signs((*main_scripts(language), language), kind)

    def replacement(match):
        text, start, end = match.string, *match.span()
        if text[start - 1 : start].isdigit() and text[end : end + 1].isdigit():
            return match[0]
        if match[0] == "." and not _ends_sentence(text, start, language):
            return match[0]
        return signs[match[0]]

    before = None
    while text != before:  # two adjacent signs may form another sign
        before, text = text, SPACE_BEFORE.sub("", text)
        text = pattern.sub(replacement, text) if pattern else text
        if language in WIDE:
            native = kind == "native"
            text = SPACE_AFTER_WIDE.sub("", text) if native else NO_SPACE_AFTER.sub(" ", text)
    return text


def _ends_sentence(text, at, language):
    """Whether the dot follows a whole word of the language and only a space or quote follows."""
    word = text[:at].rpartition(" ")[2]
    written = [c for c in word if unicodedata.category(c)[0] in "LM"]
    names = main_scripts(language)
    if not written or not unicodedata.name(written[-1], "").startswith(names):
        return False
    after = text[at + 1 : at + 2]
    if language in WIDE:
        return word.endswith(written[-1]) and after != "."
    return after in ("", *" \"')") and "." not in word and len(written) >= MIN_WORD_LETTERS


@cache
def _signs(names, kind):
    """Pattern of the signs to replace, and their replacements; later names take precedence."""
    rows = lists.rows(TABLE)
    signs = {row["sign"]: row[kind] for name in names for row in rows if row["where"] == name}
    longest_first = sorted(signs, key=lambda sign: (-len(sign), sign))
    pattern = "|".join(re.escape(sign) for sign in longest_first)
    return re.compile(pattern) if signs else None, signs
