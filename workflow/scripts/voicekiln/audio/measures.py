"""Noise, bandwidth, hum and reverberation of a recording, from its spectrum and frame levels.

Levels are those of `vad.levels_db`: 10 ms frames, dBFS. The meters process a recording in blocks of
a few seconds and store a few kilobytes of each.
"""

import numpy as np
import soxr
from scipy import fft, ndimage

from voicekiln.audio.vad import FRAMES_PER_S, levels_db, runs

DIGITAL_SILENCE_DB = (
    -90.0
)  # below: only rounding; padding and noise gates are no evidence about the room
FLOOR_PERCENTILE = 10
LOUD_PERCENTILE = 95
ACTIVE_RANGE_DB = 15.9  # of active speech below its loud parts; the margin of ITU-T P.56
NOISE_SWING_DB = 3.0  # of noise frames above the noise floor
MAX_SNR_DB = 80.0

FRAME_S, HOP_S = 0.032, 0.016
EDGE_DB = 66.0  # further below the loudest band: not from the source
SMOOTH_HZ = 300.0
SPECTRUM_HOP_S = 0.1  # ten frames a second are enough for a whole recording
BLOCK_PERCENTILE = 90  # of the blocks' spectra: ignores clicks and silent stretches

MAINS_HZ, N_HARMONICS, N_LINES = (50, 60), 8, 3
HUM_RATE_HZ = 1200  # windows of 1 s: bins of 1 Hz, lines 4 Hz wide
HUM_PERCENTILE = 25  # of the windows: hum continues in pauses, the voice does not
HUM_FLOOR = 1e-7  # power of a bin in digital silence

DECAY_SPAN = 5  # frames over which the level falls throughout a decay
DECAY_SKIP_DB, DECAY_RANGE_DB, DECAY_FLOOR_DB = 2.0, 10.0, 6.0
MIN_DECAYS = 5
DECAY_PERCENTILE = 25


def noise_floor_db(levels: np.ndarray) -> float | None:
    """Level of the quietest tenth of `[n_frames]` levels, dBFS; None for digital silence."""
    audible = levels[levels > DIGITAL_SILENCE_DB]
    return float(np.percentile(audible, FLOOR_PERCENTILE)) if len(audible) else None


def snr_db(levels: np.ndarray, floor_db: float | None) -> float | None:
    """Signal-to-noise ratio of active speech, dB; None for silence.

    Args:
        levels: `[n_frames]`, speech and pauses.
        floor_db: noise floor of the context, by `noise_floor_db`.
    """
    if floor_db is None or not len(levels):
        return None
    loud_db = np.percentile(levels, LOUD_PERCENTILE)
    active = levels[levels >= max(loud_db - ACTIVE_RANGE_DB, floor_db + NOISE_SWING_DB)]
    if not len(active):
        return 0.0
    power = np.mean(10 ** (active.astype(np.float64) / 10))
    noise = 10 ** (floor_db / 10)
    return float(min(10 * np.log10((power - noise) / noise), MAX_SNR_DB))


def power_spectra(
    samples: np.ndarray, rate_hz: int, hop_s: float = HOP_S, frame_s: float = FRAME_S
) -> np.ndarray:
    """`[n_frames, n_bins]` float32 power spectra of Hann-windowed frames.

    Args:
        samples: `[n]` float32, full scale 1; padded to at least one frame.
    """
    n_frame = round(frame_s * rate_hz)
    samples = np.pad(samples, (0, max(0, n_frame - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_frame)
    frames = frames[:: max(1, round(hop_s * rate_hz))]
    window = np.hanning(n_frame + 1)[:-1].astype(np.float32)
    spectra = fft.rfft(frames * window, axis=1)
    return np.square(spectra.real) + np.square(spectra.imag)


def bandwidth_hz(power: np.ndarray, rate_hz: int) -> float | None:
    """Highest frequency with signal, Hz; None for silence.

    Resampled audio and codecs with a low-pass have a sharp spectral edge, while speech itself rolls
    off by about 40 dB. The edge is where the smoothed spectrum is `EDGE_DB` below its peak.

    Args:
        power: `[n_bins]` long-term mean power spectrum, 0 Hz to half of `rate_hz`.
        rate_hz: sample rate of the analysed audio.
    """
    bin_hz = rate_hz / 2 / (len(power) - 1)
    smooth = ndimage.uniform_filter1d(
        power.astype(np.float64), max(1, round(SMOOTH_HZ / bin_hz)), mode="nearest"
    )
    if smooth.max() <= 0:
        return None
    above = np.flatnonzero(smooth > smooth.max() * 10 ** (-EDGE_DB / 10))
    return float(above[-1] * bin_hz)


def reverb_s(levels: np.ndarray) -> float | None:
    """Estimated reverberation time RT60, seconds.

    Blind estimate from the level decays after speech: sound cannot decay faster than the room
    allows, so the fast decays are those of the room. After J. Wen, E. Habets and P. Naylor, "Blind
    estimation of reverberation time based on the distribution of signal decay rates", ICASSP 2008;
    they use the spread of the rates in bands, this the lower quartile of the broadband times.
    Speech itself decays in about 0.2 s, so drier rooms are indistinguishable.

    Args:
        levels: `[n_frames]` of a whole recording.

    Returns:
        None if fewer than `MIN_DECAYS` decays rise above the noise.
    """
    floor_db = noise_floor_db(levels)
    if floor_db is None or len(levels) <= DECAY_SPAN:
        return None
    smooth = ndimage.uniform_filter1d(levels.astype(np.float64), 3, mode="nearest")
    times_s = []
    for start, end in runs(smooth[DECAY_SPAN:] < smooth[:-DECAY_SPAN]):
        decay = smooth[start : end + DECAY_SPAN]
        decay = decay[int(np.argmax(decay)) :]
        decay = decay[: _first(decay <= floor_db + DECAY_FLOOR_DB)]
        decay = decay[_first(decay < decay[:1] - DECAY_SKIP_DB) :]
        if len(decay) >= DECAY_SPAN and decay[0] - decay[-1] >= DECAY_RANGE_DB:
            at = np.arange(len(decay)) - (len(decay) - 1) / 2
            db_per_frame = (at @ decay) / (at @ at)  # slope of the least-squares line
            times_s.append(-60 / (db_per_frame * FRAMES_PER_S))
    if len(times_s) < MIN_DECAYS:
        return None
    return float(np.percentile(times_s, DECAY_PERCENTILE))


def _first(flags):
    """Index of the first True; the length if there is none."""
    return int(np.argmax(flags)) if flags.any() else len(flags)


class SpectrumMeter:
    """Bandwidth of a mono recording at its original rate."""

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._spectra: list[np.ndarray] = []

    def update(self, samples: np.ndarray) -> None:
        """Add `[n]` float32 samples."""
        power = power_spectra(samples - samples.mean(), self._rate_hz, SPECTRUM_HOP_S)
        self._spectra.append(power.mean(axis=0))

    def bandwidth_hz(self) -> float | None:
        """Bandwidth of all samples so far, Hz; None for silence."""
        return bandwidth_hz(np.percentile(self._spectra, BLOCK_PERCENTILE, axis=0), self._rate_hz)


class RoomMeter:
    """Noise, hum and reverberation of a recording."""

    def __init__(self, rate_hz: int):
        self._rate_hz = rate_hz
        self._levels: list[np.ndarray] = []
        self._hum: list[np.ndarray] = []
        self._low = soxr.ResampleStream(rate_hz, HUM_RATE_HZ, 1, dtype="float32", quality="LQ")

    def update(self, samples: np.ndarray) -> None:
        """Add a block of `[n]` int16 samples; all blocks but the last are whole seconds."""
        self._levels.append(levels_db(samples, self._rate_hz))
        low = self._low.resample_chunk(samples.astype(np.float32) / 32768)
        if len(low) >= HUM_RATE_HZ:
            power = power_spectra(low, HUM_RATE_HZ, hop_s=0.5, frame_s=1.0)
            self._hum.append(np.percentile(power, HUM_PERCENTILE, axis=0))

    def measures(self) -> dict[str, float | None]:
        """`noise_floor_dbfs`, `snr_db`, `hum_db`, `reverb_s` of all samples so far; None if
        there is too little audio."""
        levels = np.concatenate(self._levels)
        floor_db = noise_floor_db(levels)
        return {
            "noise_floor_dbfs": floor_db,
            "snr_db": snr_db(levels, floor_db),
            "hum_db": hum_db(np.median(self._hum, axis=0)) if self._hum else None,
            "reverb_s": reverb_s(levels),
        }


def hum_db(power: np.ndarray) -> float:
    """Level of the strongest mains harmonics above their surroundings, dB.

    Mean of the `N_LINES` strongest of the first `N_HARMONICS` lines, at 50 or at 60 Hz.

    Args:
        power: `[n_bins]` power spectrum in bins of 1 Hz.
    """
    power = power + HUM_FLOOR
    found = []
    for mains_hz in MAINS_HZ:
        lines = [
            power[hz - 1 : hz + 2].max()
            / np.median([*power[hz - 12 : hz - 4], *power[hz + 5 : hz + 13]])
            for hz in range(mains_hz, mains_hz * N_HARMONICS + 1, mains_hz)
        ]
        found.append(np.mean(10 * np.log10(np.sort(lines)[-N_LINES:])))
    return float(max(found))
