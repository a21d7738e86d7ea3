"""Proof of an exported voice: coqui-tts's own code loads it and speaks with it, on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import voicekiln.upstream  # noqa: F401  (coqui-tts can be imported after it)
from voicekiln.families.proof import proven
from voicekiln.families.xtts import weights as xtts_weights
from voicekiln.families.xtts.cleaners import RELEASED, clean, code
from voicekiln.families.xtts.export import CONFIG
from voicekiln.families.xtts.vocoder import SPEECH_HZ
from voicekiln.weights import files as checkpoints

N_WORDS = 3  # of the reference's text, spoken again
MAX_CODES = 40  # 1.9 s; enough to see that it works


def prove(folder: Path, manifest: Mapping[str, Any]) -> float:
    """Seconds that coqui-tts's own code speaks from the files of a voice.

    Args:
        folder: written by `export`.
        manifest: content of its MANIFEST.json.

    Raises:
        UserError: see `proven`.
    """

    def load_and_speak():
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = _load(folder)
            return checkpoints.state_sha256(_weights(model)), _speak(folder, manifest, model)

    return proven("coqui-tts", folder, manifest, load_and_speak, SPEECH_HZ)


def _load(folder: Path):
    """The model, strictly loaded as HOW_TO_SPEAK.md shows."""
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    config = XttsConfig()
    config.load_json(str(folder / CONFIG))
    model = Xtts(config)
    model.load_checkpoint(config, checkpoint_dir=str(folder), eval=True, strict=True)
    return model


def _weights(model) -> dict[str, torch.Tensor]:
    """The GPT's tensors, without the copies that upstream adds for its generation."""
    return {
        name.removeprefix(xtts_weights.GPT): tensor
        for name, tensor in model.state_dict().items()
        if name.startswith(xtts_weights.GPT) and not xtts_weights.DERIVED.fullmatch(name)
    }


def _speak(folder: Path, manifest: Mapping[str, Any], model) -> np.ndarray:
    """`[n]` samples of a few words of the main reference clip's text, in its language."""
    text = (folder / "reference.txt").read_text(encoding="utf-8").strip()
    language = manifest["references"][0]["language"]
    if code(language) not in RELEASED:
        model.tokenizer.preprocess_text = clean
    model.gpt.max_gen_mel_tokens = MAX_CODES
    latents, speaker = model.get_conditioning_latents(audio_path=[str(folder / "reference.wav")])
    words = " ".join(text.split()[:N_WORDS])[:40]
    return model.inference(words, language, latents, speaker)["wav"]
