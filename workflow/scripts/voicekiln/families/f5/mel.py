"""Features of F5-TTS: the mel spectrogram (24 kHz, for the Vocos vocoder), in torch.

`T` frames, `F` = 513 frequency bins, `M` = 100 mel bands.
"""

import functools
from collections.abc import Callable, Mapping

import numpy as np
import torch

from voicekiln.errors import UserError
from voicekiln.families import Arrays, Files, mel

RATE_HZ = 24000
HOP = 256  # 10.7 ms a frame, 93.75 frames a second
N_FFT = 1024
N_MELS = 100
FLOOR = 1e-5  # log(1e-5) = -11.5 is silence

MEL_SPEC = {
    "target_sample_rate": RATE_HZ,
    "n_mel_channels": N_MELS,
    "hop_length": HOP,
    "win_length": N_FFT,
    "n_fft": N_FFT,
    "mel_spec_type": "vocos",
}


def filterbank() -> torch.Tensor:
    """Triangles of height 1 on the HTK mel scale, 0 to 12 kHz. `[F, M]` float32."""
    return mel.filterbank(RATE_HZ, N_FFT, N_MELS, RATE_HZ / 2)


@functools.cache
def window() -> torch.Tensor:
    """Periodic Hann window. `[N_FFT]` float32."""
    return torch.hann_window(N_FFT)


def log_mel(samples: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Natural logarithm of the mel magnitudes, as `f5_tts.model.modules.MelSpec` has it.

    Args:
        samples: `[n_samples]` mono at 24 kHz, full scale 1.

    Returns:
        `[T, M]` float32, T = n_samples // 256 + 1.

    Raises:
        UserError: fewer samples than the reflected edge needs (513).
    """
    samples = torch.as_tensor(samples, dtype=torch.float32)
    assert samples.ndim == 1, samples.shape
    if len(samples) <= N_FFT // 2:
        raise UserError(
            f"clip of {len(samples)} samples: a mel spectrogram needs at least {N_FFT // 2 + 1}"
            " samples (21 ms at 24 kHz)"
        )
    spectrum = torch.stft(
        samples, N_FFT, hop_length=HOP, window=window(), pad_mode="reflect", return_complex=True
    )  # [F, T]
    bands = spectrum.abs().T @ filterbank()  # [T, M]
    return bands.clamp(min=FLOOR).log()


def feature_basis(base: Files) -> dict[str, str]:
    """{}: no tensor of the base is used."""
    return {}


def extractor(base: Files, settings: Mapping, device: str) -> Callable[[torch.Tensor], Arrays]:
    """A function from samples `[n]` at 24 kHz to {"mel": `[T, M]`}.

    Args:
        base: not used.
        settings: none are known.
        device: not used, it runs on the CPU.
    """
    if settings:
        raise UserError(f"features: expected no settings, got {', '.join(sorted(settings))}")
    return lambda samples: {"mel": log_mel(samples)}


def n_steps(arrays: Arrays) -> int:
    """Frames of the mel spectrogram."""
    return len(arrays["mel"])


def steps_of(n_samples: int) -> int:
    """Frames of the mel spectrogram of so many samples."""
    return n_samples // HOP + 1
