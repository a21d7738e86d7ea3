"""Romanize texts (uroman) or convert them to IPA phonemes (epitran), as a second text.

uroman (U. Hermjakob, J. May, K. Knight, "Out-of-the-box Universal Romanization Tool uroman", 2018)
covers all scripts but ignores pronunciation; epitran (D. Mortensen, S. Dalmia, P. Littell,
"Epitran: Precision G2P for Many Languages", 2018) has pronunciation rules per language.
"""

import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from itertools import groupby

from voicekiln import extras
from voicekiln.errors import UserError
from voicekiln.text import languages
from voicekiln.text.clean import JOINERS, clean

UROMAN_CACHE = 1 << 16  # words
Romanizer = Callable[[str, str], str | None]


def romanize(texts: Iterable[tuple[str, str]], tool: str) -> list[str | None]:
    """Romanized form of each (text, language); None if the tool does not support the language.

    The result depends on the text and its language alone.

    Args:
        texts: texts in spoken form, with ISO 639 codes.
        tool: `uroman` or `epitran`; loaded only if there are texts.

    Raises:
        UserError: the tool is not installed.
    """
    texts = list(texts)
    if not texts:
        return []
    if command := extras.missing(tool):
        raise UserError(f"text.romanize: {tool} is not installed; run {command}")
    one = romanizer(tool)
    return [one(text, language) for text, language in texts]


def romanizer(tool: str) -> Romanizer:
    """Romanizes a text in a language; loads the tool, which must be installed."""
    return cache({"uroman": _uroman, "epitran": _epitran}[tool]())


def knows(tool: str, language: str) -> bool:
    """Whether the tool supports this language (ISO 639)."""
    return tool == "uroman" or bool(languages.column("epitran").get(language))


def _uroman() -> Romanizer:
    from uroman import Uroman

    tool, codes = Uroman(cache_size=UROMAN_CACHE), languages.column("iso639_3")
    return lambda text, language: clean(tool.romanize_string(text, lcode=codes.get(language)))


def _epitran() -> Romanizer:
    from epitran import Epitran

    tools, codes = cache(Epitran), languages.column("epitran")

    @cache
    def transliterated(word, code):
        return tools(code).transliterate(word)

    def one(text, language):
        code = codes.get(language)
        if not code:
            return None
        # word by word: epitran's rules depend on adjacent punctuation
        parts = ("".join(part) for _, part in groupby(text, key=_is_word_character))
        return clean(
            "".join(
                transliterated(part, code) if _is_word_character(part[0]) else part
                for part in parts
            )
        )

    return one


def _is_word_character(character):
    return unicodedata.category(character)[0] in "LM" or character in JOINERS
