"""What speaks beside XTTS's GPT, of coqui-tts's own classes: HiFi-GAN and the speaker encoder.

HiFi-GAN makes the waveform from the GPT's latents and a vector of the speaker, which a ResNet
computes from a reference clip. No training changes either.

`T` frames of a mel, `D` width of the GPT.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import voicekiln.upstream  # noqa: F401  (coqui-tts can be imported after it)
from voicekiln.audio.compiled import librosa
from voicekiln.errors import UserError
from voicekiln.families import Clip, Files
from voicekiln.families import mel as bands
from voicekiln.families.xtts import mel, sizes
from voicekiln.families.xtts import weights as xtts_weights

SPEECH_HZ = 24000
SPEAKER_HZ = 16000  # of the speaker encoder's input
MIN_CHUNK_S = 0.33  # upstream leaves shorter chunks of a reference out
LOUDEST = 0.75  # peak of a reference if config.json asks for normalised ones
GRIFFIN_LIM_STEPS = 30
# HifiDecoder's arguments in config.json's model_args.
ARGUMENTS = ("decoder_input_dim", "d_vector_dim", "cond_d_vector_in_each_upsampling_layer")
# Seconds of a reference that are used, of its conditioning, and of one chunk of that: the keys of
# config.json, and what upstream assumes.
SECONDS = {"max_ref_len": 10, "gpt_cond_len": 12, "gpt_cond_chunk_len": 4}


@dataclass(frozen=True)
class Decoder:
    """HiFi-GAN and the speaker encoder with the weights of a release.

    Attributes:
        hifigan: coqui-tts's `HifiDecoder`, in eval mode.
        stats: `[80]` mel statistics, on the CPU.
        seconds: of a reference, by the names in `SECONDS`.
        normalise: whether a reference's peak is set to `LOUDEST`.
    """

    hifigan: torch.nn.Module
    stats: torch.Tensor
    seconds: Mapping[str, float]
    normalise: bool

    def reference(self, prompt: Clip) -> tuple[list[torch.Tensor], torch.Tensor]:
        """The mels for the GPT's conditions, and the vector of the speaker `[1, 512, 1]`.

        With the samples of the clip both are computed as upstream does it. With features alone, as
        in a training, the mel is cut into the chunks, and the speaker is recognised from its
        inversion: the speaker encoder looks at the energy of mel bands, not at phases.

        Args:
            prompt: the reference clip.

        Returns:
            list of `[T, 80]`, one for each chunk, and the vector.

        Raises:
            UserError: the clip is shorter than `MIN_CHUNK_S`.
        """
        if prompt.samples is None:
            frames = prompt.arrays["cond_mel"].float().cpu()
            frames = frames[: self._length("max_ref_len", mel.RATE_HZ / mel.HOP)]
            samples = invert(frames * self.stats)
            chunks = self._chunks(frames, mel.RATE_HZ / mel.HOP)
        else:
            samples = torch.as_tensor(prompt.samples, dtype=torch.float32).cpu().clamp(-1, 1)
            samples = samples[: self._length("max_ref_len", mel.RATE_HZ)]
            if self.normalise and samples.any():
                samples = samples / samples.abs().max() * LOUDEST
            chunks = [
                mel.log_mel(chunk, mel.CONDITIONING_FFT, self.stats)
                for chunk in self._chunks(samples, mel.RATE_HZ)
            ]
        if not chunks:
            raise UserError(
                f"{prompt.id}: the reference clip is shorter than {MIN_CHUNK_S} s, from which XTTS"
                " cannot take a voice; choose another one"
            )
        return chunks, self.speaker(samples)

    def speaker(self, samples: torch.Tensor) -> torch.Tensor:
        """The vector `[1, 512, 1]` of the speaker of samples `[n]` at 22050 Hz."""
        from torchaudio.functional import resample

        at_16k = resample(samples[None], mel.RATE_HZ, SPEAKER_HZ).to(self.hifigan.device)
        return self.hifigan.speaker_encoder(at_16k, l2_norm=True)[..., None]

    def waveform(self, latents: torch.Tensor, speaker: torch.Tensor, speed: float) -> np.ndarray:
        """Samples `[n]` float32 at 24 kHz of latents `[M, D]`; 1 / speed times as long."""
        latents = latents[None].float().to(self.hifigan.device)
        if speed != 1:
            latents = torch.nn.functional.interpolate(
                latents.transpose(1, 2), scale_factor=1 / speed, mode="linear"
            ).transpose(1, 2)
        return self.hifigan(latents, g=speaker).flatten().cpu().numpy()

    def _length(self, key: str, per_s: float) -> int:
        return round(self.seconds[key] * per_s)

    def _chunks(self, reference: torch.Tensor, per_s: float) -> list[torch.Tensor]:
        """Consecutive parts of samples or frames, of which there are `per_s` in a second."""
        reference = reference[: self._length("gpt_cond_len", per_s)]
        chunks = reference.split(self._length("gpt_cond_chunk_len", per_s))
        return [chunk for chunk in chunks if len(chunk) >= MIN_CHUNK_S * per_s]


def decoder(base: Files, vocoder: Path | None, device: str) -> Decoder:
    """The decoder with the weights in `base["model"]`.

    Args:
        base: its files `model`, `config` and `mel_stats`.
        vocoder: not used; HiFi-GAN is part of the release.
        device: where HiFi-GAN and the speaker encoder run.

    Raises:
        UserError: the file holds no decoder, or not the one of `config`.
    """
    config = sizes.read_config(base["config"])
    tensors = {
        name.removeprefix(xtts_weights.DECODER): tensor
        for name, tensor in xtts_weights.read(base["model"]).rest.items()
        if name.startswith(xtts_weights.DECODER)
    }
    hifigan = build(config)
    try:
        hifigan.load_state_dict(tensors)
    except RuntimeError as error:
        raise UserError(
            f"{base['model']}: its decoder (hifigan_decoder.*) is not the one that coqui-tts builds"
            f" for {base['config']} ({str(error).splitlines()[-1].strip()}); give the release's"
            " model.pth"
        ) from error
    return Decoder(
        hifigan.eval().requires_grad_(False).to(device),
        mel.read_stats(base["mel_stats"]),
        {key: config.get(key, default) for key, default in SECONDS.items()},
        bool(config.get("sound_norm_refs", False)),
    )


def build(config: Mapping[str, Any]) -> torch.nn.Module:
    """coqui-tts's `HifiDecoder` for a config.json, with random weights; torch's RNG stays."""
    # Imported here: it takes seconds.
    from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder

    args = config["model_args"]
    with torch.random.fork_rng(devices=[]):
        return HifiDecoder(**{name: args[name] for name in ARGUMENTS if name in args})


def invert(log_mel: torch.Tensor) -> torch.Tensor:
    """Samples `[n]` at 22050 Hz whose conditioning mel is near `[T, 80]`, by Griffin-Lim."""
    bank = bands.filterbank(mel.RATE_HZ, mel.CONDITIONING_FFT, 80, mel.TOP_HZ, equal_area=True)
    power = bands.linear(log_mel.exp().numpy().T, bank.numpy().T)
    samples = librosa.griffinlim(
        np.sqrt(power),
        n_iter=GRIFFIN_LIM_STEPS,
        hop_length=mel.HOP,
        win_length=mel.WINDOW,
        n_fft=mel.CONDITIONING_FFT,
        random_state=0,  # of the first phases; a mel always gives the same samples
    )
    return torch.from_numpy(samples.astype(np.float32))
