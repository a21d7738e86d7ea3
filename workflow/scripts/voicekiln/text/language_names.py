"""Suggest the code of a language given by name, for error messages."""

import difflib
from functools import cache
from pathlib import Path

from voicekiln.text import lists

TABLE = Path(__file__).with_name("language_names.tsv")


def code_named(name: str) -> str | None:
    """Code of `Amharic`, `deutsch` or the misspelt `amharc`; None if no name is close."""
    names = _names()
    close = difflib.get_close_matches(name.strip().casefold()[:40], names, 1, 0.8)
    return names[close[0]] if close else None


@cache
def _names():
    return {row["name"]: row["language"] for row in lists.rows(TABLE)}
