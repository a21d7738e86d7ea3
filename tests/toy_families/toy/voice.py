"""The exported toy voice."""

import json
from pathlib import Path

import numpy as np
import soundfile
from safetensors.torch import load_file, save_file
from voicekiln.errors import UserError
from voicekiln.families.toy.base import GAIN
from voicekiln.families.toy.text import NAME
from voicekiln.weights.files import state_sha256

RATE_HZ = 8000  # of the prompts, as of the speech


def export(folder, weights, base, arch, tokenizer, prompt_audio, prompt_text, settings, about):
    kept = {GAIN: load_file(base["checkpoint"])[GAIN]}
    save_file(weights | kept, Path(folder, "voice.safetensors"))
    Path(folder, NAME).write_text(json.dumps(tokenizer.letters))
    Path(folder, "prompts").mkdir()
    for name, samples in prompt_audio.items():
        soundfile.write(Path(folder, "prompts", f"{name}.wav"), samples, RATE_HZ, subtype="PCM_16")
    Path(folder, "HOW_TO_SPEAK.md").write_text("A toy cannot speak.\n")
    return {
        "checkpoint": "voice.safetensors",
        "base_files": {"checkpoint": "voice.safetensors", "vocab": NAME},
        "weights_sha256": state_sha256(weights),
    }


def prove(folder, manifest):
    found = load_file(Path(folder, manifest["checkpoint"]))
    del found[GAIN]
    if state_sha256(found) != manifest["weights_sha256"]:
        raise UserError(f"{folder}: other weights were written")
    prompts = sorted(Path(folder, "prompts").glob("*.wav"))
    assert np.isfinite(soundfile.read(prompts[0])[0]).all()
    return soundfile.info(prompts[0]).duration
