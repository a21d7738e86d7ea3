"""The likeliest CTC path of a token sequence through log-probabilities, by dynamic programming.

T frames, V tokens of the vocabulary, n tokens of the text, S = 2 n + 1 states: the text's tokens
with a blank before, between and after them (Graves et al. 2006, section 4.1). State 2 i + 1 is the
text's token i. A path begins in one of the first two states, ends in one of the last two, and from
one frame to the next stays, moves to the next state, or skips a blank between two different tokens.

Back pointers are kept for some frames at a time and computed again from stored scores for the
others, so that memory grows with the square root of T for long texts, not with T.
"""

from collections.abc import Sequence
from math import isqrt

import numpy as np

MAX_CELLS = 1 << 25  # bytes of back pointers that may be held at once


def least_frames(tokens: Sequence[int]) -> int:
    """Frames that the shortest path takes: equal neighbours need a blank between them."""
    return len(tokens) + sum(a == b for a, b in zip(tokens, tokens[1:], strict=False))


def best_path(
    log_probs: np.ndarray, tokens: Sequence[int], blank: int, max_cells: int = MAX_CELLS
) -> np.ndarray | None:
    """`[T] int64` state of each frame on the likeliest path; None if there is no path.

    Of equally likely paths the one that moves on later is taken.

    Args:
        log_probs: `[T, V]`.
        tokens: `[n]` columns of `log_probs`, without blanks.
        blank: column of the blank.
        max_cells: frames times states whose back pointers are held at once, if that is more frames
            than the square root of T.
    """
    n_frames, n_states = len(log_probs), 2 * len(tokens) + 1
    if n_frames < max(1, least_frames(tokens)):
        return None
    labels = np.full(n_states, blank)
    labels[1::2] = tokens
    skips = np.zeros(n_states, bool)
    skips[3::2] = labels[3::2] != labels[1:-2:2]
    step = _Step(log_probs, labels, skips)
    scores = np.full(n_states, -np.inf)
    scores[:2] = log_probs[0, labels[:2]]
    rows = max(isqrt(n_frames), max_cells // n_states)
    blocks = [(first, min(first + rows, n_frames)) for first in range(1, n_frames, rows)]
    entered = []
    for first, last in blocks:
        entered.append(scores)
        if last < n_frames:
            for frame in range(first, last):
                scores = step(scores, frame)
    path = np.zeros(n_frames, np.int64)
    came = np.zeros((min(rows, n_frames), n_states), np.uint8)
    state = None
    for (first, last), scores in zip(reversed(blocks), reversed(entered), strict=True):
        for frame in range(first, last):
            scores = step(scores, frame, came[frame - first])
        if state is None:
            state = _end(scores)
        for frame in range(last - 1, first - 1, -1):
            path[frame] = state
            state -= int(came[frame - first, state])
    if state is None:  # a single frame
        state = _end(scores)
    path[0] = state
    total = log_probs[np.arange(n_frames), labels[path]].sum()
    return path if np.isfinite(total) else None


def _end(scores: np.ndarray) -> int:
    """The likelier of the last two states."""
    last = len(scores) - 1
    return last - 1 if last and scores[last - 1] >= scores[last] else last


class _Step:
    """One frame of the recursion."""

    def __init__(self, log_probs: np.ndarray, labels: np.ndarray, skips: np.ndarray):
        self.log_probs, self.labels = log_probs, labels
        self.forbidden = np.where(skips, 0.0, -np.inf)

    def __call__(self, scores: np.ndarray, frame: int, came: np.ndarray | None = None):
        """Scores after a frame; `came` takes by how many states each best path moved."""
        best = scores.copy()
        moved = scores[:-1] > best[1:]
        np.copyto(best[1:], scores[:-1], where=moved)
        skipping = scores[:-2] + self.forbidden[2:]
        skipped = skipping > best[2:]
        np.copyto(best[2:], skipping, where=skipped)
        if came is not None:
            came[0] = 0
            came[1:] = moved
            came[2:][skipped] = 2
        return best + self.log_probs[frame, self.labels]
