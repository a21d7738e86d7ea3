"""Two texts held side by side, letter by letter: the written page and what was heard of it.

Letters rather than words, so that it works for every script and for words that one of the two runs
together. Rare stretches that both texts hold exactly once are anchors (as in patience diff: of all
of them the longest chain that keeps the order); between them stands an exact alignment with affine
gaps (Gotoh 1982), in which a passage that one text lacks costs little more than its opening.
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

ANCHOR_LETTERS = (20, 10)  # first long ones, then shorter ones between them
MAX_CELLS = 20_000_000  # of one exact alignment; a larger gap between anchors is left open
MATCH, MISMATCH, OPEN, EXTEND = 20, -10, -20, -3
UNDER, LEFT = 1, 2  # where a cell came from besides the diagonal: a gap in one text or the other
UNDER_ON, LEFT_ON = 4, 8  # that gap was open before


def align(known: str, heard: str) -> np.ndarray:
    """`[len(heard)]` int64: which letter of `known` each letter of `heard` stands for, -1 for none.

    It rises strictly. Letters that face each other need not be equal: misheard words have a place.
    """
    places = np.full(len(heard), -1, np.int64)
    blocks = [(0, len(known), 0, len(heard))]
    for length in ANCHOR_LETTERS:
        blocks = [rest for block in blocks for rest in _anchor(known, heard, block, length, places)]
    a, b = _codes(known), _codes(heard)
    for k0, k1, h0, h1 in blocks:
        if 0 < (k1 - k0) * (h1 - h0) <= MAX_CELLS:
            _fill(a, b, k0, k1, h0, h1, places)
    return places


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _anchor(known, heard, block, length, places) -> Iterator[tuple[int, int, int, int]]:
    """Note the anchors of this length within a block; what lies between them."""
    k0, k1, h0, h1 = block
    here = _unique(known, k0, k1, length)
    there = _unique(heard, h0, h1, length)
    pairs = sorted((there[gram], at) for gram, at in here.items() if gram in there)
    k, h = k0, h0
    for at_heard, at_known in _longest_chain(pairs):
        skip = max(0, k - at_known, h - at_heard)  # letters that the anchor before has taken
        if skip >= length:
            continue
        if at_known + skip > k or at_heard + skip > h:
            yield k, at_known + skip, h, at_heard + skip
        k, h = at_known + length, at_heard + length
        places[at_heard + skip : h] = np.arange(at_known + skip, k)
    if k < k1 or h < h1:
        yield k, k1, h, h1


def _unique(text: str, start: int, end: int, length: int) -> dict[str, int]:
    """Positions of the stretches of this length that occur once in a part of a text."""
    found: dict[str, int] = {}
    for i in range(start, end - length + 1):
        gram = text[i : i + length]
        found[gram] = -1 if gram in found else i
    return {gram: at for gram, at in found.items() if at >= 0}


def _longest_chain(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The most of `pairs`, sorted by their first, that rise in their second too."""
    tops, last, before = [], [], []
    for n, (_, value) in enumerate(pairs):
        i = bisect_left(tops, value)
        tops[i : i + 1] = [value]
        last[i : i + 1] = [n]
        before.append(last[i - 1] if i else None)
    chain, n = [], last[-1] if last else None
    while n is not None:
        chain.append(pairs[n])
        n = before[n]
    return chain[::-1]


def _fill(a, b, k0, k1, h0, h1, places) -> None:
    """Note the exact alignment of one block."""
    if k1 - k0 <= h1 - h0:
        for k, h in _pairs(a[k0:k1], b[h0:h1]):
            places[h0 + h] = k0 + k
    else:
        for h, k in _pairs(b[h0:h1], a[k0:k1]):
            places[h0 + h] = k0 + k


def _pairs(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[int, int]]:
    """(row, column) of the letters that face each other in the best alignment, last first."""
    n, m = len(rows), len(columns)
    steps = np.arange(m + 1, dtype=np.int64) * EXTEND
    best = np.where(steps, OPEN + steps, 0)  # the first row: a gap
    under = np.full(m + 1, np.iinfo(np.int32).min, np.int64)
    came = np.zeros((n + 1, m + 1), np.uint8)
    came[0, 1:] = LEFT | LEFT_ON
    for i in range(n):
        opened, longer = best + (OPEN + EXTEND), under + EXTEND
        under = np.maximum(opened, longer)
        facing = best[:-1] + np.where(columns == rows[i], MATCH, MISMATCH)
        whole = under.copy()
        whole[1:] = np.maximum(under[1:], facing)
        # a gap along the row may open at any column before: the best of these, in one sweep
        reach = np.maximum.accumulate(whole - steps)
        left = np.full(m + 1, np.iinfo(np.int32).min, np.int64)
        left[1:] = reach[:-1] + (OPEN + steps[1:])
        best = np.maximum(whole, left)
        row = came[i + 1]
        row[1:][facing < best[1:]] = LEFT
        row[(under == best)] = UNDER
        row[1:][facing == best[1:]] = 0
        row[longer > opened] |= UNDER_ON
        row[1:][left[1:] > whole[:-1] + (OPEN + EXTEND)] |= LEFT_ON
    i, j = n, m
    state = came[i, j] & 3
    while i and j:
        cell = came[i, j]
        if state == UNDER:
            state = UNDER if cell & UNDER_ON else came[i - 1, j] & 3
            i -= 1
        elif state == LEFT:
            state = LEFT if cell & LEFT_ON else came[i, j - 1] & 3
            j -= 1
        else:
            i, j = i - 1, j - 1
            state = came[i, j] & 3
            yield i, j
