"""Noise and music taken out of a recording before it is normalised, block by block.

Both are optional and need packages of their own, imported only when they are used. What they take
away is judged by nobody: listen to some recordings before a whole corpus goes through.
"""

import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import soxr

from voicekiln.audio.measures import DIGITAL_SILENCE_DB
from voicekiln.errors import UserError

Blocks = Iterable[np.ndarray]  # `[n]` float32 each, mono, full scale 1
# takes what begins the blocks anew, and their rate; gives as many samples
Enhance = Callable[[Callable[[], Blocks], int], Iterator[np.ndarray]]

DENOISE_S, DENOISE_REACH_S = 60.0, 1.0  # at once
FRAME = 1024  # samples, of noisereduce's transform
NOISE_SHARE, NOISE_FRAME_S, MAX_NOISE_FRAMES = 0.1, 0.1, 300
# 1 takes all that is below the gate, and sounds of speech with it; see docs/data-quality.md
DEPTH = 0.8

SEPARATE_HZ, SEPARATE_CHANNELS = 44_100, 2  # what Demucs is trained on
SEPARATE_S, SEPARATE_FADE_S = 10.0, 1.0
STRIDE = 4  # of Demucs's layers along frequency
VOCALS, N_SOURCES = 3, 4  # drums, bass, other, vocals


def denoise(blocks: Callable[[], Blocks], rate_hz: int) -> Iterator[np.ndarray]:
    """The recording with its steady noise gated in each band.

    By noisereduce, with the quietest tenth of the recording for the noise: left to find the noise
    by itself it takes the voice for it where there are few pauses.
    """
    import noisereduce

    noise = quietest(blocks, round(NOISE_FRAME_S * rate_hz))
    if noise is None:
        yield from blocks()
        return
    # whole frames of its transform, so that windows see the frames that the whole would have
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
    """`[n]` float32 of the quietest frames, spread over the recording; None where all is silent.

    Args:
        blocks: what begins the recording anew; its blocks have equal lengths but for the last.
        n_frame: samples of a frame.
    """

    def framed():
        for block in blocks():
            yield block[: len(block) // n_frame * n_frame].reshape(-1, n_frame)

    powers = np.concatenate([np.square(frames).mean(axis=1) for frames in framed()])
    heard = powers > 10 ** (DIGITAL_SILENCE_DB / 10)
    if not heard.any():
        return None
    quiet = np.flatnonzero(heard & (powers <= np.quantile(powers[heard], NOISE_SHARE)))
    wanted = np.zeros(len(powers), bool)
    wanted[quiet[:: -(-len(quiet) // MAX_NOISE_FRAMES)]] = True
    found, at = [], 0
    for frames in framed():
        found.append(frames[wanted[at : at + len(frames)]].ravel())
        at += len(frames)
    return np.concatenate(found)


class Separator:
    """Hybrid Demucs (A. Défossez, "Hybrid Spectrogram and Waveform Source Separation", 2021) in the
    form that torchaudio has; everything but the voice is left out."""

    def __init__(self, model: Path):
        """
        Args:
            model: weights of `torchaudio.models.HDemucs` for drums, bass, other and vocals, such as
                those of torchaudio's pipeline HDEMUCS_HIGH_MUSDB_PLUS. Sizes are read off them.

        Raises:
            UserError: the file holds no such weights.
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
                    headers.entries(Path(model))  # refuses one that would not fit into memory
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
                raise ValueError(f"{last} outputs for {N_SOURCES} sources in stereo")
            network.load_state_dict(weights)
        except Exception as error:
            raise UserError(
                f"{model}: expected the weights of torchaudio's HDemucs for four sources ({error})"
            ) from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._network = network.eval().to(self._device)

    def __call__(self, blocks: Callable[[], Blocks], rate_hz: int) -> Iterator[np.ndarray]:
        """The voice in a recording, with as many samples."""
        counted = [0]

        def wide():
            up = soxr.ResampleStream(rate_hz, SEPARATE_HZ, 1, dtype="float32")
            for block in blocks():
                counted[0] += len(block)
                yield up.resample_chunk(np.ascontiguousarray(block, np.float32))
            yield up.resample_chunk(np.zeros(0, np.float32), last=True)

        down = soxr.ResampleStream(SEPARATE_HZ, rate_hz, 1, dtype="float32")
        n_given = 0
        for voice in self._voices(wide()):
            narrow = down.resample_chunk(voice)
            n_given += len(narrow)
            yield narrow
        rest = down.resample_chunk(np.zeros(0, np.float32), last=True)
        n_left = counted[0] - n_given
        yield np.pad(rest, (0, max(0, n_left - len(rest))))[:n_left]

    def _voices(self, blocks):
        """Overlapping windows are faded into each other."""
        fade = round(SEPARATE_FADE_S * SEPARATE_HZ)
        rising = np.linspace(0, 1, 2 * fade, dtype=np.float32)
        held = np.zeros(0, np.float32)  # faded out end of the window before
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
    """Windows of `size` samples with `reach` more at both sides, where there are so many.

    Yields the window's samples and how many of them lie before and after its own.
    """
    held, before = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= before + size + 2 * reach:
            yield held[: before + size + reach], before, reach
            held, before = held[before + size - reach :], reach
    if len(held) > before:
        yield held, before, 0
