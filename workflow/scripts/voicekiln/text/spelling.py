"""Spell out numbers: the citation form, and every spoken form of a number in a language.

num2words does the spelling. Its errors (found by reading its output up to 2100 in each language)
are corrected here: Amharic from 1000 on, spaces in Turkish, single words in other languages.
Missing forms (gender, case, short forms) are added from number_forms.tsv.
"""

import re
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from itertools import product
from pathlib import Path

import num2words

from voicekiln.text import lists
from voicekiln.text.clean import clean, letters

FORMS = Path(__file__).with_name("number_forms.tsv")
CODES = {"kk": "kz", "nb": "no", "nn": "no"}  # num2words uses other codes for these
NUM2WORDS_ERRORS = (
    NotImplementedError,
    ArithmeticError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)
AMHARIC_POWERS = ((10**9, "ቢሊዮን"), (10**6, "ሚሊዮን"), (1000, "ሺህ"))  # num2words is wrong from 1000 on
TURKISH = "bir iki üç dört beş altı yedi sekiz dokuz".split()
TURKISH_TENS = "on yirmi otuz kırk elli altmış yetmiş seksen doksan".split()
TURKISH_POWERS = ((10**9, "milyar"), (10**6, "milyon"), (1000, "bin"), (100, "yüz"))
KOREAN = "한 두 세 네 다섯 여섯 일곱 여덟 아홉".split()  # before a counter
KOREAN_TENS = "열 스물 서른 마흔 쉰 예순 일흔 여든 아흔".split()
RUSSIAN = [
    {"case": case, "gender": gender, "plural": plural, "animate": animate}
    for case, gender, plural, animate in product("ngdaip", "mfn", (False, True), (False, True))
]
UKRAINIAN = [
    {"case": case, "gender": gender}
    for case, gender in product(
        "nominative genitive dative accusative instrumental locative".split(),
        ("masculine", "feminine"),
    )
]
FINNISH = [
    {"case": case, "plural": plural}
    for case, plural in product(
        "nominative genitive partitive inessive elative illative adessive ablative allative "
        "essive translative".split(),
        (False, True),
    )
]
CARDINALS = {  # forms that num2words offers besides the citation form
    "ru": RUSSIAN,
    "uk": UKRAINIAN,
    "fi": FINNISH,
    "be": [{"gender": gender} for gender in "mfn"],
    "he": [{"gender": g, "construct": c} for g, c in product("mf", (False, True))],
    "cy": [{"gender": gender} for gender in ("masc", "fem")],
    "sr": [{"feminine": True}],
}
ORDINALS = {
    "ru": RUSSIAN,
    "fi": FINNISH,
    "be": CARDINALS["be"],
    "he": [{"gender": gender} for gender in "mf"],
}
# misspellings by num2words and their correction: fyrtio, tres, አሥራ ስድስት
CORRECTED = {
    "sv": (re.compile("förtio"), "fyrtio"),
    "da": (re.compile("(?<!halv)treds"), "tres"),
    "am": (re.compile("አስራ"), "አሥራ"),
    "pt": (re.compile(","), ""),
}
# endings of inflected ordinals, by the ending of the citation form
ORDINAL_ENDINGS = {
    "de": {"e": "e er en em es"},
    "es": {"o": "o a os as", "ero": "ero er era eros eras"},
    "it": {"o": "o a i e"},
    "pt": {"o": "o a os as"},
    "fr": {"er": "er ère ers ères", "e": "e es"},
    "ca": {"r": "r ra rs res", "n": "n na ns nes", "t": "t ta ts tes", "è": "è ena ens enes"},
    "pl": {
        "y": "y a e ego emu ym ej ą ych ymi",
        "gi": "gi ga gie giego giemu gim giej gą gich",
        "ci": "ci cia cie ciego ciemu cim ciej cią cich",
    },
    "uk": {"ий": "ий а е ого ому им ої ою ій у і их", "ій": "ій я є ього ьому ім ьої ьою ю і іх"},
}
LARGEST_ORDINAL = 9999
CACHED = 1 << 14


def knows_numbers(language: str) -> bool:
    """Whether num2words supports this language."""
    return CODES.get(language, language) in num2words.CONVERTER_CLASSES


@lru_cache(CACHED)
def cardinal(n: int, language: str) -> str | None:
    """The cardinal in its citation form (`eins`, `один`), or None if num2words fails."""
    if language == "am" and n >= 1000:
        return _in_powers(n, AMHARIC_POWERS, cardinal)
    if language == "tr" and n:
        return _turkish(n)
    return _num2words(n, language, "cardinal")


@lru_cache(CACHED)
def ordinal(n: int, language: str) -> str | None:
    """The ordinal in its citation form (`erste`, `primero`), or None if num2words fails."""
    if language == "tr":
        *tens, last = (_turkish(n) or "").split() if 0 < n < 100 else ("",)
        last = _num2words(_turkish_value(last), "tr", "ordinal") if last else None
        return " ".join([*tens, last]) if last else None
    spelled = _num2words(n, language, "ordinal") if n <= LARGEST_ORDINAL else None
    return spelled.replace("tsième", "tième") if spelled and language == "fr" else spelled


@lru_cache(CACHED)
def year(n: int, language: str) -> str | None:
    """The number as a year (`nineteen ninety`); None if years are read as cardinals."""
    if language == "sv" and 1100 <= n < 2100:
        rest = cardinal(n % 100, "sv") if n % 100 else ""
        return f"{cardinal(n // 100, 'sv')}hundra{rest}"
    if language == "nl" and 1100 <= n < 10_000 and n // 100 % 10:
        return (_num2words(n, "nl", "year") or "").replace(" ", "") or None
    return (
        _num2words(n, language, "year")
        if language in ("en", "de", "da", "no", "nb", "am")
        else None
    )


def digit_by_digit(digits: str, language: str) -> str | None:
    words = [cardinal(int(digit), language) for digit in digits]
    return " ".join(words) if words and all(words) else None


def native_korean(n: int) -> str | None:
    """Native Korean numeral before a counter: `세` in `세 명`; None outside 1 to 99."""
    if not 0 < n < 100:
        return None
    if n == 20:
        return "스무"
    tens, units = divmod(n, 10)
    return (KOREAN_TENS[tens - 1] if tens else "") + (KOREAN[units - 1] if units else "")


@lru_cache(CACHED)
def readings(digits: str, language: str) -> tuple[str, ...]:
    """All readings of a whole number, without duplicates, the citation form first."""
    n = int(digits)
    spelled = [digit_by_digit(digits, language)]
    if digits[0] != "0" or n == 0:
        cardinals = [cardinal(n, language), *_inflections(n, language, "cardinal", CARDINALS)]
        cardinals += [*_regional(n, language), year(n, language)]
        ordinals = [*ordinals_of(n, language)]
        spelled = [*_varied(cardinals, language), *ordinals, *spelled]
    if language == "en":
        spelled += _english(digits)
    if language == "ko":
        spelled += [native_korean(n)]
    return distinct(spelled)


@lru_cache(CACHED)
def ordinals_of(n: int, language: str) -> tuple[str, ...]:
    """All forms of the ordinal, without duplicates."""
    if n > LARGEST_ORDINAL:
        return ()
    spelled = [ordinal(n, language), *_inflections(n, language, "ordinal", ORDINALS)]
    endings = ORDINAL_ENDINGS.get(language, {})
    return distinct(form for text in spelled if text for form in _inflected(text, endings))


def distinct(texts: Iterable[str | None]) -> tuple[str, ...]:
    """`texts` without duplicates by their letters."""
    found = {}
    for text in filter(None, texts):
        found.setdefault(letters(text), text)
    return tuple(found.values())


def _inflections(n, language, kind, table):
    for settings in table.get(language, ()):
        yield _num2words(n, language, kind, **settings)


def _regional(n, language):
    if language == "pt":
        yield _num2words(n, "pt_BR", "cardinal")
    elif language == "fr":
        yield from (_num2words(n, region, "cardinal") for region in ("fr_BE", "fr_CH"))


def _num2words(n, language, kind, **settings):
    try:
        code = CODES.get(language, language)
        spelled = num2words.num2words(n, lang=code, to=kind, **settings)
    except NUM2WORDS_ERRORS:
        return None
    if any(c.isdigit() for c in spelled):
        return None
    wrong, right = CORRECTED.get(language[:2], (None, ""))
    return clean(wrong.sub(right, spelled) if wrong else spelled)


def _in_powers(n, powers, rest_of):
    power, name = next(pair for pair in powers if n >= pair[0])
    many, rest = divmod(n, power)
    parts = [rest_of(many, "am"), name, rest_of(rest, "am") if rest else ""]
    return " ".join(part for part in parts if part)


def _turkish(n):
    for power, name in TURKISH_POWERS:
        if n >= power:
            many, rest = divmod(n, power)
            before = "" if many == 1 and power <= 1000 else _turkish(many)
            return " ".join(filter(None, (before, name, _turkish(rest) if rest else "")))
    tens, units = divmod(n, 10)
    return " ".join(
        filter(None, (TURKISH_TENS[tens - 1] * (tens > 0), TURKISH[units - 1] * (units > 0)))
    )


def _turkish_value(word):
    return TURKISH.index(word) + 1 if word in TURKISH else 10 * (TURKISH_TENS.index(word) + 1)


@cache
def _forms(language):
    """Alternative word forms: of the last word of a number, and of words anywhere in it."""
    last, anywhere = {}, []
    for row in lists.rows(FORMS):
        if row["language"] == language and row["where"] == "last":
            last[row["word"]] = row["others"].split()
        elif row["language"] == language:
            others = ["" if other == "-" else other for other in row["others"].split("|")]
            anywhere.append((row["word"], others))
    return last, anywhere


def _varied(texts, language):
    """Each text and its variants by the alternative word forms."""
    last, anywhere = _forms(language)
    for text in filter(None, texts):
        variants = [text]
        for word, others in anywhere:
            variants += [v.replace(word, other) for v in variants if word in v for other in others]
        for variant in variants:
            yield clean(variant)
            for word, others in last.items():
                if variant.endswith(word):
                    yield from (variant[: -len(word)] + other for other in others)


def _inflected(text, endings):
    """The text and its inflections; all its words take the same ending."""
    yield text
    found = [ending for ending in endings if text.endswith(ending)]
    if found:
        ending = max(found, key=len)
        for other in endings[ending].split():
            yield " ".join(
                word[: -len(ending)] + other if word.endswith(ending) else word
                for word in text.split()
            )


def _english(digits) -> Iterator[str]:
    """American, short and paired forms: seven forty-seven, twenty ten, double oh seven."""
    n = int(digits)
    for text in (cardinal(n, "en"), year(n, "en")):
        plain = re.sub("(,| and) ", " ", text or "")
        yield from (plain, re.sub("^one (?=hundred|thousand)", "a ", plain))
    by_digit = (digit_by_digit(digits, "en") or "").replace("zero", "oh")
    yield from (by_digit, re.sub(r"\b(\w+) \1\b", r"double \1", by_digit))
    if 3 <= len(digits) <= 4 and digits[-2:] != "00" and digits[0] != "0":
        head, tail = int(digits[:-2]), digits[-2:]
        rest = f"oh {cardinal(int(tail), 'en')}" if tail[0] == "0" else cardinal(int(tail), "en")
        yield f"{cardinal(head, 'en')} {rest}"
        yield f"{cardinal(head, 'en')} hundred {cardinal(int(tail), 'en')}"
        yield f"{cardinal(head, 'en')} hundred and {cardinal(int(tail), 'en')}"
