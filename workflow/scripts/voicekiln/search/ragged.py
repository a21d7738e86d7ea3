"""Array operations on ragged rows (rows of different lengths, end to end) and sorted keys."""

from collections.abc import Iterator

import numpy as np


def ranges(starts: np.ndarray, counts: np.ndarray, step: int = 1) -> np.ndarray:
    """Concatenated ranges: `counts[k]` values `starts[k], starts[k] + step, ...` for each k."""
    before = np.cumsum(counts) - counts
    return np.arange(0, step * counts.sum(), step) + np.repeat(starts - step * before, counts)


def portions(sizes: np.ndarray, limit: int) -> Iterator[slice]:
    """Consecutive slices of items with a total size of at most `limit`, but at least one item."""
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        reached = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, reached + limit, side="right")))
        yield slice(start, stop)
        start = stop


def sums(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sum of each row of `values`, `[len(counts)] int64`."""
    reached = np.append(0, np.cumsum(values, dtype=np.int64))
    ends = np.cumsum(counts)
    return reached[ends] - reached[ends - counts]


def distinct(keys: np.ndarray) -> np.ndarray:
    """Sorted distinct `keys`, in place (`np.unique` hashes, many times slower here)."""
    keys.sort()
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys
