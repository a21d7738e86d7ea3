"""Dates, times and other numbers with separators, spelled out as in the hypothesis.

`12/05/2024` may be the twelfth of May or December the fifth, `10:30` half past ten: every reading
that the language offers is tried against the hypothesis. Without a hypothesis the digits stay. For
languages not listed here, the plain numbers are tried in order.
"""

import re
from collections.abc import Sequence

from voicekiln.text import months
from voicekiln.text.hypothesis_match import Part, parse, part
from voicekiln.text.spelling import ordinals_of, readings

EDGE = r"(?<![A-Za-zÀ-ɏͰ-ӿ\d_.,:/+-])"  # a letter of a caseless script may be a prefix
OVER = r"(?![\w/]|[.,:-]\d)"
DATE = re.compile(rf"{EDGE}(\d{{1,4}})([./-])(\d{{1,2}})\2(\d{{1,4}}){OVER}")
CLOCK = r"(?: ?(?:[ap]\.m\.|(?:[ap]m|[AP]M|Uhr|uur|ሰዓት|часов|часа|heures|horas|h)\b))?"
TIME = re.compile(rf"{EDGE}(\d{{1,2}})(?:[:.]|h ?)(\d{{2}}){CLOCK}{OVER}")
GROUPS = re.compile(rf"{EDGE}\d+(?:[.,:/-]\d+)+{OVER}")
MOST_GROUPS = 6
# D day, M month name, N month number, Y year; `?` marks optional words
DATES = {
    "en": ("M D Y", "D M Y", "the? D of M Y", "M the D Y", "N D Y", "D N Y"),
    "de": ("D M Y", "D N Y"),
    "fr": ("D M Y", "D N Y"),
    "es": ("D de|del? M de|del? Y", "D de|del? N de|del? Y"),
    "pt": ("D de|do? M de? Y", "D de|do? N de? Y"),
    "it": ("D M del? Y", "D N Y"),
    "nl": ("D M Y", "D N Y"),
    "ru": ("D M Y года|год|году?", "D N Y года?"),
    "uk": ("D M Y року|рік?", "D N Y"),
    "pl": ("D M Y roku|rok?", "D N Y"),
    "am": ("M D ቀን? Y ዓመተ_ምሕረት|ዓም?", "D M Y", "D N Y"),
}
OTHER_DATES = ("D M Y", "D N Y")
# by minutes: H hour, I next hour, J its ordinal, M minutes, Q minutes to the next hour
TIMES = {
    "en": {
        "": "H M",
        "o": "H oh|o|zero M",
        "00": "H o'clock?|hundred",
        "to": "Q minutes? to|of|till I",
        "past": "M minutes? past|after H",
        "15": "a? quarter past|after H",
        "30": "half past H",
        "45": "a? quarter to|of|till I",
    },
    "de": {
        "": "H Uhr? und? M",
        "00": "H Uhr",
        "30": "halb I",
        "15": "Viertel nach H",
        "45": "Viertel|dreiviertel vor? I",
        "past": "M Minuten? nach H",
        "to": "Q Minuten? vor I",
    },
    "fr": {
        "": "H heures|heure? M",
        "00": "H heures|heure",
        "15": "H heures|heure et quart",
        "30": "H heures|heure et demie|demi",
        "45": "I heures|heure moins le? quart",
        "to": "I heures|heure moins Q",
    },
    "es": {
        "": "H horas? y? M minutos?",
        "00": "H horas|enpunto?",
        "15": "H y cuarto",
        "30": "H y media",
        "45": "I menos cuarto",
        "to": "I menos Q",
    },
    "pt": {
        "": "H horas|hora? e? M minutos?",
        "00": "H horas|hora?",
        "30": "H horas? e meia",
        "to": "Q para as|a? I",
    },
    "it": {
        "": "H ore? e? M",
        "00": "H ore? inpunto?",
        "15": "H e un? quarto",
        "30": "H e mezza|mezzo",
        "45": "I meno un? quarto",
        "to": "I meno Q",
    },
    "nl": {
        "": "H uur? M",
        "00": "H uur?",
        "15": "kwart over H",
        "30": "half I",
        "45": "kwart voor I",
        "past": "M minuten? over H",
        "to": "Q minuten? voor I",
    },
    "ru": {
        "": "H часов|часа|час? M минут|минуты|минута?",
        "00": "H часов|часа|час|нольноль?",
        "30": "пол J",
        "to": "без Q минут? I",
    },
    "am": {
        "": "H ሰዓት? ከ? M ደቂቃ?",
        "00": "H ሰዓት",
        "30": "H ሰዓት? ተኩል",
        "15": "H ሰዓት? ከሩብ",
        "45": "ለ I ሰዓት? ሩብ ጉዳይ",
    },
}
OTHER_TIMES = {"": "H M"}
BETWEEN = {  # spoken forms of separators in decimals, ranges, results and fractions
    "en": "to point dot dash over and through", "de": "bis zu Komma Punkt durch",
    "fr": "à virgule point sur", "es": "a coma punto con por", "it": "a virgola punto su e",
    "pt": "a vírgula ponto por e", "nl": "tot komma punt", "ru": "до точка запятая",
    "uk": "до кома", "pl": "do przecinek kropka", "am": "እስከ ነጥብ", "sv": "till komma",
    "da": "til komma",
    "no": "til komma", "nb": "til komma", "nn": "til komma", "fi": "pilkku", "tr": "virgül",
    "ar": "فاصلة", "ro": "virgulă", "ca": "coma", "hu": "egész", "cs": "celá celých", "fa": "ممیز",
}  # fmt: skip
DAY_PARTS = {
    "en": "am|pm|in the morning|in the afternoon|in the evening|at night|sharp",
    "de": "Uhr|morgens|abends|nachmittags", "nl": "uur", "fr": "du matin|du soir", "am": "ሰዓት",
    "es": "de la mañana|de la tarde|de la noche|horas", "pt": "da manhã|da tarde|da noite",
}  # fmt: skip


def date(match: re.Match, words: str, language: str) -> str | None:
    """Reading of a `DATE` match that equals `words`, or None."""
    first, _, second, third = match.groups()
    if len(first) == 4:
        orders = [(third, second, first)]
    else:
        orders = [(first, second, third), (second, first, third)]
    for day, month, year in orders:
        if 1 <= int(month) <= 13 and 1 <= int(day) <= 31:
            templates = DATES.get(language, OTHER_DATES)
            parts = {
                "D": part(_counts(day, language), language),
                "M": part(_month(int(month), language), language),
                "N": part(_counts(month, language), language),
                "Y": part((*_counts(year, language), *_short_year(year, language)), language),
            }
            spoken = parse(words, (_template(t, parts, language) for t in templates), language)
            if spoken:
                return spoken
    return groups([first, second, third], words, language)


def time(match: re.Match, words: str, language: str) -> str | None:
    """Reading of a `TIME` match that equals `words`, or None."""
    hour, minutes = int(match[1]), int(match[2])
    if hour > 24 or minutes > 59:
        return groups([match[1], match[2]], words, language)
    hours = {hour, hour % 12 or 12}
    if language == "am":
        hours |= {(h + 6) % 12 or 12 for h in hours}  # hours are counted from six in the morning
    table = TIMES.get(language, OTHER_TIMES)
    ending = part(DAY_PARTS.get(language, "").split("|"), language, optional=True)
    for h in sorted(hours):
        after = h % 12 + 1
        parts = {
            "H": part(_counts(str(h), language), language),
            "I": part(_counts(str(after), language), language),
            "J": part(ordinals_of(after, language), language),
            "M": part(_counts(str(minutes), language), language),
            "Q": part(_counts(str(60 - minutes), language), language),
        }
        kinds = [kind for kind in table if _applies(kind, minutes)]
        templates = [[*_template(table[kind], parts, language), ending] for kind in kinds]
        spoken = parse(words, templates, language)
        if spoken:
            return spoken
    return groups([match[1], match[2]], words, language)


def groups(numbers: Sequence[str], words: str, language: str) -> str | None:
    """Reading of separated numbers in order, with or without words between them, or None."""
    if len(numbers) > MOST_GROUPS:
        return None
    between = part(BETWEEN.get(language, "").split(), language, optional=True)
    parts: list[Part] = []
    for number in numbers:
        spoken = (
            (*_counts(number, language), *readings(number, language)) if len(number) < 13 else ()
        )
        parts += [part(spoken, language), between]
    return parse(words, [parts[:-1]], language)


def _counts(number, language):
    return readings(number.lstrip("0") or "0", language) if len(number) <= 12 else ()


def _short_year(year, language):
    """Readings of `24` as 2024 or 1924."""
    if len(year) != 2:
        return ()
    return readings(f"20{year}", language) + readings(f"19{year}", language)


def _month(number, language):
    named = months.names(language)
    return named[number - 1 : number]


def _applies(kind, minutes):
    if kind == "o":
        return 0 < minutes < 10
    if kind == "to":
        return minutes > 30
    return kind in ("", "past") or int(kind) == minutes


def _template(template, parts, language) -> list[Part]:
    """The parts of a template: its letters by `parts`, other words literally; `?` is optional."""
    found = []
    for word in template.split():
        bare = word.rstrip("?")
        if bare in parts:
            found.append(parts[bare])
        else:
            options = [option.rstrip("?").replace("_", " ") for option in bare.split("|")]
            found.append(part(options, language, optional="?" in word))
    return found
