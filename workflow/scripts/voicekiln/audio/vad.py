"""Where there is speech: webrtcvad, kept honest by the level above the recording's own noise.

webrtcvad knows the sound of speech but holds on for some 100 ms after it, and takes breath, hum and
room tone for speech. The energy check knows nothing of speech but sees to 10 ms where sound starts
and ends. A frame is speech where both say so.
"""

import numpy as np
import webrtcvad
from scipy import ndimage

FRAMES_PER_S = 100  # all decisions are handed on in frames of 10 ms
SILENCE_DB = -120.0  # stands for digital silence
NOISE_REACH_S = 15  # the noise floor follows changes of the room on this scale, each way
NOISE_PERCENTILE, SPEECH_PERCENTILE = 10, 90  # of the frames of each second
MAX_RANGE_DB = 60.0  # between the speech and a floor that is believed (noise gates go lower)
MIN_MARGIN_DB = 6.0  # noise itself swings this far above its floor


class WebRtcVad:
    """Speech flags of a 16 kHz signal that arrives in blocks of any size."""

    rate_hz = 16_000
    reach_frames = 0  # that its flags may be late at both ends

    def __init__(self, aggressiveness: int, frame_ms: int):
        """
        Args:
            aggressiveness: 0 (takes much for speech) to 3 (takes little).
            frame_ms: 10, 20 or 30, the length of one decision.
        """
        self._vad = webrtcvad.Vad(aggressiveness)
        self._frame_bytes = 2 * self.rate_hz * frame_ms // 1000
        self._repeat = frame_ms * FRAMES_PER_S // 1000
        self._pending = b""

    def update(self, samples: np.ndarray) -> np.ndarray:
        """Flags of the 10 ms frames that `[n]` int16 samples complete, bool."""
        pending = self._pending + samples.astype("<i2").tobytes()
        size = self._frame_bytes
        is_speech, rate_hz = self._vad.is_speech, self.rate_hz
        ends = range(size, len(pending) + 1, size)
        flags = [is_speech(pending[end - size : end], rate_hz) for end in ends]
        self._pending = pending[len(flags) * size :]
        return np.repeat(np.array(flags, dtype=bool), self._repeat)

    def finish(self) -> np.ndarray:
        """Flags of the last, incomplete frame; silence follows it."""
        n_missing = -len(self._pending) % self._frame_bytes // 2
        return self.update(np.zeros(n_missing, np.int16))


def levels_db(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """`[n_frames]` float32 level of each 10 ms frame, dB re full scale; the last may be shorter.

    Args:
        samples: `[n]` int16 that start at a whole second, so that frames of blocks line up where
            a hundredth of the rate is no whole number.
    """
    n_frames = -(-len(samples) * FRAMES_PER_S // rate_hz)
    starts = np.arange(n_frames) * rate_hz // FRAMES_PER_S
    # squares of int16 and their sums are whole numbers: exact in float64, on any machine
    energy = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    power = energy / np.diff(starts, append=len(samples)) / 32768.0**2
    return (10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10)))).astype(np.float32)


def threshold_db(levels: np.ndarray, energy_share: float) -> np.ndarray:
    """`[n_frames]` level that speech exceeds, dB re full scale, following noise and voice.

    Args:
        levels: `[n_frames]` dB re full scale.
        energy_share: where between the noise floor (0) and the level of loud speech (1).
    """
    seconds = np.pad(levels, (0, -len(levels) % FRAMES_PER_S), mode="edge")
    low, high = np.percentile(
        seconds.reshape(-1, FRAMES_PER_S), [NOISE_PERCENTILE, SPEECH_PERCENTILE], axis=1
    )
    size = 2 * NOISE_REACH_S + 1
    speech = ndimage.maximum_filter1d(high, size, mode="nearest")
    noise = np.maximum(ndimage.minimum_filter1d(low, size, mode="nearest"), speech - MAX_RANGE_DB)
    threshold = noise + np.maximum(energy_share * (speech - noise), MIN_MARGIN_DB)
    return np.repeat(threshold, FRAMES_PER_S)[: len(levels)]


def runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(start, end) of each run of True, end exclusive."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def speech_regions(
    flags: np.ndarray, min_pause_frames: int, min_sound_frames: int
) -> list[tuple[int, int]]:
    """Runs of speech after pauses too short to be one are filled and, then, sounds too short to be
    one are dropped: the burst of a plosive is short, but joined to what follows it."""
    regions = []
    for start, end in runs(flags):
        if regions and start - regions[-1][1] < min_pause_frames:
            regions[-1] = (regions[-1][0], end)
        else:
            regions.append((start, end))
    return [(start, end) for start, end in regions if end - start >= min_sound_frames]
