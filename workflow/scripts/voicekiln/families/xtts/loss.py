"""The losses of XTTS's GPT, with draws that belong to clips and not to batches.

The values are those of coqui-tts's `GPT.forward` in a clip without a crop. A clip is conditioned on
a random crop of itself, and the crop's codes are not in the loss, as the model could copy them.
What differs from upstream's trainer on purpose:

* the codes that are left out are those of the crop. Upstream leaves out codes at four times their
  place, and only in the last clip of a batch.
* a crop has its own length. Upstream pads it with silence to 6 s, and the model sees the silence.
* the crop is a span of the frames of the clip's mel. Upstream computes the mel of the cropped
  samples, so that the first and last two frames differ.
* validation draws and masks crops like training, always with the same draws. Upstream takes the
  first 4.5 s and does not mask.
* sums are divided by the counts of the whole update, and not batch by batch.

B batch, N text ids, M codes, T frames of the longest crop.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from voicekiln.families import Batch, Clip
from voicekiln.families.gpt import IGNORE, cross_entropy_sum
from voicekiln.families.xtts.mel import CODE_SAMPLES, HOP
from voicekiln.families.xtts.model import XttsGpt

LOSS_VERSION = 1  # raised when the same draws give another loss
CROP_SAMPLES = (66150, 132300)  # 3 s to 6 s at 22050 Hz
FRAMES_PER_CODE = CODE_SAMPLES // HOP
STOPS = 4  # stop tokens of each clip in the loss, as in the release's training


@dataclass(frozen=True)
class Draws:
    """The random choices for one clip in one update.

    Attributes:
        crop: first frame of the conditioning mel that the model sees, and the one after the last.
    """

    crop: tuple[int, int]

    def codes(self, n_codes: int) -> tuple[int, int]:
        """The codes that the crop's frames lie in: the first, and the one after the last."""
        start, end = self.crop
        return start // FRAMES_PER_CODE, min(-(-end // FRAMES_PER_CODE), n_codes)


def draw(clip: Clip, rng: torch.Generator, train: bool) -> Draws:
    """The crop of a clip: 3 s to 6 s, or half of a clip that is shorter than that.

    Args:
        clip: with `cond_mel`.
        rng: the clip's own.
        train: not used; validation conditions like training.
    """
    n_frames = len(clip.arrays["cond_mel"])
    low, high = CROP_SAMPLES
    length = 1 + int(torch.randint(low, high + 1, (1,), generator=rng)) // HOP
    if length > n_frames:
        length = max(n_frames // 2, 1)
    start = int(torch.randint(n_frames - length + 1, (1,), generator=rng))
    return Draws((start, start + length))


def collate(clips: Sequence[Clip], draws: Sequence[Draws], pad_to: int | None = None) -> Batch:
    """A batch.

    Args:
        clips: its clips.
        draws: from `draw`, one for each.
        pad_to: not used; padding has no effect on a clip.

    Returns:
        tensors with B first: `text` `[B, N]`, `codes` `[B, M]`, `crops` `[B, T, 80]`, and `clips`,
        per-clip numbers in one tensor (every tensor from a loader process costs time); `longest`:
        largest sum of a clip's text ids and codes; `ragged`: whether crops have different lengths;
        `totals`: numbers of tokens in the loss.
    """
    codes = [clip.arrays["codes"].long() for clip in clips]
    crops = [
        clip.arrays["cond_mel"][slice(*drawn.crop)]
        for clip, drawn in zip(clips, draws, strict=True)
    ]
    numbers = [
        (len(clip.text_ids), len(own), len(crop), *drawn.codes(len(own)))
        for clip, own, crop, drawn in zip(clips, codes, crops, draws, strict=True)
    ]
    return {
        "text": pad_sequence([clip.text_ids for clip in clips], batch_first=True),
        "codes": pad_sequence(codes, batch_first=True),
        "crops": pad_sequence(crops, batch_first=True),
        "clips": torch.tensor(numbers),
        "longest": max(n_text + n_codes for n_text, n_codes, *_ in numbers),
        "ragged": len({len(crop) for crop in crops}) > 1,
        "totals": {
            "text_ce": sum(n_text + 1 for n_text, *_ in numbers),
            "mel_ce": sum(n + STOPS - (end - start) for _, n, _, start, end in numbers),
        },
    }


def loss(model: XttsGpt, batch: Batch) -> dict[str, torch.Tensor]:
    """Sums of the cross entropies of text tokens, and of codes outside the crop.

    Args:
        model: from `build`.
        batch: from `collate`, on the model's device.
    """
    text, codes = batch["text"], batch["codes"]
    n_text, n_codes, n_frames, start, end = batch["clips"].unbind(1)  # [B] each
    conditions = model.conditions(batch["crops"], n_frames if batch["ragged"] else None)
    sequences = text, n_text, codes, n_codes
    text_logits, code_logits = model(
        conditions,
        *sequences,
        text_stop=model.text_stop,
        stops=STOPS,
        longest=batch["longest"],
    )
    text_targets, code_targets = model.targets(*sequences, stops=STOPS)
    place = torch.arange(code_targets.shape[1], device=codes.device)
    in_crop = (place >= start[:, None]) & (place < end[:, None])  # [B, M + STOPS]
    return {
        "text_ce": cross_entropy_sum(text_logits, text_targets),
        "mel_ce": cross_entropy_sum(code_logits, code_targets.masked_fill(in_crop, IGNORE)),
    }
