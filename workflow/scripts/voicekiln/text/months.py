"""The names of months as dates are read in a language."""

from functools import cache
from pathlib import Path

from voicekiln.text import lists
from voicekiln.text.clean import clean

TABLE = Path(__file__).with_name("months.tsv")


@cache
def names(language: str) -> tuple[str, ...]:
    """The names in order; none if the language is not listed.

    Amharic ones are the thirteen of the Ethiopian calendar, Persian ones those of the solar
    calendar and then the others.
    """
    found = [row["names"] for row in lists.rows(TABLE) if row["language"] == language]
    return tuple(clean(found[0]).split()) if found else ()
