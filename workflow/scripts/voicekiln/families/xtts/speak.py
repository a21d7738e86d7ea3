"""Speech from text, as coqui-tts's `Xtts.inference` generates it, in any language.

The GPT's conditions and the speaker's vector come from the reference clip, the codes from our
generation, and the waveform from coqui-tts's HiFi-GAN, which reads what each code was predicted
from. Upstream runs the GPT over the finished codes once more for that.
"""

import numpy as np
import torch

from voicekiln.errors import UserError
from voicekiln.families import Clip, Tokenizer
from voicekiln.families.generation import Sampling, generate
from voicekiln.families.xtts.model import XttsGpt
from voicekiln.families.xtts.splitting import parts
from voicekiln.families.xtts.vocoder import Decoder

TRAINED_TOKENS = 200  # upstream trains with texts up to this length; longer ones are cut


def speak(
    model: XttsGpt,
    tokenizer: Tokenizer,
    decoder: Decoder,
    prompt: Clip,
    text: str,
    language: str,
    *,
    seed: int,
    temperature: float = 0.75,
    top_k: int = 50,
    top_p: float = 0.85,
    repetition_penalty: float = 10.0,
    speed: float = 1.0,
) -> np.ndarray:
    """`text` in the voice of the prompt, `[n]` float32 samples at 24 kHz.

    A text of more than 200 tokens is cut, at the ends of sentences if possible, and the speech
    joined. The state of torch's generators and the model's mode are as before the call, so a
    training may call this.

    Args:
        model: from `build`, with weights.
        tokenizer: the run's.
        decoder: from `decoder`.
        prompt: the reference clip; with its samples the voice is exact, see `Decoder.reference`.
        text: one or a few sentences, or more.
        language: code of the text's language; any that the tokenizer has.
        seed: of the sampling.
        temperature: divides the logits; 0 takes the most probable code.
        top_k: most probable codes to sample from; 0 for all.
        top_p: probability of the codes to sample from.
        repetition_penalty: of codes that have occurred; 1 is none.
        speed: 2 is twice as fast.

    Raises:
        UserError: an empty text, a token outside the vocabulary, a word longer than the model's
            limit, or a reference that is too short.
    """
    if not text.strip():
        raise UserError("speak: expected a text, got an empty one")
    sampling = Sampling(repetition_penalty, temperature, top_k, top_p)
    limit = min(TRAINED_TOKENS, model.max_text_tokens - 1)
    sentences = parts(text, lambda part: len(tokenizer.encode(part, language)) <= limit)
    device, was_training = model.mel_head.weight.device, model.training
    rng = torch.Generator().manual_seed(seed)
    model.eval()
    try:
        with torch.inference_mode():
            # The reference and the waveform need full precision, whatever the training has.
            with torch.autocast(device.type, enabled=False):
                mels, speaker = decoder.reference(prompt)
            conditions = model.latents([mel.to(device) for mel in mels])
            spoken = []
            for sentence in sentences:
                ids = torch.tensor(tokenizer.encode(sentence, language), device=device)
                found = generate(model, conditions, ids, sampling=sampling, rng=rng)
                with torch.autocast(device.type, enabled=False):
                    spoken.append(decoder.waveform(found.hidden, speaker, speed))
    finally:
        model.train(was_training)
    return np.concatenate(spoken)
