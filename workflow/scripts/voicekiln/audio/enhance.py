"""Optional denoising and voice separation before normalisation, block by block.

Each needs extra packages, imported only when used. Nothing checks how much speech they remove:
listen to some recordings before you process a whole corpus.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from voicekiln.audio.measures import DIGITAL_SILENCE_DB
from voicekiln.errors import UserError

Blocks = Iterable[np.ndarray]  # `[n]` float32 each, mono, full scale 1
# takes a function that restarts the blocks, and their rate; yields as many samples
Enhance = Callable[[Callable[[], Blocks], int], Iterator[np.ndarray]]

DENOISE_S, DENOISE_REACH_S = 60.0, 1.0  # processed at once
FRAME = 1024  # samples; FFT size of noisereduce
NOISE_FRACTION, NOISE_FRAME_S, MAX_NOISE_FRAMES = 0.1, 0.1, 300
# 1 removes everything below the gate, speech sounds included; see docs/data-quality.md
DEPTH = 0.8

SEPARATE_HZ, SEPARATE_CHANNELS = 44_100, 2  # Demucs's training data
SEPARATE_S, SEPARATE_FADE_S = 10.0, 1.0
STRIDE = 4  # of Demucs's layers along frequency
VOCALS, N_SOURCES = 3, 4  # drums, bass, other, vocals


def denoise(blocks: Callable[[], Blocks], rate_hz: int) -> Iterator[np.ndarray]:
    """Remove steady noise by spectral gating (noisereduce).

    The noise profile is the quietest tenth of the recording: noisereduce's own estimate includes
    the voice if there are few pauses.
    """
    import noisereduce

    noise = quietest(blocks, round(NOISE_FRAME_S * rate_hz))
    if noise is None:
        yield from blocks()
        return
    # whole FFT frames, so that windows have the same frames as the whole recording
    size, reach = (round(s * rate_hz) // FRAME * FRAME for s in (DENOISE_S, DENOISE_REACH_S))
    for part, before, after in _windows(blocks(), size, reach):
        quiet = noisereduce.reduce_noise(
            part,
            rate_hz,
            stationary=True,
            y_noise=noise,
            clip_noise_stationary=False,
            prop_decrease=DEPTH,
            n_fft=FRAME,
            chunk_size=len(part),
        )
        yield quiet[before : len(part) - after].astype(np.float32)


def quietest(blocks: Callable[[], Blocks], n_frame: int) -> np.ndarray | None:
    """`[n]` float32: the quietest frames, spread over the recording; None if all is silent.

    Args:
        blocks: restarts the recording; blocks have equal lengths except the last.
        n_frame: samples per frame.
    """

    def framed():
        for block in blocks():
            yield block[: len(block) // n_frame * n_frame].reshape(-1, n_frame)

    powers = np.concatenate([np.square(frames).mean(axis=1) for frames in framed()])
    audible = powers > 10 ** (DIGITAL_SILENCE_DB / 10)
    if not audible.any():
        return None
    quiet = np.flatnonzero(audible & (powers <= np.quantile(powers[audible], NOISE_FRACTION)))
    wanted = np.zeros(len(powers), bool)
    wanted[quiet[:: -(-len(quiet) // MAX_NOISE_FRAMES)]] = True
    found, at = [], 0
    for frames in framed():
        found.append(frames[wanted[at : at + len(frames)]].ravel())
        at += len(frames)
    return np.concatenate(found)


class Separator:
    """Extract the voice by Hybrid Demucs in torchaudio's implementation.

    A. Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021.
    """

    def __init__(self, model: Path):
        """
        Args:
            model: weights of `torchaudio.models.HDemucs` for drums, bass, other and vocals, such as
                those of torchaudio's pipeline HDEMUCS_HIGH_MUSDB_PLUS; they determine the sizes.

        Raises:
            UserError: the file does not contain such weights.
        """
        import torch

        from voicekiln import upstream
        from voicekiln.weights import headers

        upstream.prepare()
        from torchaudio.models import HDemucs

        try:
            if Path(model).suffix == ".safetensors":
                from safetensors.torch import load_file

                weights = load_file(model)
            else:
                if zipfile.is_zipfile(model):
                    headers.entries(Path(model))  # raises if it would not fit into memory
                weights = torch.load(model, map_location="cpu", weights_only=True)
            depth = len({key.split(".")[1] for key in weights if key.startswith("freq_encoder.")})
            last = weights[f"freq_decoder.{depth - 1}.conv_tr.weight"].shape[1]
            network = HDemucs(
                sources=["drums", "bass", "other", "vocals"],
                channels=weights["freq_encoder.0.conv.weight"].shape[0],
                nfft=2 * STRIDE * weights["freq_emb.embedding.weight"].shape[0],
                depth=depth,
            )
            if last != 2 * SEPARATE_CHANNELS * N_SOURCES:
                raise ValueError(f"{last} output channels for {N_SOURCES} stereo sources")
            network.load_state_dict(weights)
        except Exception as error:
            raise UserError(
                f"{model}: expected weights of torchaudio's HDemucs for four sources ({error})"
            ) from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = network.eval().to(self._device)

    def __call__(self, blocks: Callable[[], Blocks], rate_hz: int) -> Iterator[np.ndarray]:
        """The voice in a recording, with the same number of samples."""
        counted = [0]

        def wide():
            up = soxr.ResampleStream(rate_hz, SEPARATE_HZ, 1, dtype="float32")
            for block in blocks():
                counted[0] += len(block)
                yield up.resample_chunk(np.ascontiguousarray(block, np.float32))
            yield up.resample_chunk(np.zeros(0, np.float32), last=True)

        down = soxr.ResampleStream(SEPARATE_HZ, rate_hz, 1, dtype="float32")
        n_written = 0
        for voice in self._voices(wide()):
            narrow = down.resample_chunk(voice)
            n_written += len(narrow)
            yield narrow
        rest = down.resample_chunk(np.zeros(0, np.float32), last=True)
        n_missing = counted[0] - n_written
        yield np.pad(rest, (0, max(0, n_missing - len(rest))))[:n_missing]

    def _voices(self, blocks):
        """Cross-fade the voice of overlapping windows."""
        fade = round(SEPARATE_FADE_S * SEPARATE_HZ)
        rising = np.linspace(0, 1, 2 * fade, dtype=np.float32)
        held = np.zeros(0, np.float32)  # faded-out end of the previous window
        for part, before, after in _windows(blocks, round(SEPARATE_S * SEPARATE_HZ), fade):
            voice = self._voice(part)
            if before:
                voice[: 2 * fade] = voice[: 2 * fade] * rising + held
            n_ready = len(voice) - (2 * fade if after else 0)
            yield voice[:n_ready]
            held = voice[n_ready:] * rising[::-1] if after else held

    def _voice(self, samples):
        import torch

        scale = float(samples.std()) or 1.0
        middle = float(samples.mean())
        mix = np.pad((samples - middle) / scale, (0, max(0, SEPARATE_HZ - len(samples))))
        mix = torch.from_numpy(mix).to(self._device)
        with torch.inference_mode():
            sources = self._network(mix.expand(1, SEPARATE_CHANNELS, -1))
        return sources[0, VOCALS].mean(dim=0).cpu().numpy()[: len(samples)] * scale


def _windows(blocks: Blocks, size: int, reach: int) -> Iterator[tuple[np.ndarray, int, int]]:
    """Windows of `size` samples with up to `reach` samples of context on both sides.

    Yields the samples with context, and the number of context samples before and after.
    """
    held, before = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= before + size + 2 * reach:
            yield held[: before + size + reach], before, reach
            held, before = held[before + size - reach :], reach
    if len(held) > before:
        yield held, before, 0
