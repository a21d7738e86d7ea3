"""Triangular mel filters, as torchaudio computes them; the families' spectrograms use them."""

import functools
import math

import torch


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
