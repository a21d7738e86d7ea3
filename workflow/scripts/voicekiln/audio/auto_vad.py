"""Choose the speech detector for a recording: webrtcvad if it is clean, silero if it is noisy.

In clean recordings webrtcvad with the level check locates edges more precisely than the network, at
a third of its cost. It mistakes steady noise, hum and music for speech, and misses quiet speech on
the telephone; the network does not. The choice is made once per recording, on its first half hour.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from voicekiln.audio import measures, silero, vad

ANALYSED_S = 1800  # in memory at 16 kHz: 58 MB
BLOCK_S = 10  # an integer, see vad.levels_db
MIN_SNR_DB = 17.0  # from here on webrtcvad is as good or better
MIN_BANDWIDTH_HZ = 5000.0  # below: telephone speech
MAX_FALSE_FRACTION = 0.45  # of the frames at noise level that webrtcvad flags as speech
CELL = 5 * silero.FRAME  # samples that the network processes or skips: 160 ms
CELL_FRAMES = CELL * vad.FRAMES_PER_S // silero.RATE_HZ


class AutoVad:
    """Speech flags of a 16 kHz signal that arrives in blocks of any size.

    Attributes:
        engine: name of the chosen detector; None before the choice.
    """

    rate_hz = 16_000

    def __init__(
        self,
        webrtcvad: Callable[[], vad.WebRtcVad],
        network: Callable[[], silero.SileroVad],
        energy_share: float,
    ):
        """
        Args:
            webrtcvad: creates the detector for clean recordings.
            network: loads the network for noisy ones.
            energy_share: see `vad.threshold_db`.
        """
        self._webrtcvad, self._network = webrtcvad, network
        self._energy_share = energy_share
        self._blocks: list[np.ndarray] = []
        self._n_missing = ANALYSED_S * self.rate_hz
        self._detector = None
        self.engine: str | None = None

    @property
    def reach_frames(self) -> int:
        """10 ms frames by which the flags may lag at both ends."""
        return self._detector.reach_frames

    def update(self, samples: np.ndarray) -> np.ndarray:
        """Flags of the 10 ms frames completed by `[n]` int16 samples, bool; empty before the
        choice."""
        if self._detector is not None:
            return self._detector.update(samples)
        self._blocks.append(samples[: self._n_missing])
        rest = samples[self._n_missing :]
        self._n_missing -= len(self._blocks[-1])
        if self._n_missing:
            return np.zeros(0, bool)
        flags = self._choose()
        return np.concatenate([flags, self._detector.update(rest)])

    def finish(self) -> np.ndarray:
        """Flags of the remaining samples, padded with silence."""
        flags = self._choose() if self._detector is None else np.zeros(0, bool)
        return np.concatenate([flags, self._detector.finish()])

    def _choose(self):
        """Choose the detector and return its flags of all samples held."""
        samples = np.concatenate(self._blocks)
        self._blocks = []
        step = BLOCK_S * self.rate_hz
        blocks = [samples[first : first + step] for first in range(0, len(samples), step)]
        levels = [vad.levels_db(block, self.rate_hz) for block in blocks]
        levels = np.concatenate([np.zeros(0, np.float32), *levels])
        if not is_noisy(levels) and not is_narrowband(blocks, self.rate_hz):
            detector = self._webrtcvad()
            flags = np.concatenate([detector.update(block) for block in [*blocks, samples[:0]]])
            if not flags_background(flags, levels, self._energy_share):
                self._detector, self.engine = detector, "webrtcvad"
                return flags
        self._detector, self.engine = self._network(), "silero"
        return self._flags_above_noise(samples, levels)

    def _flags_above_noise(self, samples, levels):
        """Flags by the network; cells at noise level are skipped as non-speech."""
        n_cells = len(samples) // CELL
        cells, rest = np.split(samples, [n_cells * CELL])
        loud = levels > vad.threshold_db(levels, self._energy_share)
        loud = loud[: n_cells * CELL_FRAMES].reshape(n_cells, CELL_FRAMES).any(axis=1)
        near = np.flatnonzero(ndimage.binary_dilation(loud, np.ones(3)))
        cells = cells.reshape(n_cells, CELL)
        flags = np.zeros((n_cells, CELL_FRAMES), bool)
        for some in np.array_split(near, len(near) * CELL // (BLOCK_S * self.rate_hz) + 1):
            found = self._detector.update(cells[some].ravel())
            flags[some] = found.reshape(len(some), CELL_FRAMES)
        return np.concatenate([flags.ravel(), self._detector.update(rest)])


def is_noisy(levels: np.ndarray) -> bool:
    """Whether the SNR of `[n_frames]` levels is below `MIN_SNR_DB`."""
    snr_db = measures.snr_db(levels, measures.noise_floor_db(levels))
    return snr_db is not None and snr_db < MIN_SNR_DB


def is_narrowband(blocks: list[np.ndarray], rate_hz: int) -> bool:
    """Whether these int16 blocks have telephone bandwidth."""
    meter = measures.SpectrumMeter(rate_hz)
    for block in blocks:
        meter.update(block.astype(np.float32) / 32768)
    bandwidth_hz = meter.bandwidth_hz() if blocks else None
    return bandwidth_hz is not None and bandwidth_hz < MIN_BANDWIDTH_HZ


def flags_background(flags: np.ndarray, levels: np.ndarray, energy_share: float) -> bool:
    """Whether webrtcvad's `[n_frames]` flags mark background as speech: music, hum, a crowd.

    Args:
        levels: `[n_frames]` of the same frames, dBFS.
        energy_share: see `vad.threshold_db`.
    """
    n_frames = min(len(flags), len(levels))
    background = levels[:n_frames] <= vad.threshold_db(levels, energy_share)[:n_frames]
    return bool(background.any() and flags[:n_frames][background].mean() > MAX_FALSE_FRACTION)
