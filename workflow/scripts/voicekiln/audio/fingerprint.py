"""Acoustic fingerprints, robust to codecs, gain, noise and trimming.

Haitsma, Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): 32 bits per frame, each
the sign of an energy difference between neighbouring bands and frames. Frames are long and overlap,
so a copy may start at any sample.
"""

import numpy as np
import scipy.fft
import soxr

RATE_HZ = 5512  # all bands lie below 2 kHz
WINDOW, HOP = 2048, 128  # samples: 0.37 s, every 23 ms
N_BANDS, LOW_HZ, HIGH_HZ = 33, 300.0, 2000.0
FRAMES_PER_S = RATE_HZ / HOP


def fingerprint(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Fingerprint `[n_frames]` uint32, one word per 23 ms.

    Args:
        samples: `[n]` float32 at `rate_hz`, of any loudness; at least one frame by padding.
    """
    if rate_hz != RATE_HZ:
        samples = soxr.resample(samples, rate_hz, RATE_HZ, quality="LQ")
    if len(samples) < WINDOW + HOP:
        samples = np.pad(samples, (0, WINDOW + HOP - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    energies = np.empty((len(frames), N_BANDS), np.float32)
    for start in range(0, len(frames), 1024):
        some = frames[start : start + 1024] * np.hanning(WINDOW).astype(np.float32)
        power = np.square(np.abs(scipy.fft.rfft(some, axis=1)))
        energies[start : start + 1024] = np.add.reduceat(power, EDGES, axis=1)[:, :N_BANDS]
    between_bands = energies[:, :-1] - energies[:, 1:]
    bits = between_bands[1:] > between_bands[:-1]
    return np.packbits(bits, axis=1, bitorder="little").view("<u4")[:, 0].astype(np.uint32)


_EDGES_HZ = np.geomspace(LOW_HZ, HIGH_HZ, N_BANDS + 1)
EDGES = np.round(_EDGES_HZ * WINDOW / RATE_HZ).astype(int)
