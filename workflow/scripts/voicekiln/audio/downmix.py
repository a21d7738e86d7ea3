"""One channel out of several: their mean, or one of them where the mean loses what they hold.

Channels in opposite phase (a balanced line recorded as stereo, one cable soldered the wrong way)
cancel each other when they are mixed. S seconds, C channels.
"""

from dataclasses import dataclass

import numpy as np

FRAMES_PER_S = 10
ACTIVE_DB = 30.0  # a second counts if it is no further below the loudest
# of the power that the mix of unrelated channels has; in-phase channels have more
CANCELLED = 0.5
COVERED = 0.1  # a channel has lost what is louder in another by more than this, 10 dB
MAX_LOST = 0.05  # of the seconds that count; more is a fault of the recording
FLOOR_PERCENTILE, LOUD_PERCENTILE = 10, 95
SILENCE = 1e-8  # power, -80 dB: quieter is digital silence, which says nothing about a channel


@dataclass(frozen=True)
class Choice:
    """What is used of a recording with several channels.

    Attributes:
        channel: from 0; None for the mean of all.
        cancelled: fraction of the recording in which the mean loses what the channels hold.
        lost: the same for what is used.
    """

    channel: int | None
    cancelled: float
    lost: float


def fault(choice: Choice) -> str | None:
    """What the user should know about the channels of a recording, and do; None if nothing."""
    if choice.cancelled <= MAX_LOST:
        return None
    what = f"its channels cancel each other in {choice.cancelled:.0%} of its sound (opposite phase)"
    if choice.channel is None:
        return (
            f"{what}, and no channel contains all of it, so that part is lost in the mix; "
            "set `channels: separate`, or correct the recording"
        )
    return (
        f"{what}, so only channel {choice.channel} (from 0) is used; "
        "set `channels` to left, right or separate to choose yourself"
    )


def mean(block: np.ndarray) -> np.ndarray:
    """`[n]` mean of the channels of `[n, channels]` samples."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    return mono / block.shape[1] if block.shape[1] > 1 else mono


class ChannelMeter:
    """How loud each channel and the mean of all are, every tenth of a second."""

    def __init__(self, rate_hz: int, channels: int):
        self._frame = max(1, rate_hz // FRAMES_PER_S)
        self._pending = [np.zeros(0, np.float32)] * (channels + 1)
        self._powers: list[np.ndarray] = []

    def update(self, block: np.ndarray, mono: np.ndarray) -> None:
        """Add `[n, channels]` float32 samples and their `mean`."""
        powers = []
        for number, samples in enumerate([*block.T, mono]):  # one at a time, for the memory
            samples = np.concatenate([self._pending[number], samples])
            whole = len(samples) - len(samples) % self._frame
            # an offset is no sound
            powers.append(samples[:whole].reshape(-1, self._frame).var(axis=1))
            self._pending[number] = samples[whole:].copy()
        self._powers.append(np.stack(powers, axis=1))

    def choose(self) -> Choice:
        """The mean, unless a channel loses clearly less of the recording."""
        frames = np.concatenate(self._powers).astype(np.float64)
        if not len(frames):  # shorter than a tenth of a second
            return Choice(None, 0.0, 0.0)
        seconds = np.add.reduceat(frames, range(0, len(frames), FRAMES_PER_S)) / FRAMES_PER_S
        each, mixed = seconds[:, :-1], seconds[:, -1]  # [S, C], [S]
        loudest = each.max(axis=1)
        active = loudest > max(SILENCE, loudest.max() * 10 ** (-ACTIVE_DB / 10))
        if not active.any():
            return Choice(None, 0.0, 0.0)
        unrelated = each.sum(axis=1) / each.shape[1] ** 2
        cancelled = float((mixed < CANCELLED * unrelated)[active].mean())
        if cancelled <= MAX_LOST:
            return Choice(None, cancelled, cancelled)
        lost = (each < COVERED * loudest[:, None])[active].mean(axis=0)  # [C]
        least = lost.min()
        if least >= cancelled:
            return Choice(None, cancelled, cancelled)
        good = np.flatnonzero(lost <= least + MAX_LOST)
        best = max(good, key=lambda channel: _quality(frames[:, channel]))
        return Choice(int(best), cancelled, float(lost[best]))


def _quality(powers):
    """Whole dB between loud speech and noise floor, then the level: what tells channels apart."""
    low, high = np.percentile(powers, [FLOOR_PERCENTILE, LOUD_PERCENTILE])
    contrast_db = 10 * np.log10(max(high, SILENCE) / max(low, SILENCE))
    return round(contrast_db), round(10 * np.log10(max(high, SILENCE)))
