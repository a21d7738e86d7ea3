"""Voice activity detection: webrtcvad combined with the level above the recording's noise.

webrtcvad recognises speech, but stays on for about 100 ms after it and accepts breath, hum and room
tone. The energy check does not recognise speech, but locates the start and end of sound to 10 ms.
A frame counts as speech if both agree.
"""

import numpy as np
import webrtcvad
from scipy import ndimage

FRAMES_PER_S = 100  # all decisions are per 10 ms frame
SILENCE_DB = -120.0  # level of digital silence
NOISE_REACH_S = 15  # on each side: how fast the noise floor follows the room
NOISE_PERCENTILE, SPEECH_PERCENTILE = 10, 90  # of the frames of each second
MAX_RANGE_DB = 60.0  # between speech and noise floor; lower floors are noise gates
MIN_MARGIN_DB = 6.0  # fluctuation of noise above its floor
VOWEL_RANGE_DB = 28.0  # vowels are within this of the loud speech ...
MIN_VOWEL_FRAMES = 6  # ... for longer than a click
LEAD_FRAMES = 15  # of consonants before the first vowel; earlier sound is breath or a click
TRAIL_FRAMES = 20  # a final consonant is released after a shorter pause


class WebRtcVad:
    """Speech flags of a 16 kHz signal that arrives in blocks of any size."""

    rate_hz = 16_000
    reach_frames = 0  # frames by which its flags may lag at both ends

    def __init__(self, aggressiveness: int, frame_ms: int):
        """
        Args:
            aggressiveness: 0 (most permissive) to 3 (strictest).
            frame_ms: 10, 20 or 30, length of one decision.
        """
        self._vad = webrtcvad.Vad(aggressiveness)
        self._frame_bytes = 2 * self.rate_hz * frame_ms // 1000
        self._repeat = frame_ms * FRAMES_PER_S // 1000
        self._pending = b""

    def update(self, samples: np.ndarray) -> np.ndarray:
        """Flags of the 10 ms frames completed by `[n]` int16 samples, bool."""
        pending = self._pending + samples.astype("<i2").tobytes()
        size = self._frame_bytes
        is_speech, rate_hz = self._vad.is_speech, self.rate_hz
        ends = range(size, len(pending) + 1, size)
        flags = [is_speech(pending[end - size : end], rate_hz) for end in ends]
        self._pending = pending[len(flags) * size :]
        return np.repeat(np.array(flags, dtype=bool), self._repeat)

    def finish(self) -> np.ndarray:
        """Flags of the last frame, padded with silence."""
        n_missing = -len(self._pending) % self._frame_bytes // 2
        return self.update(np.zeros(n_missing, np.int16))


def levels_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Level of each 10 ms frame, dBFS, `[n_frames]` float32; the last frame may be shorter.

    Args:
        samples: `[n]` int16 that start at a whole second, so that frames of blocks align if
            rate / 100 is not an integer.
    """
    n_frames = -(-len(samples) * FRAMES_PER_S // rate_hz)
    starts = np.arange(n_frames) * rate_hz // FRAMES_PER_S
    # squares of int16 and their sums are integers: exact in float64, on any machine
    energy = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    power = energy / np.diff(starts, append=len(samples)) / 32768.0**2
    return (10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))).astype(np.float32)


def threshold_db(levels: np.ndarray, energy_share: float) -> np.ndarray:
    """Speech threshold per frame, dBFS, `[n_frames]`, following noise and voice level.

    Args:
        levels: `[n_frames]` dB re full scale.
        energy_share: position between the noise floor (0) and the level of loud speech (1).
    """
    speech = loud_db(levels)
    low = _each_second(levels, NOISE_PERCENTILE)
    low = ndimage.minimum_filter1d(low, 2 * NOISE_REACH_S + 1, mode="nearest")
    noise = np.maximum(np.repeat(low, FRAMES_PER_S)[: len(levels)], speech - MAX_RANGE_DB)
    return noise + np.maximum(energy_share * (speech - noise), MIN_MARGIN_DB)


def loud_db(levels: np.ndarray) -> np.ndarray:
    """Level of the loud speech around each frame, dBFS, `[n_frames]`."""
    high = _each_second(levels, SPEECH_PERCENTILE)
    high = ndimage.maximum_filter1d(high, 2 * NOISE_REACH_S + 1, mode="nearest")
    return np.repeat(high, FRAMES_PER_S)[: len(levels)]


def _each_second(levels, percentile):
    seconds = np.pad(levels, (0, -len(levels) % FRAMES_PER_S), mode="edge")
    return np.percentile(seconds.reshape(-1, FRAMES_PER_S), percentile, axis=1)


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, end) of each run of True, end exclusive."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def speech_regions(
    flags: np.ndarray, min_pause_frames: int, min_sound_frames: int
) -> list[tuple[int, int]]:
    """Runs of speech, after filling short pauses and then dropping short sounds.

    In this order, as the burst of a plosive is short but joins the following speech.
    """
    regions = []
    for start, end in runs(flags):
        if regions and start - regions[-1][1] < min_pause_frames:
            regions[-1] = (regions[-1][0], end)
        else:
            regions.append((start, end))
    return [(start, end) for start, end in regions if end - start >= min_sound_frames]


def with_vowels(regions: list[tuple[int, int]], levels: np.ndarray) -> list[tuple[int, int]]:
    """`regions` without leading breath and clicks: speech starts at most LEAD_FRAMES before a
    vowel, and continues over pauses shorter than TRAIL_FRAMES.

    Args:
        levels: `[n_frames]` dB re full scale.
    """
    loud = runs(levels > loud_db(levels) - VOWEL_RANGE_DB)
    vowels = np.array([run for run in loud if run[1] - run[0] >= MIN_VOWEL_FRAMES]).reshape(-1, 2)
    spoken: list[tuple[int, int]] = []
    for start, end in regions:
        if not spoken or start - spoken[-1][1] >= TRAIL_FRAMES:
            ahead = vowels[np.searchsorted(vowels[:, 1], start, side="right") :]
            start = max(start, int(ahead[0, 0]) - LEAD_FRAMES) if len(ahead) else end
        if start < end:
            spoken.append((start, end))
    return spoken
