"""Triangular mel filters, as torchaudio computes them, and their inversion.

`F` frequency bins, `M` mel bands, `T` frames.
"""

import functools
import math

import numpy as np
import torch

INVERSION_STEPS = 100
FLOOR = 1e-5
TINY = 1e-10  # avoids a division by zero for frequencies outside all bands


@functools.cache
def filterbank(
    rate_hz: int, n_fft: int, n_mels: int, top_hz: float, equal_area: bool = False
) -> torch.Tensor:
    """Triangles on the HTK mel scale from 0 Hz. `[n_fft // 2 + 1, n_mels]` float32.

    Args:
        rate_hz: sample rate.
        n_fft: size of the Fourier transform.
        n_mels: number of bands.
        top_hz: upper end of the last band.
        equal_area: divide each triangle by its area, as Slaney does; otherwise its height is 1.
    """
    frequencies_hz = torch.linspace(0, rate_hz // 2, n_fft // 2 + 1)
    top_mel = 2595.0 * math.log10(1.0 + top_hz / 700.0)
    corners_hz = 700.0 * (10.0 ** (torch.linspace(0.0, top_mel, n_mels + 2) / 2595.0) - 1.0)
    distances_hz = corners_hz[None, :] - frequencies_hz[:, None]  # [n_fft // 2 + 1, n_mels + 2]
    widths_hz = corners_hz.diff()
    rising = -distances_hz[:, :-2] / widths_hz[:-1]
    falling = distances_hz[:, 2:] / widths_hz[1:]
    triangles = torch.minimum(rising, falling).clamp(min=0.0)
    if equal_area:
        triangles *= 2.0 / (corners_hz[2:] - corners_hz[:-2])
    return triangles


def linear(mel: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Non-negative spectrum `[F, T]` whose mel bands are nearest to `mel` `[M, T]`.

    Multiplicative updates (Lee and Seung 2000) from the clipped pseudo-inverse. librosa's solver
    takes minutes for a mel that no sound has, as a model makes them early in its training.

    Args:
        mel: bands, not their logarithm.
        bank: `[M, F]` filters.
    """
    spectrum = np.maximum(np.linalg.pinv(bank) @ mel, FLOOR)
    target = bank.T @ mel
    for _ in range(INVERSION_STEPS):
        spectrum *= target / np.maximum(bank.T @ (bank @ spectrum), TINY)
    return spectrum
