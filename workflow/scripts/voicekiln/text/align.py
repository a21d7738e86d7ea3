"""Letter alignment of two texts: a reference and the hypothesis of the same speech.

Letters rather than words, so that it works for every script and for words that one side joins.
Substrings that occur exactly once in both texts serve as anchors (as in patience diff: the longest
chain of them that preserves the order). Between anchors the alignment is exact, with affine gap
costs (Gotoh 1982), so that a passage missing from one text costs little more than opening a gap.
"""

from bisect import bisect_left
from collections.abc import Iterator

import numpy as np

ANCHOR_LETTERS = (20, 10)  # long anchors first, then shorter ones between them
MAX_CELLS = 20_000_000  # of one exact alignment; larger blocks between anchors stay unaligned
MATCH, MISMATCH, OPEN, EXTEND = 20, -10, -20, -3
UNDER, LEFT = 1, 2  # traceback, if not diagonal: a gap in one text or the other
UNDER_EXTENDS, LEFT_EXTENDS = 4, 8  # the gap extends an open one


def align(reference: str, hypothesis: str) -> np.ndarray:
    """Index into `reference` of each letter of `hypothesis`, `[len(hypothesis)]` int64; -1: none.

    Indices increase strictly. Aligned letters may differ, so misheard words are aligned as well.
    """
    aligned = np.full(len(hypothesis), -1, np.int64)
    blocks = [(0, len(reference), 0, len(hypothesis))]
    for length in ANCHOR_LETTERS:
        blocks = [
            rest
            for block in blocks
            for rest in _anchor(reference, hypothesis, block, length, aligned)
        ]
    a, b = _codes(reference), _codes(hypothesis)
    for r0, r1, h0, h1 in blocks:
        if 0 < (r1 - r0) * (h1 - h0) <= MAX_CELLS:
            _fill(a, b, r0, r1, h0, h1, aligned)
    return aligned


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _anchor(reference, hypothesis, block, length, aligned) -> Iterator[tuple[int, int, int, int]]:
    """Record the anchors of this length within a block; yield the blocks between them."""
    r0, r1, h0, h1 = block
    here = _unique(reference, r0, r1, length)
    there = _unique(hypothesis, h0, h1, length)
    pairs = sorted((there[gram], at) for gram, at in here.items() if gram in there)
    r, h = r0, h0
    for at_hypothesis, at_reference in _longest_chain(pairs):
        skip = max(0, r - at_reference, h - at_hypothesis)  # letters taken by the previous anchor
        if skip >= length:
            continue
        if at_reference + skip > r or at_hypothesis + skip > h:
            yield r, at_reference + skip, h, at_hypothesis + skip
        r, h = at_reference + length, at_hypothesis + length
        aligned[at_hypothesis + skip : h] = np.arange(at_reference + skip, r)
    if r < r1 or h < h1:
        yield r, r1, h, h1


def _unique(text: str, start: int, end: int, length: int) -> dict[str, int]:
    """Positions of the substrings of this length that occur once in `text[start:end]`."""
    found: dict[str, int] = {}
    for i in range(start, end - length + 1):
        gram = text[i : i + length]
        found[gram] = -1 if gram in found else i
    return {gram: at for gram, at in found.items() if at >= 0}


def _longest_chain(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Longest increasing subsequence: `pairs` are sorted by first item, the result by both."""
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


def _fill(a, b, r0, r1, h0, h1, aligned) -> None:
    """Record the exact alignment of one block."""
    if r1 - r0 <= h1 - h0:
        for r, h in _pairs(a[r0:r1], b[h0:h1]):
            aligned[h0 + h] = r0 + r
    else:
        for h, r in _pairs(b[h0:h1], a[r0:r1]):
            aligned[h0 + h] = r0 + r


def _pairs(rows: np.ndarray, columns: np.ndarray) -> Iterator[tuple[int, int]]:
    """(row, column) of the aligned letters in the best alignment, last first."""
    n, m = len(rows), len(columns)
    steps = np.arange(m + 1, dtype=np.int64) * EXTEND
    best = np.where(steps, OPEN + steps, 0)  # the first row: a gap
    under = np.full(m + 1, np.iinfo(np.int32).min, np.int64)
    trace = np.zeros((n + 1, m + 1), np.uint8)
    trace[0, 1:] = LEFT | LEFT_EXTENDS
    for i in range(n):
        opened, longer = best + (OPEN + EXTEND), under + EXTEND
        under = np.maximum(opened, longer)
        diagonal = best[:-1] + np.where(columns == rows[i], MATCH, MISMATCH)
        whole = under.copy()
        whole[1:] = np.maximum(under[1:], diagonal)
        # a gap along the row may open at any earlier column: running maximum of these
        reach = np.maximum.accumulate(whole - steps)
        left = np.full(m + 1, np.iinfo(np.int32).min, np.int64)
        left[1:] = reach[:-1] + (OPEN + steps[1:])
        best = np.maximum(whole, left)
        row = trace[i + 1]
        row[1:][diagonal < best[1:]] = LEFT
        row[(under == best)] = UNDER
        row[1:][diagonal == best[1:]] = 0
        row[longer > opened] |= UNDER_EXTENDS
        row[1:][left[1:] > whole[:-1] + (OPEN + EXTEND)] |= LEFT_EXTENDS
    i, j = n, m
    state = trace[i, j] & 3
    while i and j:
        cell = trace[i, j]
        if state == UNDER:
            state = UNDER if cell & UNDER_EXTENDS else trace[i - 1, j] & 3
            i -= 1
        elif state == LEFT:
            state = LEFT if cell & LEFT_EXTENDS else trace[i, j - 1] & 3
            j -= 1
        else:
            i, j = i - 1, j - 1
            state = trace[i, j] & 3
            yield i, j
