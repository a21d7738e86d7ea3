"""Numbers that have a single reading in a language, regardless of context.

A number that agrees with its noun in gender or case, or that has two readings (1990 as a year), is
not spelled out without a hypothesis: it stays in digits and is listed. Languages missing from
ONE_READING have no number that is certain: in the Slavic and Baltic languages, in Finnish, Greek,
Arabic, Hebrew and Welsh nearly every numeral inflects.
"""

import re

from voicekiln.text.spelling import cardinal, native_korean

MILLION = 10**6


def _ends(n, *units):
    """Whether the last word of the number is one of these digits (21 ends in 1, 11 does not)."""
    return n % 10 in units and n % 100 not in (11, 12)


def _hundreds(n):
    """Whether it contains 200 to 900, below or above a thousand."""
    return n // 100 % 10 >= 2 or n // 100_000 % 10 >= 2


def _in_hundreds(n):
    """Whether it may also be read in hundreds, like a year."""
    return 1000 < n < 10_000 and n % 1000 != 0


def _one_in_thousands(n, *units):
    return n >= 2000 and _ends(n // 1000, *units)


ONE_READING = {
    # no agreement; four digits without a comma may be a year
    "en": lambda n: True,
    # ein, eine, einen, ...; hundred and one, thousand and one as well
    "de": lambda n: n % 100 != 1 and n < MILLION,
    # honderdeen or honderdeneen; years and amounts in hundreds
    "nl": lambda n: n < MILLION and not (n > 100 and n % 100 == 1) and not _in_hundreds(n),
    # en, ett; years in hundreds; tusen or ettusen
    "sv": lambda n: n < 1000 and not _ends(n, 1),
    "da": lambda n: n < 100 and n != 1,
    # two ways of counting: tjueto, toogtyve; sju, syv
    "no": lambda n: n in (0, *range(2, 7), *range(8, 20), 50, 60, 70, 80, 90),
    # 1 to 4 inflect for gender, hundreds and thousands are nouns
    "is": lambda n: n < 100 and (n in range(11, 15) or n % 10 not in (1, 2, 3, 4)),
    # un, une
    "fr": lambda n: n < MILLION and not (n % 10 == 1 and n % 100 not in (11, 71, 91)),
    # un, uno, una; doscientos, doscientas
    "es": lambda n: not (_ends(n, 1) or _one_in_thousands(n, 1) or _hundreds(n)) and n < MILLION,
    # un, uno, una, un'
    "it": lambda n: n < MILLION and not _ends(n, 1),
    # um, uma; dois, duas; duzentos, duzentas; 14, 16, 17, 19 differ between Brazil and Portugal
    "pt": lambda n: (
        n < MILLION
        and not (_ends(n, 1, 2) or _one_in_thousands(n, 1, 2) or _hundreds(n) or n // 1000 == 2)
        and n % 100 not in (14, 16, 17, 19)
        and n // 1000 % 100 not in (14, 16, 17, 19)
    ),
    # un, una; dos, dues; dos-cents, dues-centes; Valencian huit, desset
    "ca": lambda n: n < 100 and not _ends(n, 1, 2, 8) and n not in (8, 17, 18, 19),
    # un, o; doi, două; from 20 on the counted noun takes "de"
    "ro": lambda n: n in (0, *range(3, 12), *range(13, 20)),
    "eo": lambda n: n < MILLION,
    # kettő, két
    "hu": lambda n: n < MILLION and n % 10 != 2,
    # no agreement and no other reading
    "tr": lambda n: n < MILLION,
    "az": lambda n: n < MILLION,
    "kk": lambda n: n < 1000,  # years are ordinals
    "fa": lambda n: n < MILLION,
    "id": lambda n: n < MILLION and n != 1,  # seorang, sebuah
    "th": lambda n: n < 100,  # one hundred and one has two readings
    "vi": lambda n: n < 100 and n % 10 != 4,  # bốn, tư; from 101 on lẻ, linh
    "bn": lambda n: n < 100,  # spoken hundreds differ from written ones
    "ja": lambda n: 0 < n < 10**12,  # in kanji, which leave the reading open
    # years in hundreds; አምሳ or ሃምሳ, ስድሳ or ስልሳ
    "am": lambda n: (
        n < MILLION and not {n // 10 % 10, n // 10_000 % 10} & {5, 6} and not 1100 <= n < 2000
    ),
}
ONE_READING["nb"] = ONE_READING["nn"] = ONE_READING["no"]
# languages that use the citation form after "number", before "percent" and in decimals
CITED = frozenset("en de fr es it pt nl".split())
# four-digit numbers that are read differently as years and as counts
YEARS_DIFFER = {"en": range(1001, 2100), "de": range(1100, 2000)}

NATIVE = {  # Korean counters with native numerals, and the largest number that takes only those
    "명": 19, "사람": 19, "개": 19, "마리": 19, "잔": 19, "병": 19, "그루": 19, "켤레": 19,
    "송이": 19, "쌍": 19, "가지": 19, "살": 99, "시간": 12, "시": 12, "번째": 99,
}  # fmt: skip
SINO = frozenset(
    "년 년대 월 일 초 원 층 호 호선 세 개월 세기 학년 등 위 회 인분 달러 유로 퍼센트 킬로미터 미터 "
    "센티미터 킬로그램 그램 리터 시".split()
)
MONTHS = {6: "유", 10: "시"}  # 유월, 시월
KOREAN_COUNTER = re.compile(
    rf" ?(?P<counter>{'|'.join(sorted({*NATIVE, *SINO, '분'}, key=len, reverse=True))})"
    r"(?:이|가|은|는|을|를|의|에|에는|에서|으로|로|와|과|도|만|까지|부터|마다|씩|이나|나|이다|입니다|"
    r"이었다|였다|쯤|정도|동안|에게)?(?!\w)"
)


def has_one_reading(n: int, language: str) -> bool:
    """Whether the cardinal is the only reading of this number, whatever it counts."""
    rule = ONE_READING.get(language)
    return rule is not None and rule(n)


def korean(n: int, before: str, after: str) -> str | None:
    """Spell a Korean number before its counter, with the space that follows; None if ambiguous.

    The counter decides between Sino-Korean and native numerals.

    Args:
        before: text up to the number.
        after: text that follows it.
    """
    found = KOREAN_COUNTER.match(after)
    if found is None:
        return None
    counter, space = found["counter"], " " * after[:1].isalpha()
    if counter == "월" and n in MONTHS:
        return MONTHS[n]
    spelled = _counted(n, counter, re.search("시 ?$", before) is not None)
    return spelled and spelled + space


def _counted(n, counter, after_hours):
    if n <= NATIVE.get(counter, 0):
        return "첫" if counter == "번째" and n == 1 else native_korean(n)
    if counter == "월" and n > 12:
        return None
    minutes = counter == "분" and after_hours
    return cardinal(n, "ko") if counter in SINO or minutes or (n and n % 100 == 0) else None
