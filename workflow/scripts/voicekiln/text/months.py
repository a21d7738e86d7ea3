"""Month names, in the form used in dates."""

from functools import cache
from pathlib import Path

from voicekiln.text import lists
from voicekiln.text.clean import clean

TABLE = Path(__file__).with_name("months.tsv")


@cache
def names(language: str) -> tuple[str, ...]:
    """Month names in order; empty if the language is not listed.

    Amharic: the thirteen months of the Ethiopian calendar. Persian: the solar calendar, followed by
    the Gregorian months.
    """
    found = [row["names"] for row in lists.rows(TABLE) if row["language"] == language]
    return tuple(clean(found[0]).split()) if found else ()
