"""XTTS's GPT with its conditioning; its tensors are called as in model.pth, there after `gpt.`.

B batch, C conditions, T frames, D width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from voicekiln.families.gpt import Gpt, TextStop
from voicekiln.families.perceiver import Perceiver
from voicekiln.families.xtts.conditioning import ConditioningEncoder

N_MELS = 80


class XttsGpt(Gpt):
    """A `Gpt` whose conditions come from the mel of a reference clip.

    Args:
        cond_latents: C, number of conditions.
        text_stop: whether training lets the codes attend to the text's STOP; the release was
            trained with it hidden.
        gpt: see `Gpt`.
    """

    def __init__(self, *, cond_latents: int = 32, text_stop: TextStop = "hidden", **gpt: Any):
        super().__init__(**gpt)
        self.text_stop = text_stop
        self.conditioning_encoder = ConditioningEncoder(N_MELS, gpt["width"], gpt["heads"])
        self.conditioning_perceiver = Perceiver(gpt["width"], n_latents=cond_latents)

    def conditions(self, mels: torch.Tensor, n_frames: torch.Tensor | None = None) -> torch.Tensor:
        """`[B, C, D]` conditions of `[B, T, 80]` conditioning mels.

        Args:
            mels: padded at the end with anything.
            n_frames: `[B]` frames of each; None if all have T.
        """
        mask = None
        if n_frames is not None:
            place = torch.arange(mels.shape[1], device=mels.device)
            mask = place < n_frames[:, None]  # [B, T]
        return self.conditioning_perceiver(self.conditioning_encoder(mels, mask), mask)

    @torch.inference_mode()
    def latents(self, chunks: Sequence[torch.Tensor]) -> torch.Tensor:
        """`[1, C, D]` conditions for inference: the mean over the chunks of a reference clip.

        Upstream's `get_conditioning_latents` cuts the samples into chunks of some seconds, leaves
        out those below 0.33 s, and computes the mel of each.

        Args:
            chunks: `[T, 80]` conditioning mels, each of its own length.
        """
        return torch.stack([self.conditions(mel[None]) for mel in chunks]).mean(0)


def build(arch: Mapping[str, Any], n_tokens: int) -> XttsGpt:
    """The model with random weights.

    Args:
        arch: arguments of `XttsGpt`, but for `n_text_tokens`.
        n_tokens: size of the vocabulary.
    """
    return XttsGpt(**arch, n_text_tokens=n_tokens)


def blocks(model: XttsGpt) -> Sequence[nn.Module]:
    """The blocks of GPT-2, all of one kind; nearly all of the time is spent in them."""
    return model.gpt.h


def freeze_presets(model: XttsGpt) -> dict[str, list[str]]:
    """Patterns of parameter names, by their names in `train.freeze`."""
    half = len(model.gpt.h) // 2
    return {
        "text": ["text_embedding.*", "text_pos_embedding.*", "text_head.*"],
        "conditioning": ["conditioning_encoder.*", "conditioning_perceiver.*"],
        "blocks": ["gpt.h.*"],
        "first_half": [f"gpt.h.{i}.*" for i in range(half)],
        "all_but_last_two": [f"gpt.h.{i}.*" for i in range(len(model.gpt.h) - 2)],
    }


def no_decay(model: XttsGpt) -> list[str]:
    """Names of the parameters without weight decay: embeddings, norms and biases, as upstream."""
    exempt = (nn.Embedding, nn.LayerNorm, nn.GroupNorm)
    return [
        name
        for prefix, module in model.named_modules()
        for key, _ in module.named_parameters(recurse=False)
        if (name := f"{prefix}.{key}".lstrip(".")) and (key == "bias" or isinstance(module, exempt))
    ]
