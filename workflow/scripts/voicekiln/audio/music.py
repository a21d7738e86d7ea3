"""Detect music under speech: tones with constant pitch, unlike the harmonics of a voice.

A tone is a spectral peak that keeps its frequency for 0.3 s. Mains hum does so all the time, so
peaks present in most of the quietest third of a block are ignored.
"""

import numpy as np
import soxr
from scipy import fft, ndimage

STEPS_PER_S = 16
RATE_HZ, HOP, WINDOW = 8000, 500, 1000
LOW_HZ, HIGH_HZ = 400, 3500
RISE_DB = 8.0  # of a peak above the mean of the surrounding 200 Hz
AROUND = 25  # bins of 8 Hz
HOLD_STEPS = 5
QUIET_PERCENTILE, STEADY = 33, 0.6
MIN_TONES = 3  # at a time; a sung vowel has one or two


def musical(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """`[n_steps]` bool: steps of 1/16 s in which `MIN_TONES` tones sound.

    Args:
        samples: `[n]` int16, a block of a few seconds; an incomplete last step counts.
    """
    n_steps = -(-len(samples) * STEPS_PER_S // rate_hz)
    low = soxr.resample(samples.astype(np.float32) / 32768, rate_hz, RATE_HZ, quality="LQ")
    low = np.pad(low, (0, max(0, (n_steps - 1) * HOP + WINDOW - len(low))))
    frames = np.lib.stride_tricks.sliding_window_view(low, WINDOW)[::HOP][:n_steps]
    spectra = fft.rfft(frames * np.hanning(WINDOW + 1)[:-1].astype(np.float32), axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    levels = 10 * np.log10(power + 1e-9)
    peaks = levels >= ndimage.maximum_filter1d(levels, 3, axis=1)
    peaks &= levels > ndimage.uniform_filter1d(levels, AROUND, axis=1) + RISE_DB
    peaks = peaks[:, LOW_HZ * WINDOW // RATE_HZ : HIGH_HZ * WINDOW // RATE_HZ]
    near = ndimage.binary_dilation(peaks, np.ones((1, 3), bool))
    sustained = ndimage.binary_erosion(near, np.ones((HOLD_STEPS, 1), bool))
    loudness = levels.mean(axis=1)
    quiet = loudness <= np.percentile(loudness, QUIET_PERCENTILE)
    steady = near[quiet].mean(axis=0) > STEADY
    return (peaks & sustained & ~steady).sum(axis=1) >= MIN_TONES
