"""Downmix to mono: the mean of the channels, or a single channel if the mean loses signal.

Channels in opposite phase (a balanced line recorded as stereo, a cable soldered the wrong way)
cancel each other in the mean. S seconds, C channels.
"""

from dataclasses import dataclass

import numpy as np

FRAMES_PER_S = 10
ACTIVE_DB = 30.0  # a second counts if within this of the loudest
# of the power in the mean of uncorrelated channels; in-phase channels have more
CANCELLED = 0.5
COVERED = 0.1  # a channel has lost a second that is more than 10 dB louder in another
MAX_LOST = 0.05  # of the seconds that count; more is a defect of the recording
FLOOR_PERCENTILE, LOUD_PERCENTILE = 10, 95
SILENCE = 1e-8  # power, -80 dB; below: digital silence, which is not evidence about a channel


@dataclass(frozen=True)
class ChannelChoice:
    """The channel used of a multi-channel recording.

    Attributes:
        channel: index from 0; None for the mean of all.
        cancelled: fraction of the recording in which channels cancel in the mean.
        lost: fraction of the recording lost in the channel that is used.
    """

    channel: int | None
    cancelled: float
    lost: float


def channel_warning(choice: ChannelChoice) -> str | None:
    """Warning about the channels of a recording, with the remedy; None if they are fine."""
    if choice.cancelled <= MAX_LOST:
        return None
    what = f"the channels cancel each other in {choice.cancelled:.0%} of the audio (opposite phase)"
    if choice.channel is None:
        return (
            f"{what}, and no single channel contains all of it, so that part is lost in the "
            "downmix; set `channels: separate`, or fix the recording"
        )
    return (
        f"{what}, so only channel {choice.channel} (counted from 0) is used; "
        "to choose another, set `channels` to left, right or separate"
    )


def mean(block: np.ndarray) -> np.ndarray:
    """Mean of `[n, channels]` samples over the channels, `[n]`."""
    mono = block[:, 0].copy()
    for channel in range(1, block.shape[1]):
        mono += block[:, channel]
    return mono / block.shape[1] if block.shape[1] > 1 else mono


class ChannelMeter:
    """Power of each channel and of their mean, every tenth of a second."""

    def __init__(self, rate_hz: int, channels: int):
        self._frame = max(1, rate_hz // FRAMES_PER_S)
        self._pending = [np.zeros(0, np.float32)] * (channels + 1)
        self._powers: list[np.ndarray] = []

    def update(self, block: np.ndarray, mono: np.ndarray) -> None:
        """Add `[n, channels]` float32 samples and their `mean`."""
        powers = []
        for number, samples in enumerate([*block.T, mono]):  # one at a time, to save memory
            samples = np.concatenate([self._pending[number], samples])
            whole = len(samples) - len(samples) % self._frame
            # variance: ignores a DC offset
            powers.append(samples[:whole].reshape(-1, self._frame).var(axis=1))
            self._pending[number] = samples[whole:].copy()
        self._powers.append(np.stack(powers, axis=1))

    def choose(self) -> ChannelChoice:
        """The mean, unless a single channel loses clearly less of the recording."""
        frames = np.concatenate(self._powers).astype(np.float64)
        if not len(frames):  # shorter than a tenth of a second
            return ChannelChoice(None, 0.0, 0.0)
        seconds = np.add.reduceat(frames, range(0, len(frames), FRAMES_PER_S)) / FRAMES_PER_S
        each, mixed = seconds[:, :-1], seconds[:, -1]  # [S, C], [S]
        loudest = each.max(axis=1)
        active = loudest > max(SILENCE, loudest.max() * 10 ** (-ACTIVE_DB / 10))
        if not active.any():
            return ChannelChoice(None, 0.0, 0.0)
        unrelated = each.sum(axis=1) / each.shape[1] ** 2
        cancelled = float((mixed < CANCELLED * unrelated)[active].mean())
        if cancelled <= MAX_LOST:
            return ChannelChoice(None, cancelled, cancelled)
        lost = (each < COVERED * loudest[:, None])[active].mean(axis=0)  # [C]
        least = lost.min()
        if least >= cancelled:
            return ChannelChoice(None, cancelled, cancelled)
        good = np.flatnonzero(lost <= least + MAX_LOST)
        best = max(good, key=lambda channel: _quality(frames[:, channel]))
        return ChannelChoice(int(best), cancelled, float(lost[best]))


def _quality(powers):
    """Sort key of a channel: contrast between loud speech and noise floor, then level, in dB."""
    low, high = np.percentile(powers, [FLOOR_PERCENTILE, LOUD_PERCENTILE])
    contrast_db = 10 * np.log10(max(high, SILENCE) / max(low, SILENCE))
    return round(contrast_db), round(10 * np.log10(max(high, SILENCE)))
