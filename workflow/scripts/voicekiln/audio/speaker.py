"""Voice features of clips, and their distance from the other clips of the same speaker.

Without a model the features are robust statistics of cepstrum and pitch. They separate voices
poorly: another microphone or room changes them as much as another speaker does. A speaker
verification network (`Embedder`) separates voices across recordings.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from scipy import fft

from voicekiln.audio.measures import LOUD_PERCENTILE
from voicekiln.errors import UserError

# The band of speech at 16 kHz; a wider band would separate recordings, not voices.
LOW_HZ, HIGH_HZ, N_BANDS, N_CEPSTRA = 100.0, 7600.0, 32, 13
ACTIVE_RANGE_DB = 25.0
FLOOR = 1e-6  # of a frame's power, in each of its bands
QUARTILES = (25, 50, 75)
N_FEATURES = 2 * (N_CEPSTRA - 1) + 2
NO_PITCH = 0.0  # log2 Hz, median and quartile range

MIN_CLIPS = 5  # of a speaker, for reliable medians
CLIP_Z = 10.0

FBANK_HZ, FBANK_BANDS = 16_000, 80
FBANK_FRAME, FBANK_HOP, FBANK_FFT = 400, 160, 512
PREEMPHASIS = 0.97
INT16 = 32768.0


def _triangles(edges, bin_positions):
    """`[n_bins, n_bands]` triangular filters; band i rises from edge i and falls to edge i + 2."""
    low, mid, high = edges[:-2], edges[1:-1], edges[2:]
    at = bin_positions[:, None]
    rising, falling = (at - low) / (mid - low), (high - at) / (high - mid)
    return np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)


def _mel(hz):
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


def statistics(power: np.ndarray, rate_hz: int, pitch_hz: np.ndarray) -> np.ndarray:
    """`[N_FEATURES]` float32: medians and quartile ranges of the cepstral coefficients of active
    frames (without level), then of the log2 pitch of voiced frames.

    Args:
        power: `[n_frames, n_bins]`, by `measures.power_spectra`.
        rate_hz: sample rate.
        pitch_hz: `[n]` pitch of voiced frames.
    """
    energy = 10 * np.log10(power.sum(axis=1) + 1e-12)
    active = power[energy >= np.percentile(energy, LOUD_PERCENTILE) - ACTIVE_RANGE_DB]
    bins_mel = _mel(np.arange(power.shape[1]) * (rate_hz / 2 / (power.shape[1] - 1)))
    bands = _triangles(np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), N_BANDS + 2), bins_mel)
    energies = active @ bands
    energies += FLOOR * energies.sum(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    cepstra = fft.dct(np.log(energies), norm="ortho", axis=1)[:, 1:N_CEPSTRA]
    low, middle, high = np.percentile(cepstra, QUARTILES, axis=0)
    voice = np.percentile(np.log2(pitch_hz), QUARTILES) if len(pitch_hz) else [NO_PITCH] * 3
    return np.concatenate([middle, high - low, [voice[1], voice[2] - voice[0]]]).astype(np.float32)


def fbank(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Log mel filter bank energies as in Kaldi, mean-normalised, `[n_frames, 80]` float32.

    16 kHz, 25 ms frames every 10 ms within the signal, each without offset and with pre-emphasis of
    0.97, Hamming window, 20 Hz to 8 kHz, samples scaled to int16, no dither: the input of
    WeSpeaker's models (`kaldi.fbank` in wespeaker/cli/speaker.py).
    """
    samples = soxr.resample(samples, rate_hz, FBANK_HZ, quality="HQ").astype(np.float32) * INT16
    samples = np.pad(samples, (0, max(0, FBANK_FRAME - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, FBANK_FRAME)[::FBANK_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames = (frames - PREEMPHASIS * before) * np.hamming(FBANK_FRAME).astype(np.float32)
    spectra = fft.rfft(frames, FBANK_FFT, axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    edges = np.linspace(_mel(20.0), _mel(FBANK_HZ / 2), FBANK_BANDS + 2)
    bins_mel = _mel(np.arange(power.shape[1]) * FBANK_HZ / FBANK_FFT)
    energies = np.log(np.maximum(power @ _triangles(edges, bins_mel), np.finfo(np.float32).eps))
    return energies - energies.mean(axis=0)


class Embedder:
    """Speaker verification network in an ONNX file, as exported by WeSpeaker: `fbank` features
    [1, T, 80] float32 to an embedding [1, D]."""

    def __init__(self, model: Path, threads: int = 1):
        """
        Raises:
            UserError: the file is not such a network.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                Path(model).read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no other base class
            raise UserError(f"{model}: cannot be loaded as an ONNX network ({error})") from error
        inputs = [(node.name, node.shape) for node in self._session.get_inputs()]
        self._name, shape = inputs[0]
        if len(inputs) != 1 or len(shape) != 3 or shape[2] not in (FBANK_BANDS, None, "D"):
            raise UserError(
                f"{model}: expected one input [B, T, {FBANK_BANDS}] (filter bank energies, as in"
                f" networks exported by WeSpeaker), found {inputs}"
            )

    def __call__(self, samples: np.ndarray, rate_hz: int) -> np.ndarray:
        """Embedding `[D]` float32 of unit length."""
        features = fbank(samples, rate_hz)[None].astype(np.float32)
        embedding = np.asarray(self._session.run(None, {self._name: features})[0]).ravel()
        return (embedding / max(float(np.linalg.norm(embedding)), 1e-12)).astype(np.float32)


def speaker_distances(features: Sequence[np.ndarray | None], speakers: Sequence[str]) -> np.ndarray:
    """Distance of each clip from the other clips of its speaker, `[n]`; 1 is typical.

    Root mean square, over the features, of the clip's deviation from the speaker's median in units
    of the median absolute deviation, divided by the speaker's median of this value. The scale thus
    comes from the data, and a minority of wrong clips does not affect it.

    Args:
        features: `statistics` or embedding of each clip; None if missing.
        speakers: speaker of each clip.

    Returns:
        NaN for clips without features and for speakers with fewer than `MIN_CLIPS` clips.
    """
    distances = np.full(len(features), np.nan)
    clips_of: dict[str, list[int]] = {}
    for i, (vector, speaker) in enumerate(zip(features, speakers, strict=True)):
        if vector is not None:
            clips_of.setdefault(speaker, []).append(i)
    for clips in clips_of.values():
        if len(clips) < MIN_CLIPS:
            continue
        matrix = np.array([features[i] for i in clips], np.float64)
        deviations = np.abs(matrix - np.median(matrix, axis=0))
        typical = np.median(deviations, axis=0)
        varying = typical > 1e-9  # a constant feature is uninformative
        scores = np.minimum(deviations[:, varying] / typical[varying], CLIP_Z)
        distance = np.sqrt(np.mean(scores**2, axis=1)) if varying.any() else np.zeros(len(clips))
        distances[clips] = distance / max(np.median(distance), 1e-9)
    return distances
