"""Expand abbreviations: built-in ones by language (abbreviations.tsv) and the user's own.

Kinds in the table: `last` may also end a sentence, `stem` requires a suffix, `open` allows one.
Sources for Amharic: the tokenizer exceptions of spaCy (explosion/spaCy, lang/am), the W3C's notes
on Ethiopic abbreviations (w3c/elreq), and the list shipped with isrish/Amharic-Text-Processor;
ambiguous entries (ሚ/ር) are omitted.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from voicekiln.text import lists

TABLE = Path(__file__).with_name("abbreviations.tsv")
# Amharic prepositions are written as prefixes of the next word
PREFIXES = {"am": "(?:[የበለከ]|እንደ|ስለ|ወደ|እስከ|እነ){0,2}"}
FOLLOWED = {"stem": r"(?=\w)", "open": "(?!/)"}
# the full stop also ends the sentence: at the end of the text, or before another full stop
ENDS_TEXT = re.compile(r"[\"')\]»”’]*$|\.")
ENDS_SENTENCE = re.compile(r"[\"')\]»”’]*\s+[\"'(\[«“‘¿¡]*(\w)")


def write_out(text: str, language: str, user_abbreviations: Mapping[str, str]) -> str:
    """`text` with its abbreviations expanded; a full stop that also ends a sentence is kept."""
    pattern, rows = _abbreviations(language, tuple(sorted(user_abbreviations.items())))
    if pattern is None:
        return text

    def expansion(match):
        row = rows[match["short"]]
        dot = row["short"].endswith(".") and _ends_sentence(text, match.end(), row["kind"])
        return match["prefix"] + row["long"] + "." * dot

    return pattern.sub(expansion, text)


def _ends_sentence(text, at, kind):
    if ENDS_TEXT.match(text, at):
        return True
    following = ENDS_SENTENCE.match(text, at) if kind == "last" else None
    return following is not None and following[1].isupper()


@cache
def _abbreviations(language, user_abbreviations):
    """Pattern that matches the abbreviations, and the table row of each."""
    rows = {row["short"]: row for row in lists.rows(TABLE) if row["language"] == language}
    for short, expansion in user_abbreviations:
        rows[short] = {"short": short, "long": expansion, "kind": ""}
    if not rows:
        return None, {}
    longest_first = sorted(rows, key=lambda short: (-len(short), short))
    whole = "|".join(
        re.escape(short) + FOLLOWED.get(rows[short]["kind"], r"(?!\w)") for short in longest_first
    )
    prefix = PREFIXES.get(language, "")
    return re.compile(rf"(?<![\w/])(?P<prefix>{prefix})(?P<short>{whole})"), rows
