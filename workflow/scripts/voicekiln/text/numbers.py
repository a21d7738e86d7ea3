"""Numbers in words, with their units and currencies, as they are read aloud.

num2words spells them; units.tsv names what stands at them. What is not known to be read in one way
stays as it is.
"""

import re
import unicodedata
from functools import cache
from pathlib import Path

import num2words

from voicekiln.text import lists
from voicekiln.text.clean import clean
from voicekiln.text.scripts import WITHOUT_SPACES

UNITS = Path(__file__).with_name("units.tsv")
ETHIOPIC_NUMBER = re.compile("[\u1369-\u137c]+")
DECIMAL_COMMA = frozenset(
    "az be bg ca cs da de el es et fi fr hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt ro ru "
    "sk sl sq sr sv tr uk uz vi".split()
)
GROUP_AFTER = re.compile(r" \d{3}(?!\d)")
WHOLE_GROUP = re.compile(r"\d{3}(?!\d)")
DOT_GOES_ON = re.compile(r"\.\s+\w")  # 3. Mai
DOTTED_ORDINALS = frozenset("de da nb nn no fi cs sk hu sl hr sr et lv is tr".split())
SEPARATORS = frozenset(".,:፣፤፥፦።،؛۔，：；。、")
UNIT_SIGN = re.compile(r"\s?[%$€£°]")
CODES = {"kk": "kz", "nb": "no", "nn": "no"}  # as num2words calls them
POINT = {
    "en": "point", "de": "Komma", "fr": "virgule", "es": "coma", "it": "virgola", "pt": "vírgula",
    "nl": "komma", "sv": "komma", "da": "komma", "no": "komma", "nb": "komma", "fi": "pilkku",
    "pl": "przecinek", "tr": "virgül", "ar": "فاصلة", "am": "ነጥብ",
}  # fmt: skip
AMHARIC_POWERS = ((10**9, "ቢሊዮን"), (10**6, "ሚሊዮን"), (1000, "ሺህ"))  # num2words errs from 1000 on
NUM2WORDS_FAILS = (NotImplementedError, ArithmeticError, ValueError, LookupError)
NUM2WORDS_FAILS += (TypeError, AttributeError)
# read in pairs of digits: nineteen eighty-four
YEARS_IN_PAIRS, FIRST_YEAR, LAST_YEAR = ("en", "de"), 1100, 1999
SCALES = {"en": "thousand|[mb]illion|trillion", "de": "Millionen|Milliarden"}
# am 3. Mai, in der 3. Klasse: two words before, and one after
GERMAN_ORDINAL = re.compile(
    r"(?<!\w)(?P<words>(?:(?P<first>[^\W\d_]+) )?(?P<before>[^\W\d_]+)) (?P<number>\d{1,3})\. "
    r"(?=(?P<after>[^\W\d_]+))"
)
GERMAN_N = frozenset("am vom zum beim im dem den des zur".split())
GERMAN_DATIVE = frozenset("in an auf aus bei mit nach seit von vor zu ab unter über".split())
GERMAN_MONTHS = frozenset(
    "Januar Jänner Februar März April Mai Juni Juli August September Oktober November "
    "Dezember".split()
)
GERMAN_STARTS = frozenset(  # words that may begin the next sentence
    "Aber Als Am An Auch Auf Bei Da Dann Das Dass Dem Den Der Des Die Diese Dieser Dieses Doch "
    "Dort Du Ein Eine Einen Er Es Für Hier Ich Ihr Im In Ist Ja Jetzt Man Mit Nach Nein Nun Ob "
    "Oder Sie So Und Vom Von Vor Warum Was Wenn Wer Wie Wir Wo Zu Zum Zur".split()
)
MAX_DIGITS = 12  # longer ones are read digit by digit, and so are those that begin with 0


def knows_numbers(language: str) -> bool:
    """Whether numbers of this language can be spelled out."""
    return CODES.get(language, language) in num2words.CONVERTER_CLASSES


def n_digits(text: str) -> int:
    """How many signs of `text` belong to numbers that are not in words."""
    return sum(unicodedata.category(c) in ("Nd", "No", "Nl") for c in text)


def ethiopic_number(signs: str) -> int:
    """Value of a number in Ethiopic signs: units and tens before each hundred, pairs of those
    before each ten thousand."""
    total = group = 0
    for sign in signs:
        value = int(unicodedata.numeric(sign))
        if value == 100:
            group = (group or 1) * 100
        elif value == 10_000:
            total, group = (total + (group or (0 if total else 1))) * 10_000, 0
        else:
            group += value
    return total + group


def in_digits(text: str) -> str:
    """`text` with the digits of all scripts, and Ethiopic numbers, in those of ASCII."""
    text = ETHIOPIC_NUMBER.sub(lambda match: str(ethiopic_number(match[0])), text)
    return "".join(_ascii_digit(c) for c in text)


def in_words(text: str, language: str) -> str:
    """`text`, whose digits are those of ASCII, with its numbers in words as far as they are known.

    A number that belongs to a date, a time, a version or a name stays.
    """
    before = None if knows_numbers(language) else text
    while text != before:  # a number in words may set free the one beside it
        before = text
        for pattern in _unit_patterns(language):
            text = pattern.sub(lambda match: _measured(match, language), text)
        if language == "de":
            text = GERMAN_ORDINAL.sub(_german_ordinal, text)
        text = _number_pattern(language).sub(lambda match: _spoken(match, language), text)
    return text


def _ascii_digit(character):
    is_digit = character > "9" and unicodedata.category(character) == "Nd"
    return str(unicodedata.digit(character)) if is_digit else character


def _number(language):
    point, group = (",", r"\.") if language in DECIMAL_COMMA else (r"\.", ",")
    whole = rf"\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d+"
    return rf"(?P<whole>{whole})(?:{point}(?P<part>\d+))?"


@cache
def _number_pattern(language):
    ordinal = r"(?P<ordinal>st|nd|rd|th)?" if language == "en" else ""
    return re.compile(_number(language) + ordinal)


@cache
def _units(language):
    return {row["sign"]: row for row in lists.rows(UNITS) if row["language"] == language}


@cache
def _unit_patterns(language):
    """A number with its unit behind it, and one with a currency before it."""
    units = _units(language)
    signs = "|".join(re.escape(sign) for sign in sorted(units, key=len, reverse=True))
    money = "|".join(re.escape(sign) for sign, row in units.items() if row["with"])
    number = _number(language)
    if language in SCALES:
        number += rf"(?: (?P<scale>{SCALES[language]}))?"
    patterns = []
    if signs:
        patterns.append(rf"(?P<minus>(?<!\S)-)?{number} ?(?P<sign>{signs})(?![\w/°²³])")
    if money:
        patterns.append(rf"(?P<sign>{money}) ?{number}(?! ?(?:[mMkKB]|bn)\b)")
    return [re.compile(pattern) for pattern in patterns]


def _measured(match, language):
    """A number and its unit in words; as they are where they are a part of something else."""
    text, start, end = match.string, *match.span()
    unit, said = _units(language)[match["sign"]], match.groupdict()
    before_it = match.start("sign") < match.start("whole")
    if (
        _goes_on_before(text, start)
        or (before_it and (_goes_on_after(text, end) or UNIT_SIGN.match(text, end)))
        or (said.get("minus") and match["sign"][0] != "°")
    ):
        return match[0]
    words = _quantity(match, unit, said.get("scale"), language)
    if words is None:
        return match[0]
    return _apart(("minus " if said.get("minus") else "") + words, text, start, end)


def _quantity(match, unit, scale, language):
    part = match["part"]
    if unit["with"] and part and len(part) == 2 and not scale:
        whole = int(re.sub(r"\D", "", match["whole"]))
        counts = ((whole, "one", "many"), (int(part), "one_part", "many_parts"))
        sums = [_counted(n, unit[one], unit[many], language) for n, one, many in counts if n]
        return f" {unit['with']} ".join(sums) or _counted(0, "", unit["many"], language)
    if match["whole"] == "1" and not part and not scale:
        return unit["one"]
    number = _said(match, language, year=False)
    return number and " ".join(filter(None, (number, scale, unit["many"])))


def _counted(n, one, many, language):
    return one if n == 1 else f"{_words(n, language)} {many}"


def _german_ordinal(match):
    """The ordinal in the form that the words before it ask for; as it is where they leave it open
    or where a sentence ends."""
    before, after = match["before"].lower(), match["after"]
    month = after in GERMAN_MONTHS
    if after in GERMAN_STARTS or match["number"][0] == "0":
        return match[0]
    if before in GERMAN_N or (before == "der" and (match["first"] or "").lower() in GERMAN_DATIVE):
        ending = "n"
    elif before in ("die", "das") or (before == "der" and month):
        ending = ""
    else:
        return match[0]
    said = _words(int(match["number"]), "de", "ordinal")
    return f"{match['words']} {said}{ending} " if said else match[0]


def _spoken(match, language):
    """The number in words; as it is where it is a part of something else."""
    text, start, end = match.string, *match.span()
    said = None if _is_part(text, start, end) else _said(match, language)
    if said is None or (language in DOTTED_ORDINALS and DOT_GOES_ON.match(text, end)):
        return match[0]
    return said if language in WITHOUT_SPACES else _apart(said, text, start, end)


def _apart(said, text, start, end):
    # prefixes of scripts without capitals stand at a number without a space
    return " " * text[start - 1 : start].isalpha() + said + " " * text[end : end + 1].isalpha()


def _is_part(text, start, end):
    """Whether a number belongs to a date, a time, a price, a version or a name."""
    return (
        _goes_on_before(text, start)
        or _goes_on_after(text, end)
        or UNIT_SIGN.match(text, end) is not None
        or any(_is_sign(c) for c in (*_next_to(text[:start][::-1]), *_next_to(text[end:])))
    )


def _next_to(text):
    """What stands beside a number, a space between or not."""
    return text[:1], text[:2].strip()[:1]


def _is_sign(character):
    """Whether a character is read with the number beside it: currencies, mathematics, powers."""
    return character != "" and (
        unicodedata.category(character) in ("Sc", "Sm", "No") or character in "#@‰*^"
    )


def _goes_on_before(text, start):
    first, before = text[: start - 1][-1:] if start else "", text[start - 1 : start]
    if before in SEPARATORS:  # it ends a clause in scripts that set no space
        return not first.isalpha() or _is_cased(first)
    return (
        before in tuple("/-_$€£")
        or _is_cased(before)
        or (first.isdigit() and before == " " and WHOLE_GROUP.match(text, start) is not None)
    )


def _goes_on_after(text, end):
    after = text[end : end + 2]
    return (
        after[:1] in tuple("/_")
        or _is_cased(after[:1])
        or (after[:1] in tuple(".,:-") and after[1:].isdigit())
        or GROUP_AFTER.match(text, end) is not None  # 12 345, or two numbers: nobody knows
    )


def _is_cased(character):
    return character.lower() != character.upper()


def _said(match, language, year=True):
    whole = re.sub(r"\D", "", match["whole"])
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return _digits(whole, language)
    if match["part"]:
        point = POINT.get(language)
        words = (_words(int(whole), language), point, _digits(match["part"], language))
        return " ".join(words) if all(words) else None
    if match.groupdict().get("ordinal"):
        return _words(int(whole), language, "ordinal")
    alone = match["whole"] == whole and FIRST_YEAR <= int(whole) <= LAST_YEAR
    pairs = year and alone and language in YEARS_IN_PAIRS
    return _words(int(whole), language, "year" if pairs else "cardinal")


def _digits(digits, language):
    words = [_words(int(digit), language) for digit in digits]
    return " ".join(words) if all(words) else None


def _words(number, language, kind="cardinal"):
    """The number in words, or None where num2words fails."""
    if language == "am" and number >= 1000:
        power, name = next(pair for pair in AMHARIC_POWERS if number >= pair[0])
        many, rest = divmod(number, power)
        parts = [_words(many, "am"), name, _words(rest, "am") if rest else ""]
        return " ".join(part for part in parts if part)
    try:
        said = num2words.num2words(number, lang=CODES.get(language, language), to=kind)
    except NUM2WORDS_FAILS:
        return None
    return None if n_digits(said) else clean(said)
