"""The flow-matching loss of F5-TTS, with draws that belong to clips and not to batches.

The value is that of `f5_tts.model.CFM.forward` for the same draws. Two things differ on purpose:

* upstream draws from the process's generator for a whole batch, so the loss of a clip depends on
  the other clips of its batch and on everything drawn before. Here noise, time, masked span and
  dropped conditions of a clip come from the clip's own generator. Upstream drops the conditions of
  a whole batch at once; here each clip is dropped by its own draw, with the same probabilities.
* upstream returns the mean over the masked frames of a batch, so a batch with few of them counts as
  much as one with many. Here `loss` returns a sum, which the training loop divides by the masked
  frames of the whole update.

Padding holds zeros where upstream adds noise to it. The released models attend to padding (their
`attn_mask_enabled` is off), so the padded length affects the result: `collate` takes it as an
argument, and a batch split into parts, padded like the whole, gives the same update as the whole.

B batch, T frames with padding, N text tokens with padding, D mel channels.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from voicekiln.families import Batch, Clip

LOSS_VERSION = 1  # raised when the same draws give another loss
# CFM's defaults, which no released configuration changes.
MASKED = (0.7, 1.0)  # fraction of a clip's frames
DROP_AUDIO = 0.3
DROP_ALL = 0.2
NO_TOKEN = -1  # text padding; the model adds 1 and gets its filler, row 0


@dataclass(frozen=True)
class Draws:
    """The random choices for one clip in one update.

    Attributes:
        noise: `[n_frames, D]` normal.
        time: place on the path from noise (0) to mel (1).
        span: first masked frame and the one after the last.
        drop_audio: the model sees no frame of the clip.
        drop_text: the model sees no text.
    """

    noise: torch.Tensor
    time: float
    span: tuple[int, int]
    drop_audio: bool
    drop_text: bool


def draw(clip: Clip, rng: torch.Generator, train: bool) -> Draws:
    """The random choices for a clip; without `train` no conditions are dropped."""
    mel = clip.arrays["mel"]
    fraction, place, time, audio, all_ = torch.rand(5, generator=rng).tolist()
    low, high = MASKED
    masked = int((low + (high - low) * fraction) * len(mel))
    start = int((len(mel) - masked) * place)
    drop_all = train and all_ < DROP_ALL
    return Draws(
        noise=torch.randn(mel.shape, generator=rng),
        time=time,
        span=(start, start + masked),
        drop_audio=drop_all or (train and audio < DROP_AUDIO),
        drop_text=drop_all,
    )


def collate(clips: Sequence[Clip], draws: Sequence[Draws], pad_to: int | None = None) -> Batch:
    """A batch.

    Args:
        clips: its clips.
        draws: from `draw`, one for each.
        pad_to: frames to pad to; None for those of the longest clip.

    Returns:
        tensors with B first: `mel`, `noise`, `text`, and `clips`, per-clip scalars in one tensor
        (every tensor from a loader process costs time); `longest`: frames of the longest clip;
        `totals`: number of values in masked frames.
    """
    mels = [clip.arrays["mel"] for clip in clips]
    longest = max(map(len, mels))
    shape = (len(clips), pad_to or longest, mels[0].shape[1])
    mel, noise = torch.zeros(shape), torch.zeros(shape)  # [B, T, D]
    for i, (own, drawn) in enumerate(zip(mels, draws, strict=True)):
        mel[i, : len(own)] = own
        noise[i, : len(own)] = drawn.noise
    scalars = [
        (len(own), *drawn.span, drawn.time, drawn.drop_audio, drawn.drop_text)
        for own, drawn in zip(mels, draws, strict=True)
    ]
    text_ids = [clip.text_ids for clip in clips]
    return {
        "mel": mel,
        "noise": noise,
        "text": pad_sequence(text_ids, batch_first=True, padding_value=NO_TOKEN),
        "clips": torch.tensor(scalars, dtype=torch.float32),
        "longest": longest,
        "totals": {"flow": sum(d.span[1] - d.span[0] for d in draws) * shape[2]},
    }


def loss(model: torch.nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
    """Sum of the squared errors of the flow in masked frames.

    Args:
        model: a CFM; its own `forward` is not used.
        batch: from `collate`, on the model's device.
    """
    mel, noise = batch["mel"], batch["noise"]
    lengths, start, end, time, drop_audio, drop_text = batch["clips"].unbind(1)  # [B] each
    n_frames = mel.shape[1]
    frame = torch.arange(n_frames, device=mel.device)
    mask = frame < lengths[:, None]  # [B, T]
    span = (frame >= start[:, None]) & (frame < end[:, None])  # [B, T]
    hidden = span | drop_audio.bool()[:, None]
    t = time[:, None, None]
    noised = (1 - t) * noise + t * mel
    flow = mel - noise
    filler_row = n_frames if n_frames > batch["longest"] else None
    with _text_by_clip(model.transformer.text_embed, drop_text.bool(), filler_row):
        predicted = model.transformer(
            x=noised,
            cond=mel.masked_fill(hidden[..., None], 0.0),
            text=batch["text"],
            time=time,
            mask=mask,
        )  # [B, T, D]
    error = (predicted.float() - flow).square().masked_fill(~span[..., None], 0.0)
    return {"flow": error.sum()}


@contextmanager
def _text_by_clip(
    text_embed: torch.nn.Module, drop: torch.Tensor, n_frames: int | None
) -> Iterator[None]:
    """Let upstream's TextEmbedding drop the text of some clips and pad beyond the longest clip.

    Its own `drop_text` is for a whole batch, and it decides by the tokens which positions are text
    before it drops them; so tokens become the filler just before the lookup. It pads to the longest
    clip; a row of the wanted length, removed afterwards, makes it pad further.

    Args:
        text_embed: the model's module.
        drop: `[B]` bool.
        n_frames: the length to pad to, if it is beyond the longest clip.
    """

    def lengthen(module, args, kwargs):
        (text,) = args
        row = text.new_full((1, text.shape[1]), NO_TOKEN)
        length = kwargs["seq_len"].new_tensor([n_frames])
        kwargs = kwargs | {"seq_len": torch.cat([kwargs["seq_len"], length])}
        return (torch.cat([text, row]),), kwargs

    def to_filler(module, args):
        (tokens,) = args
        return (tokens.masked_fill(padded_drop[:, None], 0),)

    padded_drop = drop
    hooks = [text_embed.text_embed.register_forward_pre_hook(to_filler)]
    if n_frames is not None:
        padded_drop = torch.cat([drop, drop.new_zeros(1)])
        hooks.append(text_embed.register_forward_pre_hook(lengthen, with_kwargs=True))
        hooks.append(text_embed.register_forward_hook(lambda module, args, output: output[:-1]))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
