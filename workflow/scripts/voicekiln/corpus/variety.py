"""Warnings about a lack of variety in texts, pace and lengths, for the log and the report.

Each names what is missing, what the voice will do badly as a result, and what to record.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import cache

import pandas as pd

from voicekiln.text.clean import letters
from voicekiln.text.numbers import n_digits
from voicekiln.text.scripts import WITHOUT_SPACES, words
from voicekiln.text.spelling import cardinal, knows_numbers

ENOUGH = 50  # segments, below which nothing can be said to be missing
MANY_WORDS, FEW_DISTINCT = 1000, 200  # plain prose has some 400 distinct ones in its first thousand
SAME_LENGTH = 1.5  # nine tenths of the segments are shorter than the shortest tenth times this
SAME_PACE = 1.15  # the same of characters a second; readers have some 1.4
QUESTION = tuple("?؟？⸮՞፧")
EXCLAMATION = tuple("!！՜߹")
SIGNS = tuple(".,!?:;።፣፤፥፦፧،؛؟۔。，！？；：、।॥։՞·။")
ENDS = re.compile(r"[.!?:;…„“”\"'«»(\[—–-]\s*$")
MANY_LETTERS, RARE = 3000, 5  # letters, to expect each one of the language this often
MANY_TEXTS = 20_000  # are enough to count letters in
# the letters beside a to z; those in brackets are left out, as native words lack them
ALPHABETS = {
    "en": "", "de": "äöü(xqy)", "fr": "éèàçêùî(kw)", "es": "ñáéíóú(kw)", "it": "àèìòù(jkwxy)",
    "pt": "ãõçáéíóúâêô(kwy)", "nl": "(qx)", "sv": "åäö(qwz)", "pl": "ąćęłńóśźż(qvx)",
    "tr": "çğıöşü(qwx)",
}  # fmt: skip
CYRILLIC = {"ru": "абвгдежзийклмнопрстуфхцчшщыьэюя", "uk": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя"}
WITHOUT_NAMES = frozenset(["de", "lb"])  # every noun begins with a capital


def monotony(table: pd.DataFrame) -> list[str]:
    """Warnings about the kept segments of `table` (`tables.SEGMENTS`); none for very few."""
    kept = table[(table["status"] == "keep") & table["text"].notna()].sort_values("segment_id")
    if len(kept) < ENOUGH:
        return []
    return [*_wording(kept), *_signs(kept), *_names(kept), *_numbers(kept), *_sounds(kept)] + [
        *_lengths(kept),
        *_paces(kept),
    ]


def _wording(kept) -> Iterator[str]:
    spaced = kept[~kept["language"].isin(WITHOUT_SPACES)]
    said = [word.casefold() for text in spaced["text"] for word in words(text)][:MANY_WORDS]
    if len(said) == MANY_WORDS and len(set(said)) < FEW_DISTINCT:
        yield (
            f"few different words: {len(set(said))} among the first {MANY_WORDS}; record texts of "
            "other kinds"
        )


def _signs(kept) -> Iterator[str]:
    pairs = list(zip(kept["text"], kept["language"].fillna(""), strict=True))
    if not any(sign in text for text in kept["text"] for sign in SIGNS):
        yield (
            "the texts have no punctuation, so the voice cannot learn pauses and questions from it;"
            " restore it (a transcribe.model writes it) or correct the texts"
        )
        return
    if not any(asks(text, language) for text, language in pairs):
        yield ("no text asks a question: the voice will not learn their melody; record some")
    if not any(sign in text for text in kept["text"] for sign in EXCLAMATION):
        yield (
            "no text has an exclamation mark: the voice will not learn their melody; record "
            "some, such as dialogue"
        )


def asks(text: str, language: str) -> bool:
    """Whether a question mark is in `text`."""
    signs = (*QUESTION, ";") if language == "el" else QUESTION
    return any(sign in text for sign in signs)


def _names(kept) -> Iterator[str]:
    """In scripts with capitals: one inside a sentence is a name."""
    cased = kept[~kept["language"].isin(WITHOUT_NAMES)]["text"].tolist()
    both = sum(text != text.lower() and text != text.upper() for text in cased)
    if both >= ENOUGH and not any(map(names, cased)):
        yield (
            "no text contains a name (a capital letter inside a sentence): the voice may "
            "mispronounce names; record texts with names of people and places"
        )


def names(text: str) -> bool:
    """Whether a word inside a sentence of `text` begins with a capital; English `I` is none."""
    for match in re.finditer(r"\w[\w'’]*", text):
        word = match.group()
        inside = text[: match.start()].strip() and not ENDS.search(text[: match.start()])
        if inside and len(word) > 1 and word[0].isupper() and not word.startswith(("I'", "I’")):
            return True
    return False


def _numbers(kept) -> Iterator[str]:
    for language, rows in kept.groupby(kept["language"].fillna(""), sort=True):
        if len(rows) < ENOUGH or not knows_numbers(language) or language in WITHOUT_SPACES:
            continue
        spoken = number_words(language)
        if not any(n_digits(text) or spoken & set(folded(text)) for text in rows["text"]):
            yield (
                f"no text in {language!r} contains a number or a date: the voice may misread them; "
                "record texts with numbers, dates and times"
            )


def folded(text: str) -> list[str]:
    """The words of `text`, case folded."""
    return [word.casefold() for word in words(text)]


@cache
def number_words(language: str) -> frozenset[str]:
    """The words for the numbers from 2 to 20, the tens, 100 and 1000."""
    numbers = [*range(2, 21), *range(30, 100, 10), 100, 1000]
    said = [cardinal(number, language) or "" for number in numbers]
    return frozenset(word for text in said for word in folded(text))


def _sounds(kept) -> Iterator[str]:
    """Letters stand for sounds: a language's letters that are missing, and those that are rare."""
    for language, rows in kept.groupby(kept["language"].fillna(""), sort=True):
        counts = Counter(letters(" ".join(rows["text"].head(MANY_TEXTS))))
        expected = alphabet(language)
        if not expected or counts.total() < MANY_LETTERS:
            continue
        missing = [letter for letter in expected if not counts[letter]]
        rare = [letter for letter in expected if 0 < counts[letter] < RARE]
        if missing or rare:
            found = [
                f"{kind}: {' '.join(some)}"
                for kind, some in (("never", missing), (f"fewer than {RARE} times", rare))
                if some
            ]
            yield (
                f"letters of {language!r} that occur in the texts {'; '.join(found)}: the voice "
                "may mispronounce them; record words with them"
            )


def alphabet(language: str) -> str:
    """The letters of native words; empty for an unlisted language."""
    if language in CYRILLIC:
        return CYRILLIC[language]
    if language not in ALPHABETS:
        return ""
    more, _, left_out = ALPHABETS[language].rstrip(")").partition("(")
    return "".join(c for c in "abcdefghijklmnopqrstuvwxyz" if c not in left_out) + more


def _lengths(kept) -> Iterator[str]:
    seconds = ((kept["end"] - kept["start"]) / kept["rate_hz"]).astype(float)
    short_s, long_s = seconds.quantile(0.1), seconds.quantile(0.9)
    if long_s < SAME_LENGTH * short_s:
        yield (
            f"the segments are of nearly one length (most between {short_s:.1f} and {long_s:.1f} "
            "s): the voice may speak shorter and longer sentences badly; record some"
        )


def _paces(kept) -> Iterator[str]:
    pace = kept["chars_per_s"].astype(float).dropna()
    if len(pace) < ENOUGH:
        return
    slow, fast = pace.quantile(0.1), pace.quantile(0.9)
    if fast < SAME_PACE * slow:
        yield (
            f"the segments are spoken at nearly one pace (most between {slow:.1f} and {fast:.1f} "
            "characters a second): the voice may sound mechanical; record livelier texts"
        )
