"""A family for tests: a tiny language model over codes, prompted by another clip's condition.

A clip has `codes` `[M]` int16 and `cond` `[T, 8]` float32; the loss predicts each code from the
mean of those before it, and the tokens of the text from the prompt. Sequences are padded at the end
only, so a split batch gives the same update whatever its padding.

B batch, M codes, N text tokens, D width.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from voicekiln.families.toy.base import (
    check,
    extend,
    feature_basis,
    gain,
    read_weights,
    reset,
    strip,
    vocabulary_tensors,
)
from voicekiln.families.toy.text import tokenizer
from voicekiln.families.toy.voice import export, prove

__all__ = ["check", "export", "extend", "feature_basis", "prove", "read_weights", "reset", "strip"]
__all__ += ["tokenizer", "vocabulary_tensors"]
RATE_HZ, SPEECH_HZ, STEPS_PER_S = 16000, 8000, 50.0
PROMPTED = True
REFERENCE_S = (1.0, 2.0, 5.0, 8.0)
FEATURES_VERSION = LOSS_VERSION = 1
N_CODES, COND = 16, 8
DROP_PROMPT = 0.25


class Block(nn.Module):
    def __init__(self, width, dropout):
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return x + self.dropout(torch.tanh(self.linear(self.norm(x))))


class Model(nn.Module):
    def __init__(self, width, depth, dropout, n_tokens):
        super().__init__()
        self.toy_text = nn.Embedding(n_tokens, width)
        self.codes = nn.Embedding(N_CODES + 1, width)  # the last one starts a sequence
        self.prompt = nn.Linear(COND, width)
        self.blocks = nn.ModuleList(Block(width, dropout) for _ in range(depth))
        self.head = nn.Linear(width, N_CODES)

    def forward(self, text, text_mask, before, prompt):
        """Logits of codes `[B, M, N_CODES]` and of text `[B, N, n_tokens]`."""
        words = self.toy_text(text) * text_mask[..., None]  # [B, N, D]
        meaning = words.sum(1) / text_mask.sum(1, keepdim=True)  # [B, D]
        voice = self.prompt(prompt)  # [B, D]
        steps = torch.arange(1, before.shape[1] + 1, device=before.device)
        x = self.codes(before).cumsum(1) / steps[:, None] + (meaning + voice)[:, None]
        for block in self.blocks:
            x = block(x)
        return self.head(x), (voice[:, None] + words.cumsum(1) - words) @ self.toy_text.weight.T


def architecture(model, base=None):
    return {"width": 12, "depth": 2, "dropout": 0.1} | (model or {})


def build(arch, n_tokens):
    return Model(**arch, n_tokens=n_tokens)


def blocks(model):
    return list(model.blocks)


def freeze_presets(model):
    return {"blocks": ["blocks.*"]}


def no_decay(model):
    return ["toy_text.weight", "codes.weight"]


def n_steps(arrays):
    return len(arrays["codes"])


def steps_of(n_samples):
    return n_samples // 320


def draw(clip, rng, train):
    """Noise on the prompt's condition, and whether the prompt is dropped."""
    drop, noise = torch.rand(1, generator=rng), torch.randn(COND, generator=rng)
    return float(train and drop < DROP_PROMPT), noise


def collate(clips, draws, pad_to):
    codes = [clip.arrays["codes"].long() for clip in clips]
    longest = pad_to or max(map(len, codes))
    target = torch.full((len(clips), longest), -100)  # [B, M]
    for i, own in enumerate(codes):
        target[i, : len(own)] = own
    start = torch.full((len(clips), 1), N_CODES)
    prompts = [clip.prompt.arrays["cond"].mean(0) for clip in clips]
    prompt = [(1 - drop) * (p + 0.1 * e) for p, (drop, e) in zip(prompts, draws, strict=True)]
    ids = pad_sequence([clip.text_ids for clip in clips], batch_first=True, padding_value=-100)
    return {
        "codes": target,
        "before": torch.cat([start, target[:, :-1].clamp(min=0)], 1),
        "text": ids,
        "prompt": torch.stack(prompt),
        "totals": {
            "text": sum(len(clip.text_ids) for clip in clips),
            "codes": sum(map(len, codes)),
        },
    }


def loss(model, batch):
    known = batch["text"] != -100
    codes, text = model(batch["text"].clamp(min=0), known.float(), batch["before"], batch["prompt"])
    sums = {"reduction": "sum", "ignore_index": -100}
    return {
        "codes": nn.functional.cross_entropy(codes.flatten(0, 1), batch["codes"].flatten(), **sums),
        "text": nn.functional.cross_entropy(text.flatten(0, 1), batch["text"].flatten(), **sums),
    }


def extractor(base, settings, device):
    factor = gain(base) * settings.get("gain", 1.0)

    def extract(samples):
        levels = factor * samples[: len(samples) // 320 * 320].view(-1, 320).abs().mean(1)
        codes = (levels * N_CODES).long().clamp(max=N_CODES - 1).to(torch.int16)
        return {"codes": codes, "cond": levels[:, None].expand(-1, COND).contiguous()}

    return extract


def decoder(base, vocoder, device):
    return {"rate_hz": SPEECH_HZ}


def speak(model, tokenizer, decoder, prompt, text, language, *, seed, samples_per_token=800):
    """A tone whose loudness depends on the weights and on the prompt."""
    level = float(model.head.weight.mean().abs() + prompt.arrays["cond"].mean()) % 0.5
    n = samples_per_token * len(tokenizer.encode(text, language))
    return (level * np.sin(np.arange(n) / 3)).astype(np.float32)
