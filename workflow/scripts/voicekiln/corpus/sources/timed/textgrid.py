"""Praat's TextGrid, long and short, as in its manual ("TextGrid file formats").

A TextGrid is a list of values; the names that the long format adds are redundant.
"""

import re
from pathlib import Path

from voicekiln.corpus.sources.timed.tiers import Tier
from voicekiln.corpus.sources.timed.utterance import MOST, Found, Utterance
from voicekiln.errors import UserError

# strings, numbers, the flag <exists>; names and signs are skipped
TOKEN = re.compile(
    r'"((?:[^"]|"")*)"|(?<![\w"])([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)(?![\w"\]:])|(<(?:exists|absent)>)'
)


def read(path: Path, text: str) -> tuple[list[Tier], list[str]]:
    """The tiers of intervals, and the names of all tiers.

    Raises:
        UserError: with file, line and what was expected there.
    """
    head = text[:300]
    if "ooTextFile" not in head or "TextGrid" not in head:
        raise UserError(
            f'{path}, line 1: expected `File type = "ooTextFile"` and a TextGrid; in Praat, use '
            "Save as text file"
        )
    values = _Values(path, text)
    for _ in ("ooTextFile", "TextGrid"):
        values.text()
    values.number(), values.number()
    tiers, names, n = [], [], 0
    for _ in range(values.count()):
        kind, name = values.text(), values.text()
        names.append(" ".join(name.split()))
        values.number(), values.number()
        found = Found()
        for _ in range(values.count()):
            times = [values.number()]
            if kind == "IntervalTier":
                times.append(values.number())
                found.add(Utterance(values.line, *times, values.text()))
            else:
                values.text()
        n += len(found.utterances)
        if n > MOST:
            raise UserError(f"{path}: more than {MOST} intervals")
        if kind == "IntervalTier":
            tiers.append(Tier(names[-1], found))
    return tiers, names


class _Values:
    """Iterator over the values of a TextGrid."""

    def __init__(self, path, text):
        self.path, self.all, self.line, self.at = path, text, 1, 0
        self.matches = (match for match in TOKEN.finditer(text) if match[3] is None)

    def _next(self, kind, what):
        match = next(self.matches, None)
        begins = len(self.all.rstrip()) if match is None else match.start()
        self.line += self.all.count("\n", self.at, begins)
        self.at = begins
        if match is None or match[kind] is None:
            found = "the end of the file" if match is None else repr(match[0][:60])
            raise UserError(f"{self.path}, line {self.line}: expected {what}, found {found}")
        return match[kind]

    def number(self) -> float:
        return float(self._next(2, "a number"))

    def count(self) -> int:
        """The number of tiers or intervals that follow."""
        n = self.number()
        if not (0 <= n <= MOST and n == int(n)):
            raise UserError(
                f"{self.path}, line {self.line}: expected the number of items that follow, up to "
                f"{MOST}, found {n:g}"
            )
        return int(n)

    def text(self) -> str:
        return self._next(1, "a text in quotes").replace('""', '"')
