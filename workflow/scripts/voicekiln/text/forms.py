"""Replace typographic variants of letters (ligatures, widths, positional forms) by plain letters.

Unicode's compatibility decomposition names the letter that a variant stands for and the kind of
variant (UAX 44, property Decomposition_Type). Full NFKC would also turn 10² into 102 and ½ into
1/2, so only the kinds below are decomposed, and only where the meaning is preserved.
"""

import unicodedata

from voicekiln.text.clean import Translation

WIDTHS = ("<wide>", "<narrow>")  # of letters, digits and signs
SHAPES = ("<initial>", "<medial>", "<final>", "<isolated>", "<font>")  # of letters
# ligatures and digraphs, not the letters of an alphabet (Thai, Lao, Korean, և)
LIGATURES = ("LATIN", "HEBREW", "ARMENIAN SMALL LIGATURE MEN", "ARMENIAN SMALL LIGATURE VEW")
SIGNS = {"℃": "°C", "℉": "°F"}


def ordinary_letters(text: str) -> str:
    """`text` in NFC with variants replaced by ordinary letters: `ﬁ` by `fi`, `Ｔ` by `T`."""
    return unicodedata.normalize("NFC", text.translate(_ORDINARY))


def _ordinary(c):
    kind, _, codes = unicodedata.decomposition(c).partition(" ")
    plain = "".join(chr(int(code, 16)) for code in codes.split()) if kind.startswith("<") else ""
    is_letter = unicodedata.category(c)[0] == "L"
    if not (
        kind in WIDTHS
        or (kind in SHAPES and is_letter)
        or (kind == "<compat>" and is_letter and unicodedata.name(c).startswith(LIGATURES))
    ):
        return SIGNS.get(c, c)
    plain = plain.lstrip(" ـ") or plain  # isolated Arabic marks sit on a space or tatweel
    return "".join(map(_ordinary, plain))  # some decompose to further variants


_ORDINARY = Translation(_ordinary)
