"""Which script a language is written in.

After the likely subtags of Unicode's CLDR; named as the names of Unicode's characters begin.
"""

_LANGUAGES = {
    "LATIN": "en de fr es it pt nl sv da no nb nn fi is et lv lt pl cs sk sl hr hu ro sq tr az uz "
    "tk eu ca gl oc br cy ga gd lb af sw so om ha yo ig zu xh sn rw mg mt vi id ms tl jw su eo la "
    "mi ht ln haw",
    "CYRILLIC": "ru uk be bg mk ky kk mn tt ba tg ce cv",
    "GREEK": "el",
    "ETHIOPIC": "am ti tig gez",
    "ARABIC": "ar fa ur ps sd ug ckb",
    "HEBREW": "he yi",
    "DEVANAGARI": "hi mr ne sa mai bho",
    "BENGALI": "bn as",
    "GURMUKHI": "pa",
    "GUJARATI": "gu",
    "ORIYA": "or",
    "TAMIL": "ta",
    "TELUGU": "te",
    "KANNADA": "kn",
    "MALAYALAM": "ml",
    "SINHALA": "si",
    "THAI": "th",
    "LAO": "lo",
    "KHMER": "km",
    "MYANMAR": "my",
    "TIBETAN": "bo dz",
    "GEORGIAN": "ka",
    "ARMENIAN": "hy",
    "HANGUL": "ko",
}
_SEVERAL = {
    "zh": ("CJK",),
    "yue": ("CJK",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "sr": ("CYRILLIC", "LATIN"),
    "bs": ("LATIN", "CYRILLIC"),
}
_SCRIPTS = {
    language: (script,) for script, some in _LANGUAGES.items() for language in some.split()
} | _SEVERAL
WITHOUT_SPACES = frozenset("ja zh yue th lo km my bo dz".split())  # between words


def main_scripts(language: str) -> tuple[str, ...]:
    """The scripts that a language (ISO 639 code) is usually written in; none if not known here."""
    return _SCRIPTS.get(language, ())


def words(text: str) -> list[str]:
    """The words of a text whose script sets spaces between them, without the signs at them."""
    parts = ("".join(c for c in part if c.isalnum() or c in "'’-") for part in text.split())
    return [part for part in parts if any(c.isalnum() for c in part)]
