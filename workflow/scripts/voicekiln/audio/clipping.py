"""Detect clipping: flat tops at the extreme value of a recording.

A level threshold would flag clean loud speech and miss audio that was attenuated after clipping. A
clipped crest stays at the extreme for several samples and leaves it in a jump; a clean crest may
stay as long, but leaves it by single quantisation steps.
"""

import numpy as np

FRAMES_PER_S = 100
MIN_RUN_SAMPLES = 3
MIN_LEVEL = 10 ** (-30 / 20)  # flat tops of a whisper are rounding, not clipping
JUMP_STEPS = (
    4  # quantisation steps; a clean crest that is flat for 3 samples leaves in smaller steps
)


class ClippingDetector:
    """Clipped 10 ms frames of a recording that arrives in blocks."""

    def __init__(self, rate_hz: int, channels: int, resolution: float):
        """
        Args:
            resolution: one quantisation step of the source, full scale 1.
        """
        self._rate_hz = rate_hz
        self._n_samples = 0
        self._flat_tops = [
            (channel, sign, _FlatTops(resolution))
            for channel in range(channels)
            for sign in (1, -1)
        ]

    def update(self, block: np.ndarray) -> None:
        """Add `[n, channels]` samples."""
        if len(block) == 0:
            return
        for channel, sign, flat_tops in self._flat_tops:
            flat_tops.update(block[:, channel], sign, self._n_samples)
        self._n_samples += len(block)

    def runs(self) -> list[list[int]]:
        """Sorted, disjoint [first, n] runs of frames with clipped samples in any channel."""
        frames = set()
        for _, _, flat_tops in self._flat_tops:
            for start, end in flat_tops.found:
                first = start * FRAMES_PER_S // self._rate_hz
                frames.update(range(first, (end - 1) * FRAMES_PER_S // self._rate_hz + 1))
        runs = []
        for frame in sorted(frames):
            if runs and sum(runs[-1]) == frame:
                runs[-1][1] += 1
            else:
                runs.append([frame, 1])
        return runs


class _FlatTops:
    """Flat tops of one channel and sign at the highest level seen so far."""

    def __init__(self, resolution):
        self._tolerance = resolution / 2
        self._jump = JUMP_STEPS * resolution
        self._level = MIN_LEVEL
        self._previous = 0.0  # last sample of the previous block
        self._open = None  # (start, jump into it) of a flat top that reaches the end of the block
        self.found = []  # (start, end) in samples

    def update(self, samples, sign, start):
        """Add `samples * sign`; `start` is the position of the first sample."""
        top = float(samples.max()) if sign > 0 else -float(samples.min())
        if top > self._level + self._tolerance:
            self._level = top
            self._open = None
            self.found = []
        floor = self._level - self._tolerance
        if self._open is None and top < floor:
            self._previous = sign * float(samples[-1])
            return
        heights = np.concatenate([[self._previous], sign * samples])  # one sample earlier
        flat = heights >= floor
        changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
        for change in changes.tolist():
            position = start + change - 1
            if flat[change]:
                self._open = (position, self._level - float(heights[change - 1]))
            elif self._open is not None:
                self._close(position, self._level - float(heights[change]))
        self._previous = float(heights[-1])

    def _close(self, end, jump_out):
        start, jump_in = self._open
        self._open = None
        if end - start >= MIN_RUN_SAMPLES and min(jump_in, jump_out) > self._jump:
            self.found.append((start, end))
