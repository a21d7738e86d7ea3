"""Features of XTTS: audio codes and the conditioning mel spectrogram of a clip (22.05 kHz).

Both come from log-mel spectrograms with a hop of 256 samples, divided by the base's statistics:
the DVAE's with a Fourier transform over 1024 samples, the conditioning with one over 2048 (its
window has 1024, too). Frame `f` of the conditioning lies at code `f // 4`.

`T` frames, `M` = ceil(n / 1024) codes of `n` samples, `F` frequency bins.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from voicekiln.errors import UserError
from voicekiln.families import Arrays, Files, mel
from voicekiln.families.xtts import dvae, sizes
from voicekiln.weights import files as checkpoints

RATE_HZ = 22050
HOP = 256  # 11.6 ms a frame
WINDOW = 1024
CODES_FFT = 1024
CONDITIONING_FFT = 2048
TOP_HZ = 8000.0
FLOOR = 1e-5
CODE_SAMPLES = 4 * HOP  # 46 ms a code, 21.53 codes a second
FEATURES_VERSION = 1


def log_mel(samples: torch.Tensor, n_fft: int, stats: torch.Tensor) -> torch.Tensor:
    """Natural logarithm of the mel power, divided by a scale for each band.

    Args:
        samples: `[n]` float32 at 22050 Hz, full scale 1.
        n_fft: `CODES_FFT` or `CONDITIONING_FFT`.
        stats: `[N_MELS]` from `read_stats`, on the samples' device.

    Returns:
        `[T, N_MELS]` float32, T = n // 256 + 1.

    Raises:
        UserError: fewer samples than the reflected edge needs (1025 for the conditioning).
    """
    assert samples.ndim == 1, samples.shape
    if len(samples) <= n_fft // 2:
        raise UserError(
            f"clip of {len(samples)} samples: XTTS's mel spectrogram needs at least"
            f" {n_fft // 2 + 1} samples ({1000 * (n_fft // 2 + 1) / RATE_HZ:.0f} ms)"
        )
    spectrum = torch.stft(
        samples,
        n_fft,
        hop_length=HOP,
        win_length=WINDOW,
        window=torch.hann_window(WINDOW, device=samples.device),
        pad_mode="reflect",
        return_complex=True,
    )  # [F, T]
    bands = mel.filterbank(RATE_HZ, n_fft, dvae.N_MELS, TOP_HZ, equal_area=True)
    power = spectrum.abs().square().T @ bands.to(samples.device)  # [T, N_MELS]
    return power.clamp(min=FLOOR).log() / stats


def read_stats(path: Path) -> torch.Tensor:
    """The mel statistics of a release, `[N_MELS]`: a scale for each band of the log-mel.

    Raises:
        UserError: not one tensor of that shape, or zeros or no finite numbers in it.
    """
    stats = checkpoints.read_tensor(path)
    if tuple(stats.shape) != (dvae.N_MELS,):
        raise UserError(
            f"{path}: expected one tensor of shape ({dvae.N_MELS},), got {tuple(stats.shape)}; give"
            " the release's mel_stats.pth as base.mel_stats"
        )
    if not stats.isfinite().all() or (stats == 0).any():
        raise UserError(
            f"{path}: has zeros or values that are not finite, and mel spectrograms are divided by"
            " it; copy or download it again"
        )
    return stats.float()


def feature_basis(base: Files) -> dict[str, str]:
    """SHA-256 of the DVAE's encoder and codebook, and of the mel statistics."""
    return {
        "dvae": checkpoints.state_sha256(dvae.read(base["dvae"])),
        "mel_stats": checkpoints.tensor_sha256(read_stats(base["mel_stats"])),
    }


def extractor(
    base: Files, settings: Mapping[str, Any], device: str
) -> Callable[[torch.Tensor], Arrays]:
    """A function from samples `[n]` at 22050 Hz to {"codes": `[M]` int16, "cond_mel": `[T, 80]`}.

    The codes are those of the clip alone. Upstream computes them in padded batches, where the
    padding changes the last ones of a shorter clip; one clip at a time is also exact on a GPU, and
    fast enough that reading the audio takes longer.

    Args:
        base: its files `dvae`, `mel_stats` and `config`, which has the model's limit.
        settings: none are known.
        device: where it computes, always in full float32.

    Raises:
        UserError: settings, or (the function) a clip that is longer than the model has places for.
    """
    if settings:
        raise UserError(f"features: expected no settings, got {', '.join(sorted(settings))}")
    encoder = dvae.build(dvae.read(base["dvae"])).to(device)
    stats = read_stats(base["mel_stats"]).to(device)
    most = sizes.most_codes(base["config"])

    @torch.no_grad()
    def extract(samples: torch.Tensor) -> Arrays:
        if steps_of(len(samples)) > most:
            raise UserError(
                f"it lasts {len(samples) / RATE_HZ:.1f} s; the model has places for {most} codes, "
                f"{most * CODE_SAMPLES / RATE_HZ:.1f} s: set validate.max_s to that, or lower "
                "segment.max_s"
            )
        samples = samples.to(device, torch.float32)
        cond_mel = log_mel(samples, CONDITIONING_FFT, stats)
        # cuDNN would use TF32, whose error of 1e-3 changes codes
        with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
            codes = encoder(log_mel(samples, CODES_FFT, stats))
        # A multiple of 1024 samples has one frame more, and with it a code after the clip's end.
        codes = codes[: steps_of(len(samples))]
        return {"codes": codes.to("cpu", torch.int16), "cond_mel": cond_mel.cpu()}

    return extract


def n_steps(arrays: Arrays) -> int:
    """Number of codes."""
    return len(arrays["codes"])


def steps_of(n_samples: int) -> int:
    """Number of codes of so many samples."""
    return -(-n_samples // CODE_SAMPLES)
