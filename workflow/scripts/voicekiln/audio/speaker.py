"""What a voice sounds like, as a vector; how far clips are from the other clips of their speaker.

Without a model the vector holds robust statistics of the cepstrum and of the pitch. They know
little of voices: another microphone or room moves them as much as another speaker does. A network
for speaker verification (`Embedder`) tells voices apart across recordings.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import soxr
from scipy import fft

from voicekiln.audio.measures import LOUD_PERCENTILE
from voicekiln.errors import UserError

# Up to what speech sampled at 16 kHz has: a wider band would tell recordings apart, not voices.
LOW_HZ, HIGH_HZ, N_BANDS, N_CEPSTRA = 100.0, 7600.0, 32, 13
ACTIVE_RANGE_DB = 25.0
FLOOR = 1e-6  # of a frame's power, in each of its bands
QUARTILES = (25, 50, 75)
N_FEATURES = 2 * (N_CEPSTRA - 1) + 2
NO_PITCH = 0.0  # log2 Hz, in both places

MIN_CLIPS = 5  # of a speaker, to say what is usual
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
    """`[N_FEATURES]` float32: median and quartile range of the cepstral coefficients (level left
    out) of the active frames, then of the voiced frames' log2 pitch.

    Args:
        power: `[n_frames, n_bins]` of `measures.power_spectra`.
        rate_hz: of the samples.
        pitch_hz: `[n]` of the voiced frames.
    """
    energy = 10 * np.log10(power.sum(axis=1) + 1e-12)
    active = power[energy >= np.percentile(energy, LOUD_PERCENTILE) - ACTIVE_RANGE_DB]
    bins_mel = _mel(np.arange(power.shape[1]) * (rate_hz / 2 / (power.shape[1] - 1)))
    bands = _triangles(np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), N_BANDS + 2), bins_mel)
    heard = active @ bands
    heard += FLOOR * heard.sum(axis=1, keepdims=True) + np.finfo(np.float32).tiny
    cepstra = fft.dct(np.log(heard), norm="ortho", axis=1)[:, 1:N_CEPSTRA]
    low, middle, high = np.percentile(cepstra, QUARTILES, axis=0)
    voice = np.percentile(np.log2(pitch_hz), QUARTILES) if len(pitch_hz) else [NO_PITCH] * 3
    return np.concatenate([middle, high - low, [voice[1], voice[2] - voice[0]]]).astype(np.float32)


def fbank(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """`[n_frames, 80]` float32 log mel filter bank energies as Kaldi makes them, mean removed.

    16 kHz, frames of 25 ms each 10 ms within the signal, offset removed and 0.97 pre-emphasis in
    each, Hamming window, 20 Hz to 8 kHz, samples on the scale of int16, no dither: what WeSpeaker's
    models are trained on (`kaldi.fbank` in wespeaker/cli/speaker.py).
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
    """A speaker verification network in an ONNX file, as WeSpeaker exports them: `fbank` features
    [1, T, 80] float32 in, an embedding [1, D] out."""

    def __init__(self, model: Path, threads: int = 1):
        """
        Raises:
            UserError: the file is no such network.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                Path(model).read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common class but this
            raise UserError(f"{model}: not an ONNX network ({error})") from error
        inputs = [(node.name, node.shape) for node in self._session.get_inputs()]
        self._name, shape = inputs[0]
        if len(inputs) != 1 or len(shape) != 3 or shape[2] not in (FBANK_BANDS, None, "D"):
            raise UserError(
                f"{model}: expected one input [B, T, {FBANK_BANDS}] (filter bank energies, as"
                f" WeSpeaker's exported networks take), found {inputs}"
            )

    def __call__(self, samples: np.ndarray, rate_hz: int) -> np.ndarray:
        """`[D]` float32 of unit length."""
        features = fbank(samples, rate_hz)[None].astype(np.float32)
        embedding = np.asarray(self._session.run(None, {self._name: features})[0]).ravel()
        return (embedding / max(float(np.linalg.norm(embedding)), 1e-12)).astype(np.float32)


def speaker_distances(features: Sequence[np.ndarray | None], speakers: Sequence[str]) -> np.ndarray:
    """`[n]` how unlike the other clips of its speaker each clip sounds; 1 is usual.

    Root mean square, over the features, of a clip's distance from the speaker's median in median
    absolute deviations, divided by the speaker's median of that. So the scale comes from the data,
    and a minority of wrong clips does not move it.

    Args:
        features: of each clip, `statistics` or embeddings; None where there are none.
        speakers: of each clip.

    Returns:
        NaN where there are no features, or fewer than `MIN_CLIPS` clips of the speaker.
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
        away = np.abs(matrix - np.median(matrix, axis=0))
        usual = np.median(away, axis=0)
        varying = usual > 1e-9  # a constant feature tells nothing
        scores = np.minimum(away[:, varying] / usual[varying], CLIP_Z)
        distance = np.sqrt(np.mean(scores**2, axis=1)) if varying.any() else np.zeros(len(clips))
        distances[clips] = distance / max(np.median(distance), 1e-9)
    return distances
