"""DC offset, constant or changing within a recording.

A constant offset is subtracted exactly. An offset that drifts or jumps (two devices joined, a loose
contact) is removed by a high-pass below the voice.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

HIGH_PASS_HZ = 20.0
ORDER = 2
DIGITS = 7  # far below 16 bits, so that a library's last bit does not change every sample
# The high-pass leaves a click at each jump, which harms segmentation more than a small change: with
# offsets that differ by 6 % of the level it caused a false cut, and on a far-field recording with
# 20 % frame F1 fell from 0.69 to 0.63. From about a quarter of the level on, the change itself
# masks the pauses.
MAX_CHANGE = 0.25  # of the mean level within a second
MIN_CHANGE = 1e-4  # of full scale


@dataclass(frozen=True)
class Offset:
    """The offset of a mono recording, full scale 1.

    Attributes:
        mean: of the whole recording.
        first: of the first tenth of a second; initial value of the high-pass.
        change: largest deviation of a second's offset from the median.
        changes: whether the deviation is too large to be caused by the voice.
    """

    mean: float
    first: float
    change: float
    changes: bool

    @property
    def constant(self) -> float:
        """Constant subtracted from every sample, before any high-pass."""
        return self.first if self.changes else self.mean


NONE = Offset(0.0, 0.0, 0.0, False)


class OffsetMeter:
    """Measures the offset, from mean and power of every second."""

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._n, self._n_first = 0, max(1, rate_hz // 10)
        self._first = np.zeros(0)
        self._seconds: list[np.ndarray] = []  # count, sum, sum of squares

    def update(self, samples: np.ndarray) -> None:
        """Add `[n]` float32 samples."""
        first = -self._n % self._rate_hz  # up to the next whole second
        edges = [0, *range(first or self._rate_hz, len(samples), self._rate_hz), len(samples)]
        values = samples.astype(np.float64)
        self._first = np.concatenate([self._first, values[: self._n_first - len(self._first)]])
        for start, end in zip(edges, edges[1:], strict=False):
            part = values[start:end]
            self._add((self._n + start) // self._rate_hz, len(part), part.sum(), part @ part)
        self._n += len(samples)

    def _add(self, second, *sums):
        if second == len(self._seconds):
            self._seconds.append(np.zeros(3))
        self._seconds[second] += sums

    def offset(self) -> Offset:
        """Offset of all samples so far."""
        counts, sums, squares = np.array(self._seconds).T
        mean = round(float(sums.sum() / counts.sum()), DIGITS)
        if len(counts) > 1 and counts[-1] < self._rate_hz / 2:  # too short for a reliable mean
            counts, sums, squares = counts[:-1], sums[:-1], squares[:-1]
        means = sums / counts
        level = np.sqrt(np.maximum(squares / counts - means**2, 0).mean())
        change = float(np.abs(means - np.median(means)).max())
        changes = change > max(MIN_CHANGE, MAX_CHANGE * level)
        return Offset(mean, round(float(self._first.mean()), DIGITS), change, changes)


class HighPass:
    """Streaming high-pass for a recording that starts without offset."""

    def __init__(self, rate_hz: int):
        self._sections = signal.butter(ORDER, HIGH_PASS_HZ, "highpass", fs=rate_hz, output="sos")
        self._state = np.zeros((len(self._sections), 2))

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """Filter `[n]` float32 samples."""
        out, self._state = signal.sosfilt(self._sections, block.astype(np.float64), zi=self._state)
        return out.astype(np.float32)
