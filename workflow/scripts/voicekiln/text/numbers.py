"""Spell out numbers with their units, currencies and marks, as they are read aloud.

num2words spells the numbers; units.tsv names units and currencies. An ambiguous number (gender,
case, a year, a date) is left in digits here; see numbers_from_hypothesis.py.
"""

import re
import unicodedata
from functools import cache, partial
from itertools import cycle
from pathlib import Path

from voicekiln.text import lists, months
from voicekiln.text.agreement import CITED, YEARS_DIFFER, has_one_reading, korean
from voicekiln.text.context import alone_after, alone_before, stands_alone
from voicekiln.text.marks import marked_patterns
from voicekiln.text.scripts import WITHOUT_SPACES
from voicekiln.text.spelling import cardinal, digit_by_digit, knows_numbers, ordinal, year

UNITS = Path(__file__).with_name("units.tsv")
ETHIOPIC = "\u1369-\u137c"
DECIMAL_COMMA = frozenset(
    "az be bg ca cs da de el es et fi fr hr hu hy id is it ka kk lt lv mk nb nl nn no pl pt ro ru "
    "sk sl sq sr sv tr uk uz vi".split()
)
DOTTED_ORDINALS = frozenset("de da nb nn no fi cs sk hu sl hr sr et lv is tr".split())
POINT = {
    "en": "point", "de": "Komma", "fr": "virgule", "es": "coma", "it": "virgola", "pt": "vírgula",
    "nl": "komma", "tr": "virgül", "am": "ነጥብ",
}  # fmt: skip
DIGITWISE = frozenset("en de am".split())  # languages that read several decimals digit by digit
CLOCK_WORDS = frozenset("at by until till from to around about before after since".split())
SCALES = {"en": "thousand|[mb]illion|trillion", "de": "Millionen|Milliarden"}
# am 3. Mai, in der 3. Klasse: two words before, and one after
GERMAN_ORDINAL = re.compile(
    r"(?<!\w)(?P<words>(?:(?P<first>[^\W\d_]+) )?(?P<before>[^\W\d_]+)) (?P<number>\d{1,3})\. "
    r"(?=(?P<after>[^\W\d_]+))"
)
GERMAN_N = frozenset("am vom zum beim im dem den des zur".split())
GERMAN_DATIVE = frozenset("in an auf aus bei mit nach seit von vor zu ab unter über".split())
GERMAN_MONTHS = frozenset(["Jänner", *months.names("de")])
GERMAN_STARTS = frozenset(  # words that may start the next sentence
    "Aber Als Am An Auch Auf Bei Da Dann Das Dass Dem Den Der Des Die Diese Dieser Dieses Doch "
    "Dort Du Ein Eine Einen Er Es Für Hier Ich Ihr Im In Ist Ja Jetzt Man Mit Nach Nein Nun Ob "
    "Oder Sie So Und Vom Von Vor Warum Was Wenn Wer Wie Wir Wo Zu Zum Zur".split()
)
# words that make a sentence-final `3.` an ordinal
GERMAN_RANKS = GERMAN_N | frozenset("der die das wurde wurden wird werde als jeder jede".split())
YEARS_AFTER = {  # words before a year
    "en": frozenset("in In since Since until till during During year spring summer winter".split()),
    "de": frozenset("Jahr Jahre Jahres Anfang Ende Mitte Sommer Winter seit Seit".split()),
}
AFTER_YEARS = {  # words after a number that are not the thing counted
    "en": frozenset(
        "the a an and or but when he she it they we you i his her their there was were is had has "
        "have did to by with after before as at for from because while that this who which until "
        "on in".split()
    ),
    "de": frozenset(
        "und oder aber war waren wurde wurden ist hat hatte kam in im am an bis".split()
    ),
}
COUNTED = frozenset(
    "number Nummer numéro numero número nummer".split()
)  # words before a citation form: number 1
COUNTED_AFTER = frozenset(  # before other words a long number may be read digit by digit
    "of people men women children feet percent million billion thousand or and more".split()
)
NO_PLURALS = frozenset("is was has as this his its us does always less plus versus".split())
MAX_DIGITS = 12


def n_digits(text: str) -> int:
    """Number of digit characters in `text`, of any script."""
    return sum(unicodedata.category(c) in ("Nd", "No", "Nl") for c in text)


def ethiopic_number(signs: str) -> int:
    """Value of an Ethiopic numeral: units and tens precede each hundred sign, and pairs of such
    groups each ten-thousand sign."""
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


def ascii_digits(text: str) -> str:
    """`text` with the decimal digits of all scripts converted to ASCII."""
    return text if text.isascii() else "".join(_ascii_digit(c) for c in text)


def in_words(text: str, language: str) -> str:
    """`text`, whose digits are ASCII, with its numbers spelled out if they have a single reading.

    Ambiguous numbers, and numbers in dates, times, versions and names, stay in digits.
    """
    if not (knows_numbers(language) and n_digits(text)):
        return text
    steps = _spelling_steps(language)
    directions = cycle((_replace_backwards, _replace_forwards))
    before = None
    while text != before:  # a spelled number may make its neighbour on either side readable
        before, replace_all = text, next(directions)
        for pattern, spell in steps:
            text = replace_all(pattern, spell, text)
    return text


@cache
def _spelling_steps(language):
    """(pattern, replacement of a match) in order of application."""
    steps = marked_patterns(language)
    steps += [(pattern, partial(_spell_quantity, language)) for pattern in _unit_patterns(language)]
    if language == "de":
        steps.append((GERMAN_ORDINAL, _german_ordinal))
    return [*steps, (number_pattern(language), partial(_spell_number, language))]


def _replace_backwards(pattern, spell, text):
    """Replace matches from the last to the first; each sees the text already replaced after it.

    A chain in which every number waits for its neighbour is thus spelled in one pass.
    """
    for match in reversed(list(pattern.finditer(text))):
        current = pattern.match(text, match.start())
        if current is not None:
            text = text[: current.start()] + spell(current) + text[current.end() :]
    return text


def _replace_forwards(pattern, spell, text):
    """Replace matches from the first to the last; each sees the text already replaced before it."""
    position = 0
    while match := pattern.search(text, position):
        spelled = spell(match)
        position = match.start() + len(spelled)
        text = text[: match.start()] + spelled + text[match.end() :]
    return text


def _ascii_digit(character):
    is_digit = character > "9" and unicodedata.category(character) == "Nd"
    return str(unicodedata.digit(character)) if is_digit else character


@cache
def number_pattern(language: str) -> re.Pattern:
    """Pattern of a number with the thousands and decimal separators of the language."""
    return re.compile(_number(language))


def _number(language):
    point, group = (",", r"\.") if language in DECIMAL_COMMA else (r"\.", ",")
    whole = rf"\d{{1,3}}(?:{group}\d{{3}})+(?!\d)|\d+|[{ETHIOPIC}]+"
    return rf"(?P<whole>{whole})(?:{point}(?P<part>\d+))?"


@cache
def _units(language):
    return {row["sign"]: row for row in lists.rows(UNITS) if row["language"] == language}


@cache
def _unit_patterns(language):
    """Patterns of a number before its unit, and after its currency."""
    units = _units(language)
    signs = "|".join(re.escape(sign) for sign in sorted(units, key=len, reverse=True))
    money = "|".join(re.escape(sign) for sign, row in units.items() if row["with"])
    number = _number(language)
    if language in SCALES:
        number += rf"(?: (?P<scale>{SCALES[language]}))?"
    patterns = []
    if signs:
        patterns.append(rf"(?<!\d)(?P<minus>(?<!\S)-)?{number} ?(?P<sign>{signs})(?![\w/°²³])")
    if money:
        patterns.append(rf"(?P<sign>{money}) ?{number}(?! ?(?:[mMkKB]|bn)\b)")
    return [re.compile(pattern) for pattern in patterns]


def _spell_quantity(language, match):
    """Number and unit spelled out; unchanged if part of a larger expression."""
    text, start, end = match.string, *match.span()
    unit, spelled = _units(language)[match["sign"]], match.groupdict()
    sign = match["sign"]
    joined_letter = len(sign) == 1 and sign.isalpha() and text[match.end("sign") - 2] != " "
    if (
        joined_letter  # 5g, 3m
        or not alone_before(text, start, language)
        or not alone_after(text, end, language)
        or (spelled.get("minus") and sign[0] != "°")
    ):
        return match[0]
    words = _quantity(match, unit, spelled.get("scale"), language)
    if words is None:
        return match[0]
    return _spaced(("minus " if spelled.get("minus") else "") + words, text, start, end, language)


def _quantity(match, unit, scale, language):
    part = match["part"]
    if unit["with"] and part and len(part) == 2 and not scale:
        whole = value(match)
        counts = ((whole, "one", "many"), (int(part), "one_part", "many_parts"))
        sums = [_counted(n, unit[one], unit[many], language) for n, one, many in counts if n]
        if not all(sums):
            return None
        return f" {unit['with']} ".join(sums) or _counted(0, "", unit["many"], language)
    if match["whole"] == "1" and not part and not scale:
        return _counted(1, unit["one"], "", language)
    cited = match["sign"] == "%" and language in CITED and language != "de"
    number = _reading(match, language, cited=cited, as_year=False)
    return number and " ".join(filter(None, (number, scale, unit["many"])))


def _counted(n, one, many, language):
    if n == 1:
        return one if language != "de" else None  # ein, einen, einem Kilometer
    return f"{cardinal(n, language)} {many}" if has_one_reading(n, language) else None


def _german_ordinal(match):
    """The ordinal inflected to fit the words before it; unchanged if these leave the form open
    or if a sentence ends."""
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
    spelled = ordinal(int(match["number"]), "de")
    return f"{match['words']} {spelled}{ending} " if spelled else match[0]


def _spell_number(language, match):
    """The number spelled out; unchanged if part of a larger expression."""
    text, start, end = match.string, *match.span()
    if not alone_before(text, start, language):
        return match[0]
    if language == "ko":
        plain = not match["part"] and text[end - 1].isdigit() and len(match["whole"]) < MAX_DIGITS
        spelled = (
            plain and match["whole"][0] != "0" and korean(value(match), text[:start], text[end:])
        )
        return spelled or match[0]
    if not stands_alone(text, start, end, language) or _is_ordinal(text, start, end, language):
        return match[0]
    spelled = _reading(match, language)
    return match[0] if spelled is None else _spaced(spelled, text, start, end, language)


def _spaced(spelled, text, start, end, language):
    """Separate a number from adjacent letters; Amharic prefixes stay joined to it."""
    if language in WITHOUT_SPACES:
        return spelled
    before = text[start - 1 : start].isalpha() and language != "am"
    return " " * before + spelled + " " * text[end : end + 1].isalpha()


def _is_ordinal(text, start, end, language):
    """Whether a full stop after the number may mark an ordinal or a list item."""
    if text[end : end + 1] != "." or text[end : end + 3] == "...":
        return False
    if not text[:start].strip("\"'( "):
        return True
    if language not in DOTTED_ORDINALS:
        return False
    last = text[:start].split()[-1].lower()
    ends = not text[end + 1 :].strip("\"') ")
    return not ends or language != "de" or last in GERMAN_RANKS


def value(match: re.Match) -> int:
    """Integer part of a match of `number_pattern`."""
    whole = match["whole"]
    return int(re.sub(r"\D", "", whole)) if whole.isascii() else ethiopic_number(whole)


def _reading(match, language, cited=False, as_year=True):
    """The single reading of a number, or None; `cited` allows the citation form, as in 5 %."""
    whole, part = match["whole"], match["part"]
    if len(whole) > MAX_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        return None
    n = value(match)
    words = match.string[: match.start()].split()[-3:]
    cited = cited or (language in CITED and words[-1:] and words[-1] in COUNTED)
    if part:
        if language not in POINT or (len(part) > 1 and language not in DIGITWISE):
            return None
        if len(part) == 2 and n <= 24 and words and words[-1].lower() in CLOCK_WORDS:
            return None
        if language not in CITED and not has_one_reading(n, language):
            return None
        return " ".join((cardinal(n, language), POINT[language], digit_by_digit(part, language)))
    if as_year and whole.isdigit() and len(whole) == 4 and n in YEARS_DIFFER.get(language, ()):
        return _year(match, n, words, language)
    if not (has_one_reading(n, language) or (cited and n < 1000)):
        return None
    if (language, n) == ("vi", 1) and words[-1:] and words[-1].lower() == "thứ":
        return None  # thứ nhất
    if whole.isdigit() and n > 100 and n % 100 and _may_be_digits(match, n, language):
        return None
    return cardinal(n, language)


def _may_be_digits(match, n, language):
    """Whether a number may be a name, read digit by digit or in pairs: Boeing 747."""
    next_word = match.string[match.end() :].split()[:1]
    word = next_word[0].strip(",.;:!?\"')") if next_word else ""
    if language != "en":  # a postal code: 10115 Berlin
        return n >= 10_000 and n % 1000 != 0 and not word[:1].islower()
    plural = word.islower() and word.endswith("s") and word not in NO_PLURALS
    return not (plural or word in COUNTED_AFTER)


def _year(match, n, words, language):
    """The year spelled out, if it has one reading and its context marks it as a year."""
    if language == "en" and 2000 <= n < 2010:
        return cardinal(n, language)  # two thousand and one: same as a year and as a count
    if n >= 2000 or (n < 1100 and n % 100 < 10):
        return None
    markers = YEARS_AFTER[language] | frozenset(months.names(language))
    after = match.string[match.end() :].partition(" ")
    follows = after[0].strip(",.;:!?\"')") or after[2].partition(" ")[0].strip(",.;:!?\"')")
    ends = after[0] != "" or not after[2]
    is_year = words and words[-1] in markers and (ends or follows in AFTER_YEARS[language])
    return year(n, language) if is_year else None
