"""How noisy and how wide a recording sounds, from the levels of its frames and from its spectrum.

Levels are those of `vad.levels_db`: 10 ms frames, dB re full scale.
"""

import numpy as np
from scipy import fft, ndimage

DIGITAL_SILENCE_DB = -90.0  # only rounding is below; padding and noise gates say nothing of a room
FLOOR_PERCENTILE = 10
LOUD_PERCENTILE = 95
ACTIVE_RANGE_DB = 15.9  # of active speech below its loud parts, the margin of ITU-T P.56
MAX_SNR_DB = 80.0

FRAME_S, HOP_S = 0.032, 0.016
EDGE_DB = 66.0  # what is further below the loudest band is no sound of the source
SMOOTH_HZ = 300.0


def noise_floor_db(levels: np.ndarray) -> float | None:
    """Level of the quietest tenth of `[n_frames]` levels, dB re full scale; None: no sound."""
    heard = levels[levels > DIGITAL_SILENCE_DB]
    return float(np.percentile(heard, FLOOR_PERCENTILE)) if len(heard) else None


def snr_db(levels: np.ndarray, floor_db: float | None) -> float | None:
    """Level of active speech above the noise in it, dB; None for silence.

    Args:
        levels: `[n_frames]` of the speech and the pauses in it.
        floor_db: of the surroundings, `noise_floor_db`.
    """
    if floor_db is None or not len(levels):
        return None
    active = levels[levels >= np.percentile(levels, LOUD_PERCENTILE) - ACTIVE_RANGE_DB]
    power = np.mean(10 ** (active.astype(np.float64) / 10))
    noise = 10 ** (floor_db / 10)
    if power <= noise:
        return 0.0
    return float(min(10 * np.log10((power - noise) / noise), MAX_SNR_DB))


def power_spectra(samples: np.ndarray, rate_hz: int, hop_s: float = HOP_S) -> np.ndarray:
    """`[n_frames, n_bins]` float32 power spectra of Hann-windowed frames of 32 ms.

    Args:
        samples: `[n]` float32, full scale 1; padded to one frame where they are fewer.
    """
    n_frame = round(FRAME_S * rate_hz)
    samples = np.pad(samples, (0, max(0, n_frame - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_frame)
    frames = frames[:: max(1, round(hop_s * rate_hz))]
    window = np.hanning(n_frame + 1)[:-1].astype(np.float32)
    spectra = fft.rfft(frames * window, axis=1)
    return np.square(spectra.real) + np.square(spectra.imag)


def bandwidth_hz(power: np.ndarray, rate_hz: int) -> float | None:
    """Highest frequency at which there still is sound; None for silence.

    The edge of up-sampled audio, or of a codec's low-pass, is a cliff; speech itself falls off by
    some 40 dB. So the edge is where the smoothed spectrum is `EDGE_DB` below its highest band.

    Args:
        power: `[n_bins]` long-term mean power spectrum, 0 Hz to half of `rate_hz`.
        rate_hz: of the samples that it was taken of.
    """
    bin_hz = rate_hz / 2 / (len(power) - 1)
    smooth = ndimage.uniform_filter1d(
        power.astype(np.float64), max(1, round(SMOOTH_HZ / bin_hz)), mode="nearest"
    )
    if smooth.max() <= 0:
        return None
    above = np.flatnonzero(smooth > smooth.max() * 10 ** (-EDGE_DB / 10))
    return float(above[-1] * bin_hz)
