"""Proof of an exported voice: f5_tts's own code loads it and speaks with it, on the CPU."""

from collections.abc import Mapping
from pathlib import Path

import soundfile
import torch

import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)
from voicekiln.families.f5.mel import RATE_HZ
from voicekiln.families.f5.vocoder import griffin_lim
from voicekiln.families.proof import proven
from voicekiln.weights import files as checkpoints

STEPS = 2  # of the sampler; enough to see that it works
N_WORDS = 3  # of the reference's text, spoken again


def prove(folder: Path, manifest: Mapping) -> float:
    """Seconds that f5_tts's own code speaks from the files of a voice.

    Args:
        folder: written by `export`.
        manifest: content of its MANIFEST.json.

    Raises:
        UserError: see `proven`.
    """

    def load_and_speak():
        model = _load(folder, manifest)
        return checkpoints.state_sha256(model.state_dict()), _speak(folder, manifest, model).numpy()

    return proven("f5-tts", folder, manifest, load_and_speak, RATE_HZ)


def _load(folder, manifest):
    """The model, as f5_tts's infer_cli makes it from these files."""
    from f5_tts.infer.utils_infer import load_model
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    config = OmegaConf.load(folder / "config.yaml").model
    return load_model(
        get_class(f"f5_tts.model.{config.backbone}"),
        config.arch,
        str(folder / manifest["checkpoint"]),
        mel_spec_type=config.mel_spec.mel_spec_type,
        vocab_file=str(folder / "vocab.txt"),
        device="cpu",
    )


def _speak(folder, manifest, model) -> torch.Tensor:
    """`[n]` samples of a few words by f5_tts's sampler.

    By its vocoder, if one was exported; without one by ours, as f5_tts would fetch its own.
    """
    from f5_tts.infer import utils_infer

    text = (folder / "reference.txt").read_text(encoding="utf-8").strip()
    samples, rate_hz = soundfile.read(folder / "reference.wav", dtype="float32")
    vocoder = _OurVocoder()
    if manifest["vocoder"]:
        vocoder = utils_infer.load_vocoder(
            "vocos", is_local=True, local_path=str(folder / manifest["vocoder"]), device="cpu"
        )
    spoken, _, _ = next(
        utils_infer.infer_batch_process(
            (torch.from_numpy(samples)[None], rate_hz),
            text,
            [" ".join(text.split()[:N_WORDS])[:40]],
            model,
            vocoder,
            progress=None,
            nfe_step=STEPS,
            device="cpu",
        )
    )
    return torch.as_tensor(spoken)


class _OurVocoder:
    """Griffin-Lim with the interface of a Vocos."""

    def decode(self, mel: torch.Tensor) -> torch.Tensor:
        """`[1, n]` samples of a log-mel `[1, N_MELS, T]`."""
        return torch.from_numpy(griffin_lim(mel[0].T))[None]
