"""Abbreviations written out: those of a language (abbreviations.tsv) and the user's.

Kinds in the table: `last` may end a sentence before another one, `stem` needs an ending, `open` may
have one. Sources for Amharic: the tokenizer exceptions of spaCy (explosion/spaCy, lang/am), the
W3C's notes on Ethiopic abbreviations (w3c/elreq), and the list that comes with
isrish/Amharic-Text-Processor; ambiguous entries (ሚ/ር) are left out.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from voicekiln.text import lists

TABLE = Path(__file__).with_name("abbreviations.tsv")
# Amharic prepositions are written together with what follows them
PREFIXES = {"am": "(?:[የበለከ]|እንደ|ስለ|ወደ|እስከ|እነ){0,2}"}
FOLLOWED = {"stem": r"(?=\w)", "open": "(?!/)"}
# a full stop that ends the sentence as well: at the end of the text, or before another full stop
ENDS_TEXT = re.compile(r"[\"')\]»”’]*$|\.")
ENDS_SENTENCE = re.compile(r"[\"')\]»”’]*\s+[\"'(\[«“‘¿¡]*(\w)")


def write_out(text: str, language: str, users: Mapping[str, str]) -> str:
    """`text` with its abbreviations written out; a full stop that ends a sentence stays."""
    pattern, rows = _abbreviations(language, tuple(sorted(users.items())))
    if pattern is None:
        return text

    def long(match):
        row = rows[match["short"]]
        dot = row["short"].endswith(".") and _ends(text, match.end(), row["kind"])
        return match["prefix"] + row["long"] + "." * dot

    return pattern.sub(long, text)


def _ends(text, at, kind):
    if ENDS_TEXT.match(text, at):
        return True
    following = ENDS_SENTENCE.match(text, at) if kind == "last" else None
    return following is not None and following[1].isupper()


@cache
def _abbreviations(language, users):
    """A pattern that finds the abbreviations, and the row of each."""
    rows = {row["short"]: row for row in lists.rows(TABLE) if row["language"] == language}
    rows |= {short: {"short": short, "long": long, "kind": ""} for short, long in users}
    if not rows:
        return None, {}
    longest_first = sorted(rows, key=lambda short: (-len(short), short))
    whole = "|".join(
        re.escape(short) + FOLLOWED.get(rows[short]["kind"], r"(?!\w)") for short in longest_first
    )
    prefix = PREFIXES.get(language, "")
    return re.compile(rf"(?<![\w/])(?P<prefix>{prefix})(?P<short>{whole})"), rows
