"""Typographic variants of letters (ligatures, widths, positional forms) as ordinary letters.

Unicode's compatibility decomposition says which letter a variant stands for and in which way it
differs (UAX 44, property Decomposition_Type). Blanket NFKC would also turn 10² into 102 and ½ into
1/2, so only the ways below are followed, and only where the result means the same.
"""

import unicodedata

from voicekiln.text.clean import Translation

WIDTHS = ("<wide>", "<narrow>")  # of letters, digits and signs
SHAPES = ("<initial>", "<medial>", "<final>", "<isolated>", "<font>")  # of letters
# ligatures and digraphs; letters that a language is written with (Thai, Lao, Korean, և) are none
LIGATURES = ("LATIN", "HEBREW", "ARMENIAN SMALL LIGATURE MEN", "ARMENIAN SMALL LIGATURE VEW")
SIGNS = {"℃": "°C", "℉": "°F"}


def ordinary_letters(text: str) -> str:
    """`text` in NFC with its letters in their ordinary forms: `ﬁ` as `fi`, `Ｔ` as `T`."""
    return unicodedata.normalize("NFC", text.translate(_ORDINARY))


def _ordinary(c):
    way, _, codes = unicodedata.decomposition(c).partition(" ")
    plain = "".join(chr(int(code, 16)) for code in codes.split()) if way.startswith("<") else ""
    is_letter = unicodedata.category(c)[0] == "L"
    if not (
        way in WIDTHS
        or (way in SHAPES and is_letter)
        or (way == "<compat>" and is_letter and unicodedata.name(c).startswith(LIGATURES))
    ):
        return SIGNS.get(c, c)
    plain = plain.lstrip(" ـ") or plain  # Arabic marks on their own stand on a space or tatweel
    return "".join(map(_ordinary, plain))  # some variants have variants


_ORDINARY = Translation(_ordinary)
