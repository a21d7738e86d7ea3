"""Robust statistics of a series of logged values: level, noise, spikes, growth."""

import math
import statistics
from collections.abc import Sequence

MAD_TO_SIGMA = 1.4826  # median absolute deviation -> standard deviation of a normal distribution
MIN_FALL = 0.01  # memory that falls by a smaller fraction has not fallen


def noise(values: Sequence[float]) -> float:
    """Standard deviation around a slow trend, as a fraction of the level."""
    steps = [abs(b - a) for a, b in zip(values, values[1:], strict=False)]
    level = abs(statistics.median(values))
    return statistics.median(steps) * MAD_TO_SIGMA / math.sqrt(2) / level if level else 0.0


def spike(before: Sequence[float], value: float, deviations: float, fraction: float) -> bool:
    """Whether a value is above the previous ones by this many deviations and by this fraction."""
    level = statistics.median(before)
    spread = MAD_TO_SIGMA * statistics.median(abs(v - level) for v in before)
    return value > level + max(deviations * spread, fraction * abs(level))


def change(values: Sequence[float]) -> tuple[float, float, float, float]:
    """First and last third of a series.

    Returns:
        mean of the first third, mean of the last, change between them as a fraction of the first,
        and the standard error of that change.
    """
    n = len(values) // 3
    early, late = values[:n], values[-n:]
    first, last = statistics.fmean(early), statistics.fmean(late)
    error = math.sqrt((statistics.variance(early) + statistics.variance(late)) / n)
    return first, last, (last - first) / abs(first), error / abs(first)


def creep(values: Sequence[float], least: float, fraction: float, windows: Sequence[int]) -> int:
    """Length of the newest window over which memory grew steadily; 0 if there is none.

    Memory that settles grows at the start of a window and then stays; a leak grows in each third of
    it and never falls.

    Args:
        values: oldest first.
        least: minimum growth.
        fraction: likewise, of the first value; the larger of the two counts.
        windows: lengths to check.
    """
    for n in windows:
        window = values[-n:]
        if len(window) < n or window[-1] - window[0] < max(least, fraction * window[0]):
            continue
        thirds = [window[0], window[n // 3], window[2 * n // 3], window[-1]]
        steady = [
            b - a >= (window[-1] - window[0]) / 6 for a, b in zip(thirds, thirds[1:], strict=False)
        ]
        highest = window[0]
        for value in window:
            highest = max(highest, value)
            if value < highest * (1 - MIN_FALL):
                break
        else:
            if all(steady):
                return n
    return 0
