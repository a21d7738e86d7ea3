"""The scripts of each language.

After the likely subtags of Unicode's CLDR; named by the prefixes of Unicode character names.
"""

from voicekiln.text.clean import Translation

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
_MULTIPLE = {
    "zh": ("CJK",),
    "yue": ("CJK",),
    "ja": ("HIRAGANA", "KATAKANA", "CJK"),
    "sr": ("CYRILLIC", "LATIN"),
    "bs": ("LATIN", "CYRILLIC"),
}
_SCRIPTS = {
    language: (script,) for script, codes in _LANGUAGES.items() for language in codes.split()
} | _MULTIPLE
WITHOUT_SPACES = frozenset("ja zh yue th lo km my bo dz".split())  # between words


SIGNS = "'’-"  # within words
_IN_WORDS = Translation(lambda c: c if c.isspace() or c.isalnum() or c in SIGNS else None)


def main_scripts(language: str) -> tuple[str, ...]:
    """The usual scripts of a language (ISO 639 code); empty if not listed."""
    return _SCRIPTS.get(language, ())


def words(text: str) -> list[str]:
    """Words of a text whose script separates them by spaces, without punctuation."""
    return [part for part in text.translate(_IN_WORDS).split() if part.strip(SIGNS)]
