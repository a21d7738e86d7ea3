"""Speech from text, by f5_tts's own sampler and with its rules for loudness and length."""

import numpy as np
import torch

from voicekiln.errors import UserError
from voicekiln.families import Clip
from voicekiln.families.f5.mel import HOP
from voicekiln.families.f5.text import Characters
from voicekiln.families.f5.vocoder import Vocoder

TARGET_RMS = 0.1  # a quieter reference is raised to this, and the speech lowered again
SWAY = -1.0  # upstream's sway sampling: more steps early in the flow
SHORT_TEXT_BYTES = 10  # below this, upstream allows more than three times the length
SHORT_TEXT_SPEED = 0.3


def speak(
    model: torch.nn.Module,
    tokenizer: Characters,
    decoder: Vocoder,
    prompt: Clip,
    text: str,
    language: str,
    *,
    seed: int,
    steps: int = 32,
    cfg_strength: float = 2.0,
) -> np.ndarray:
    """`text` in the voice of the prompt, `[n]` float32 samples at 24 kHz.

    The length follows from the prompt's: as many frames per byte of text. The state of torch's
    generators and the model's mode are as before the call, so a training may call this.

    Args:
        model: from `build`, with weights.
        tokenizer: the run's.
        decoder: from `decoder`.
        prompt: the reference clip, of a length in `REFERENCE_S`; without samples its mel is used
            as it is, with them a quiet one is raised as upstream does it.
        text: one or a few sentences, not a page.
        language: makes no difference.
        seed: of the noise.
        steps: evaluations of the flow; 32 is usual.
        cfg_strength: strength of classifier-free guidance; 2 is usual, 0 is none.

    Raises:
        UserError: an empty text, silent reference, or a character outside the vocabulary.
    """
    reference_text = prompt.text
    if not text.strip() or not reference_text.strip():
        raise UserError(f"speak: empty text ({text!r} after {reference_text!r})")
    reference = prompt.arrays["mel"] if prompt.samples is None else prompt.samples
    condition = torch.as_tensor(reference, dtype=torch.float32)[None]  # [1, n] or [1, T, N_MELS]
    gain, n_reference = 1.0, condition.shape[1] - 1
    if condition.ndim == 2:
        rms = float(condition.square().mean().sqrt())
        if rms == 0:
            raise UserError("speak: the reference clip is silent")
        gain, n_reference = max(1.0, TARGET_RMS / rms), condition.shape[1] // HOP
    if len(reference_text[-1].encode()) == 1:
        reference_text += " "
    ids = torch.tensor([tokenizer.encode(reference_text + text, language)])

    text_bytes = len(text.encode())
    speed = SHORT_TEXT_SPEED if text_bytes < SHORT_TEXT_BYTES else 1.0
    frames_per_byte = n_reference / len(reference_text.encode())
    n_frames = n_reference + int(frames_per_byte * text_bytes / speed)

    device, was_training = model.device, model.training
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.inference_mode(), torch.random.fork_rng(devices=devices):
            mels, _ = model.sample(
                cond=(condition * gain if gain > 1 else condition).to(device),
                text=ids.to(device),
                duration=n_frames,
                steps=steps,
                cfg_strength=cfg_strength,
                sway_sampling_coef=SWAY,
                seed=seed,
            )
    finally:
        model.train(was_training)
        model.transformer.clear_cache()  # upstream leaves the text there when it fails
    samples = decoder(mels[0, n_reference:].float())
    return samples / gain if gain > 1 else samples
