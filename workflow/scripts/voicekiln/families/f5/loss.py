"""The flow-matching loss of F5-TTS, with draws that belong to samples and not to batches.

The value is that of `f5_tts.model.CFM.forward` for the same draws. Two things differ on purpose:

* upstream draws from the process's generator for a whole batch, so the loss of a clip depends on
  what it is batched with and on everything drawn before. Here noise, time, masked span and dropped
  conditions of a sample come from (seed, update, sample id) alone. Upstream drops the conditions of
  a whole batch at once; here each sample is dropped by its own draw, with the same probabilities.
* upstream returns the mean over the masked frames of a batch, so a batch with few of them counts as
  much as one with many. Here a batch returns its sum divided by the masked frames of the whole
  update; the losses of an update's batches add up to the mean over the update.

Padding holds zeros where upstream adds noise to it. The released models attend to padding (their
`attn_mask_enabled` is off), so the padded length is part of the result: `collate` takes it as an
argument, and parts of a batch padded like the whole give the same update as the whole.

B batch, T frames with padding, N text tokens with padding, D mel channels.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

LOSS_VERSION = 1  # raised when the same draws give another loss
# CFM's defaults, which no released configuration changes.
MASKED_SHARE = (0.7, 1.0)
DROP_AUDIO = 0.3
DROP_ALL = 0.2
NO_TOKEN = -1  # text padding; the model adds 1 and gets its filler, row 0


@dataclass(frozen=True)
class Sample:
    """A clip as the model takes it.

    Attributes:
        id: names the clip in the run.
        features: `[n_frames, D]` float32, log mel.
        tokens: `[n_tokens]` int64.
    """

    id: str
    features: torch.Tensor
    tokens: torch.Tensor


@dataclass(frozen=True)
class Draws:
    """What is random about one sample in one update.

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


def draw(sample: Sample, seed: int, update: int | str, drops: bool = True) -> Draws:
    """The draws of a sample in an update (a number, or a word for what is no update).

    Args:
        sample: only its id and the shape of its features count.
        seed: of the run.
        update: updates done before this one.
        drops: whether conditions may be dropped; a validation keeps them.
    """
    key = hashlib.blake2b(f"{seed}:{update}:{sample.id}".encode(), digest_size=8).digest()
    rng = torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)
    share, place, time, audio, all_ = torch.rand(5, generator=rng).tolist()
    n_frames = len(sample.features)
    low, high = MASKED_SHARE
    masked = int((low + (high - low) * share) * n_frames)
    start = int((n_frames - masked) * place)
    drop_all = drops and all_ < DROP_ALL
    return Draws(
        noise=torch.randn(sample.features.shape, generator=rng),
        time=time,
        span=(start, start + masked),
        drop_audio=drop_all or (drops and audio < DROP_AUDIO),
        drop_text=drop_all,
    )


def collate(samples: Sequence[Sample], draws: Sequence[Draws], pad_to: int | None = None) -> dict:
    """A batch.

    Args:
        samples: its clips.
        draws: what `draw` gave for each.
        pad_to: frames to pad to; None for the longest clip.

    Returns:
        dict of tensors with B first: `mel`, `noise`, `text`, and `clips` with what there is one
        number of for each clip (one tensor, because every tensor costs when it comes from a loader
        process); `longest`: frames of the longest clip; `totals`: what the loss is divided by, the
        values in masked frames.
    """
    lengths = [len(sample.features) for sample in samples]
    longest = max(lengths)
    shape = (len(samples), pad_to or longest, samples[0].features.shape[1])
    mel, noise = torch.zeros(shape), torch.zeros(shape)  # [B, T, D]
    for i, (sample, drawn) in enumerate(zip(samples, draws, strict=True)):
        mel[i, : lengths[i]] = sample.features
        noise[i, : lengths[i]] = drawn.noise
    clips = [
        (n_frames, *drawn.span, drawn.time, drawn.drop_audio, drawn.drop_text)
        for n_frames, drawn in zip(lengths, draws, strict=True)
    ]
    return {
        "mel": mel,
        "noise": noise,
        "text": pad_sequence([s.tokens for s in samples], batch_first=True, padding_value=NO_TOKEN),
        "clips": torch.tensor(clips, dtype=torch.float32),
        "longest": longest,
        "totals": {"flow": sum(d.span[1] - d.span[0] for d in draws) * shape[2]},
    }


def loss(model: torch.nn.Module, batch: dict, totals: dict[str, int]) -> dict[str, torch.Tensor]:
    """A batch's share of the update's loss, by name; their sum is what is minimised.

    Args:
        model: a CFM; its own `forward` is not used.
        batch: what `collate` gave, on the model's device.
        totals: the batches' `totals`, added up over the update.
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
    with _text_by_sample(model.transformer.text_embed, drop_text.bool(), filler_row):
        predicted = model.transformer(
            x=noised,
            cond=mel.masked_fill(hidden[..., None], 0.0),
            text=batch["text"],
            time=time,
            mask=mask,
        )  # [B, T, D]
    error = (predicted.float() - flow).square().masked_fill(~span[..., None], 0.0)
    return {"flow": error.sum() / totals["flow"]}


@contextmanager
def _text_by_sample(
    text_embed: torch.nn.Module, drop: torch.Tensor, n_frames: int | None
) -> Iterator[None]:
    """Lets upstream's TextEmbedding drop the text of some samples and pad beyond the longest clip.

    Its own `drop_text` is for a whole batch, and it decides by the tokens which positions are text
    before it drops them; so tokens become the filler just before the lookup. It pads to the longest
    clip; a row of that length, removed again, makes it pad further.

    Args:
        text_embed: the model's.
        drop: `[B]` bool.
        n_frames: the length to pad to, where it is beyond the longest clip.
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
