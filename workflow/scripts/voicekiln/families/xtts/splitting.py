"""Cuts a text that is too long for the model into parts, at the ends of sentences if possible."""

import re
from collections.abc import Callable

# Where a text may be cut, best first: after the end of a sentence, after another mark, at a space,
# and in scripts without spaces, anywhere.
CUTS = (
    re.compile(r"(?<=[.!?…؟۔।።፧])\s+|(?<=[。！？])\s*"),
    re.compile(r"(?<=[,;:،؛፣፤፥—–])\s+|(?<=[，、；：])\s*"),
    re.compile(r"\s+"),
    re.compile(r"(?<=\S)(?=\S)"),
)


def parts(text: str, fits: Callable[[str], bool]) -> list[str]:
    """The text in parts that fit, as few as filling each in turn gives.

    A character that does not fit is a part of its own.
    """
    return _parts(text.strip(), fits, 0)


def _parts(text: str, fits: Callable[[str], bool], level: int) -> list[str]:
    if not text or fits(text) or level == len(CUTS):
        return [text] if text else []
    found: list[str] = []
    # the places, not the pieces: what is joined again has its own spaces
    starts = [0, *(cut.end() for cut in CUTS[level].finditer(text) if cut.end() < len(text))]
    begin = 0
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        if fits(text[begin:end].strip()):
            continue
        if start > begin:
            found.append(text[begin:start].strip())
        begin = start
        if not fits(text[start:end].strip()):
            found += _parts(text[start:end].strip(), fits, level + 1)
            begin = end
    rest = text[begin:].strip()
    return found + ([rest] if rest else [])
