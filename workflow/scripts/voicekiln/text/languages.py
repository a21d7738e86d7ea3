"""Language codes, reduced to the two-letter codes of Whisper and of the tables in this package.

languages.tsv lists each language with its ISO 639-3 code and other codes in use: bibliographic
ISO 639-2 codes, members of a macrolanguage, withdrawn codes.
"""

import re
from functools import cache
from pathlib import Path

from voicekiln.text import lists

TABLE = Path(__file__).with_name("languages.tsv")
CODE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")  # with a region or script: en-US


def short_code(code: str) -> str:
    """Code used in the tables: `de` for `deu`, `ger`, `DE` and `de-AT`.

    An unlisted language keeps its own code, in lower case and without the region.
    """
    language = re.split("[-_]", code.strip())[0].lower()
    return _codes().get(language, language)


def is_listed(code: str) -> bool:
    """Whether languages.tsv lists a code returned by `short_code`."""
    return code in _languages()


def column(name: str) -> dict[str, str]:
    """Column `name` of languages.tsv, by language."""
    return {row["language"]: row[name] for row in lists.rows(TABLE)}


@cache
def _languages():
    return frozenset(row["language"] for row in lists.rows(TABLE))


@cache
def _codes():
    codes = {}
    for row in lists.rows(TABLE):
        for code in (row["iso639_3"], *row["other_codes"].split()):
            codes.setdefault(code, row["language"])
    return codes
