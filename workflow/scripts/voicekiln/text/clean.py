"""Transcripts as they enter the data set, and as they are compared."""

import functools
import unicodedata
from collections.abc import Callable

JOINERS = "\u200c\u200d"  # invisible, but they change how some scripts are written and read


class Translation(dict):
    """What becomes of each character, by a rule that is asked once for each."""

    def __init__(self, rule: Callable[[str], str | None]):
        self.rule = rule

    def __missing__(self, code: int) -> str | None:
        self[code] = self.rule(chr(code))
        return self[code]


def _written(c):
    return c if c.isspace() or c in JOINERS or unicodedata.category(c)[0] != "C" else None


WRITTEN = Translation(_written)
COMPARED = Translation(lambda c: c if unicodedata.category(c)[0] in "LNM" else " ")


def clean(text: str) -> str:
    """`text` in Unicode NFC, on one line, with single spaces of one kind.

    Characters that nobody sees or says (controls, zero-width spaces, byte order marks, soft
    hyphens, direction marks, unassigned codes) are removed: each would become a token of its own.
    """
    text = unicodedata.normalize("NFC", text)
    return " ".join(text.translate(WRITTEN).split())


def comparable(text: str) -> str:
    """`text` for comparison: NFKC, case folded, letters, digits and marks only."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.translate(COMPARED).split())


def letters(text: str) -> str:
    """`comparable(text)` without its spaces, which some scripts lack and nobody hears."""
    return comparable(text).replace(" ", "")


def script_share(text: str, *scripts: str) -> float:
    """Share of the letters of `text` that belong to these scripts, by Unicode character names.

    Args:
        text: any text.
        scripts: as Unicode names begin, `LATIN`, `ETHIOPIC`, `ARABIC`, `CYRILLIC`, ...

    Returns:
        0 ... 1; 1 for text without letters.
    """
    marks = text.translate(_of(scripts))
    return marks.count("1") / len(marks) if marks else 1.0


@functools.cache
def _of(scripts):
    """Of letters whether they belong to these scripts; nothing of other characters."""

    def mark(c):
        inside = unicodedata.name(c, "").startswith(scripts)
        return str(int(inside)) if unicodedata.category(c)[0] == "L" else None

    return Translation(mark)
