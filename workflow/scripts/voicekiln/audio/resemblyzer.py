"""Speaker embeddings by Resemblyzer's network.

Only the weights of the package are used; the package is not imported, as it depends on numba and
loads weights by pickle. The network embeds windows of 1.6 s of mel spectra as unit vectors; the
embedding of a clip is the mean of its windows.
Wan, Wang, Papir, Moreno, "Generalized End-to-End Loss for Speaker Verification" (ICASSP 2018).
"""

from functools import cache
from pathlib import Path

import numpy as np
import soxr
from scipy import fft

from voicekiln import extras

RATE_HZ, WINDOW, HOP, N_MELS = 16_000, 400, 160, 40
WINDOW_FRAMES = 160  # frames of 10 ms
STEP = 77  # frames between windows, 1.3 per second
MIN_COVERAGE = 0.75  # of the last window
MAX_WINDOWS = 3  # of a clip, evenly spaced: more hardly change the embedding
N_FEATURES = 256


def weights_path() -> Path:
    """The network's file in the installed package; see `extras.package_file`."""
    return extras.package_file("resemblyzer", "pretrained.pt", "measure.speaker_model", "null")


class Embedder:
    """Speaker embedding of a clip."""

    def __init__(self, max_windows: int | None = MAX_WINDOWS, threads: int = 1):
        """
        Args:
            max_windows: embedded per clip; None: all.
        """
        path = weights_path()
        import torch  # slow to import, and not needed for every corpus

        torch.set_num_threads(threads)
        self._torch = torch
        self._max_windows = max_windows
        held = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
        self._lstm = torch.nn.LSTM(N_MELS, N_FEATURES, 3, batch_first=True)
        self._linear = torch.nn.Linear(N_FEATURES, N_FEATURES)
        for name, part in (("lstm.", self._lstm), ("linear.", self._linear)):
            state = {key.removeprefix(name): held[key] for key in held if key.startswith(name)}
            part.load_state_dict(state)

    def __call__(self, samples: np.ndarray, rate_hz: int) -> np.ndarray:
        """Embedding `[N_FEATURES]` float32 of unit length.

        Args:
            samples: `[n]` float32, full scale 1.
        """
        samples = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ").astype(np.float32)
        starts = window_starts(len(samples))
        if self._max_windows and len(starts) > self._max_windows:
            chosen = np.linspace(0, len(starts) - 1, self._max_windows).round().astype(int)
            starts = [starts[i] for i in chosen]
        power = mel(np.pad(samples, (0, max(0, (starts[-1] + WINDOW_FRAMES) * HOP - len(samples)))))
        windows = np.array([power[start : start + WINDOW_FRAMES] for start in starts])
        with self._torch.inference_mode():
            _, (hidden, _) = self._lstm(self._torch.from_numpy(windows))
            found = self._torch.relu(self._linear(hidden[-1])).numpy()
        found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
        mean = found.mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)


def window_starts(n_samples: int) -> list[int]:
    """First frame of each window of a clip at `RATE_HZ`, at least one."""
    n_frames = -(-(n_samples + 1) // HOP)
    starts = list(range(0, max(1, n_frames - WINDOW_FRAMES + STEP + 1), STEP))
    coverage = (n_samples - starts[-1] * HOP) / (WINDOW_FRAMES * HOP)
    return starts[:-1] if coverage < MIN_COVERAGE and len(starts) > 1 else starts


def mel(samples: np.ndarray) -> np.ndarray:
    """Linear mel power spectra `[n_frames, N_MELS]` float32, frames centred."""
    padded = np.pad(samples, WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window = np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    spectra = fft.rfft(frames * window, axis=1)
    power = np.square(spectra.real) + np.square(spectra.imag)
    return (power @ _filters()).astype(np.float32)


@cache
def _filters():
    """Mel filters `[n_bins, N_MELS]`: triangles of equal area on Slaney's scale."""
    hz = np.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    edges_hz = _hz(np.linspace(0, _slaney(RATE_HZ / 2), N_MELS + 2))
    low, middle, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    at = hz[:, None]
    triangles = np.minimum((at - low) / (middle - low), (high - at) / (high - middle))
    return (np.maximum(0, triangles) * 2 / (high - low)).astype(np.float32)


def _slaney(hz):
    """Linear up to 1 kHz, 15 steps; then 27 steps for a factor of 6.4."""
    return 15 + 27 * np.log(hz / 1000) / np.log(6.4) if hz >= 1000 else hz * 15 / 1000


def _hz(steps):
    return np.where(steps < 15, steps * 1000 / 15, 1000 * 6.4 ** ((steps - 15) / 27))
