"""Speech from text, by f5_tts's own sampler and with its rules for loudness and length."""

from collections.abc import Mapping

import numpy as np
import torch

from voicekiln.errors import UserError
from voicekiln.families.f5.mel import HOP
from voicekiln.families.f5.text import tokens
from voicekiln.families.f5.vocoder import Vocoder

TARGET_RMS = 0.1  # a quieter reference is raised to this, and the speech lowered again
SWAY = -1.0  # upstream's sway sampling: more steps early in the flow
SHORT_TEXT_BYTES = 10  # below this, upstream allows more than three times the length
SHORT_TEXT_SPEED = 0.3


def speak(
    model: torch.nn.Module,
    vocab: Mapping[str, int],
    reference: np.ndarray | torch.Tensor,
    reference_text: str,
    text: str,
    *,
    steps: int,
    cfg: float,
    seed: int,
    vocoder: Vocoder,
    speed: float = 1.0,
) -> np.ndarray:
    """`text` in the voice of the reference, float32 samples at 24 kHz.

    The length follows from the reference's: as many frames per byte of text as it has. The state of
    torch's generators and the model's mode are as before the call, so a training may call this.

    Args:
        model: what `build` made, with weights.
        vocab: id of each token.
        reference: `[n]` samples at 24 kHz of the voice, best 3 to 12 s; or their features
            `[T, N_MELS]`, which are taken as loud as they are.
        reference_text: what is said in it.
        text: what to say; a sentence or a few, not a page.
        steps: evaluations of the flow; 32 is usual.
        cfg: strength of classifier-free guidance; 2 is usual, 0 is none.
        seed: of the noise.
        vocoder: from `load_vocoder`.
        speed: above 1 for faster speech.

    Raises:
        UserError: an empty text, silent reference, or a character outside the vocabulary.
    """
    if not text.strip() or not reference_text.strip():
        raise UserError(f"speak: empty text ({text!r} after {reference_text!r})")
    condition = torch.as_tensor(reference, dtype=torch.float32)[None]  # [1, n] or [1, T, N_MELS]
    gain, n_reference = 1.0, condition.shape[1] - 1
    if condition.ndim == 2:
        rms = float(condition.square().mean().sqrt())
        if rms == 0:
            raise UserError("speak: the reference clip is silent")
        gain, n_reference = max(1.0, TARGET_RMS / rms), condition.shape[1] // HOP
    if len(reference_text[-1].encode()) == 1:
        reference_text += " "
    ids = tokens([reference_text + text], dict(vocab), ids=["the text to speak"])[0][None]

    text_bytes = len(text.encode())
    if text_bytes < SHORT_TEXT_BYTES:
        speed = SHORT_TEXT_SPEED
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
                cfg_strength=cfg,
                sway_sampling_coef=SWAY,
                seed=seed,
            )
    finally:
        model.train(was_training)
        model.transformer.clear_cache()  # upstream leaves the text there when it fails
    samples = vocoder(mels[0, n_reference:].float())
    return samples / gain if gain > 1 else samples
