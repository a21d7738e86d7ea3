"""XTTS's losses: crops, their codes, and what upstream's training gets wrong.

Numbers of defects are those of research/XTTS.md, section 6.
"""

from collections.abc import Callable

import pytest
import torch
from voicekiln.families import Clip
from voicekiln.families.xtts.loss import STOPS, Draws, collate, draw, loss
from xtts_gpt_small import own_gpt, upstream_gpt

FIRST, LAST = 66150 // 256 + 1, 132300 // 256 + 1  # frames of the shortest and the longest crop


@pytest.fixture(scope="module")
def upstream():
    return upstream_gpt()


@pytest.fixture(scope="module")
def model(upstream):
    return own_gpt(upstream)


def clip(n_codes, n_text=6, seed=0):
    """A clip of a whole number of codes, which has a frame of mel more than their number x 4."""
    rng = torch.Generator().manual_seed(seed)
    return Clip(
        id=f"clip{seed}",
        text="",
        language="en",
        text_ids=torch.randint(1, 39, (n_text,), generator=rng),
        arrays={
            "codes": torch.randint(32, (n_codes,), generator=rng).to(torch.int16),
            "cond_mel": torch.randn(4 * n_codes + 1, 80, generator=rng),
        },
    )


def rng(seed):
    return torch.Generator().manual_seed(seed)


def ignored(model, run: Callable[[], torch.Tensor]) -> list[list[int]]:
    """For each row, the places of codes whose logits the loss does not depend on."""
    logits = []
    hook = model.mel_head.register_forward_hook(lambda *call: logits.append(call[2]))
    value = run()
    hook.remove()
    (gradient,) = torch.autograd.grad(value, logits)
    if gradient.shape[0] > 2:  # not batch first
        gradient = gradient.transpose(0, 1)
    unused = gradient.abs().sum(-1) == 0
    return [row.nonzero()[:, 0].tolist() for row in unused]


def test_crops_have_three_to_six_seconds_or_half_of_a_shorter_clip():
    long, short = clip(250), clip(30)
    crops = [draw(long, rng(seed), True).crop for seed in range(300)]
    lengths = [end - start for start, end in crops]
    assert FIRST <= min(lengths) < FIRST + 10 and LAST - 10 < max(lengths) <= LAST
    assert min(crops)[0] < 30 and max(end for _, end in crops) > 1001 - 30
    halves = [draw(short, rng(seed), True).crop for seed in range(300)]
    assert {end - start for start, end in halves} == {60}
    assert (min(halves)[0], max(halves)[1]) == (0, 121)


def test_draws_depend_on_the_clips_generator_only():
    torch.manual_seed(1)
    first = draw(clip(250), rng(7), True)
    torch.manual_seed(2)
    assert first == draw(clip(250), rng(7), True) != draw(clip(250), rng(8), True)


def test_frames_lie_in_the_codes_of_their_samples():
    assert Draws((8, 16)).codes(9) == (2, 4)
    assert Draws((7, 17)).codes(9) == (1, 5)
    assert Draws((0, 37)).codes(9) == (0, 9)


def test_the_crops_codes_are_left_out_at_their_place_in_every_clip(model, upstream):
    """Upstream leaves out others, and of the last clip only (defects 1 and 2)."""
    clips = [clip(50, seed=1), clip(50, seed=2)]
    batch = collate(clips, [Draws((20, 80)), Draws((32, 60))])
    assert ignored(model, lambda: loss(model, batch)["mel_ce"]) == [
        list(range(5, 20)),
        list(range(8, 15)),
    ]
    spans = 256 * torch.tensor([[20, 80], [32, 60]])
    text = torch.stack([one.text_ids for one in clips])
    codes = torch.stack([one.arrays["codes"].long() for one in clips])
    n_text, n_samples = torch.tensor([6, 6]), torch.tensor([50 * 1024] * 2)
    theirs = ignored(
        upstream,
        lambda: upstream(
            text,
            n_text,
            codes,
            n_samples,
            cond_mels=torch.randn(2, 1, 80, 60),
            cond_idxs=spans,
        )[1],
    )
    theirs = [[place for place in row if place < 50 + STOPS] for row in theirs]
    assert theirs == [[], list(range(32, 54))]
    assert spans[0].tolist() == [20, 80]  # changed in place (defect 11)


def test_totals_count_the_tokens_in_the_loss(model):
    clips = [clip(50, n_text=6, seed=1), clip(40, n_text=9, seed=2)]
    batch = collate(clips, [Draws((20, 80)), Draws((32, 60))])
    assert batch["totals"] == {"text_ce": 7 + 10, "mel_ce": 35 + STOPS + 33 + STOPS}


def test_a_batch_is_the_sum_of_its_clips(model):
    """Upstream pads crops with silence, which its conditioning sees (defect 8)."""
    clips = [clip(50, 6, 1), clip(17, 20, 2), clip(33, 1, 3)]
    draws = [draw(one, rng(i), True) for i, one in enumerate(clips)]
    with torch.no_grad():
        whole = loss(model, batch := collate(clips, draws))
        parts = [
            (loss(model, one := collate([c], [d])), one) for c, d in zip(clips, draws, strict=True)
        ]
    assert batch["ragged"]
    for part, total in batch["totals"].items():
        assert total == sum(one["totals"][part] for _, one in parts)
        own = sum(sums[part] for sums, _ in parts)
        torch.testing.assert_close(whole[part] / total, own / total, atol=1e-6, rtol=0)


def test_padded_steps_change_nothing(model):
    clips = [clip(20)]
    draws = [Draws((4, 30))]
    with torch.no_grad():
        assert loss(model, collate(clips, draws, 56)) == loss(model, collate(clips, draws, None))


def test_without_a_crop_the_losses_are_upstreams(model, upstream):
    clips = [clip(50, 6, 1), clip(17, 20, 2), clip(33, 1, 3)]
    batch = collate(clips, [Draws((0, 60))] * 3)
    batch["clips"][:, 3:] = 0  # nothing is left out
    with torch.no_grad():
        sums = loss(model, batch)
        text_ce, mel_ce, _ = upstream(
            batch["text"],
            batch["clips"][:, 0],
            batch["codes"].clone(),
            batch["clips"][:, 1] * 1024,
            cond_mels=batch["crops"].transpose(1, 2)[:, None],
        )
    kept = batch["clips"][:, 1].sum() + 3 * STOPS
    text_total = batch["totals"]["text_ce"]
    torch.testing.assert_close(sums["text_ce"] / text_total, text_ce, atol=1e-6, rtol=0)
    torch.testing.assert_close(sums["mel_ce"] / kept, mel_ce, atol=1e-6, rtol=0)


def test_validation_conditions_and_masks_like_training(model):
    """Upstream validates on the first 4.5 s of each clip, unmasked (defect 9)."""
    one = clip(50)
    assert draw(one, rng(3), False) == draw(one, rng(3), True)
    starts = {draw(one, rng(seed), False).crop[0] for seed in range(20)}
    assert len(starts) > 10
    batch = collate([one], [draw(one, rng(3), False)])
    (left_out,) = ignored(model, lambda: loss(model, batch)["mel_ce"])
    assert len(left_out) >= 25


def test_the_batch_stays_as_it_is(model):
    """Upstream changes the spans in place: a second pass masks others (defect 11)."""
    batch = collate([clip(50, seed=1), clip(30, seed=2)], [Draws((20, 80)), Draws((8, 30))])
    before = {k: v.clone() if torch.is_tensor(v) else v for k, v in batch.items()}
    with torch.no_grad():
        first, second = loss(model, batch), loss(model, batch)
    assert first == second
    for key, value in before.items():
        assert torch.equal(batch[key], value) if torch.is_tensor(value) else batch[key] == value


def test_the_option_shows_the_stop_of_the_text(upstream):
    """Training hides it by default, as the release was trained (defect 3)."""
    seeing = own_gpt(upstream, text_stop="seen")
    batch = collate([clip(20)], [Draws((4, 30))])
    with torch.no_grad():
        seen, hidden = loss(seeing, batch), loss(own_gpt(upstream), batch)
    assert seen["text_ce"] == hidden["text_ce"]
    assert (seen["mel_ce"] - hidden["mel_ce"]).abs() > 2e-5
