"""Text clean-up: the form that enters the data set, and the forms used for comparison."""

import functools
import unicodedata
from collections.abc import Callable

JOINERS = "\u200c\u200d"  # invisible, but significant in some scripts


class Translation(dict):
    """Table for `str.translate`, filled lazily by a rule on characters."""

    def __init__(self, rule: Callable[[str], str | None]):
        self.rule = rule

    def __missing__(self, code: int) -> str | None:
        self[code] = self.rule(chr(code))
        return self[code]


def _visible(c):
    return c if c.isspace() or c in JOINERS or unicodedata.category(c)[0] != "C" else None


VISIBLE = Translation(_visible)
COMPARED = Translation(lambda c: c if unicodedata.category(c)[0] in "LNM" else " ")


def clean(text: str) -> str:
    """`text` in Unicode NFC, on one line, with runs of whitespace as single spaces.

    Invisible characters (controls, zero-width spaces, byte order marks, soft hyphens, direction
    marks, unassigned codes) are removed: each would become a token of its own.
    """
    text = unicodedata.normalize("NFC", text)
    return " ".join(text.translate(VISIBLE).split())


def comparable(text: str) -> str:
    """`text` for comparison: NFKC, case-folded, only letters, digits and marks."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.translate(COMPARED).split())


def letters(text: str) -> str:
    """`comparable(text)` without spaces, which are inaudible and which some scripts lack."""
    return comparable(text).replace(" ", "")


def script_share(text: str, *scripts: str) -> float:
    """Fraction of the letters of `text` that belong to the given scripts.

    Args:
        text: any text.
        scripts: prefixes of Unicode character names: `LATIN`, `ETHIOPIC`, `ARABIC`, ...

    Returns:
        0 to 1; 1 for text without letters.
    """
    marks = text.translate(_script_table(scripts))
    return marks.count("1") / len(marks) if marks else 1.0


@functools.cache
def _script_table(scripts):
    """Maps letters to 1 inside these scripts and 0 outside; other characters are removed."""

    def mark(c):
        inside = unicodedata.name(c, "").startswith(scripts)
        return str(int(inside)) if unicodedata.category(c)[0] == "L" else None

    return Translation(mark)
