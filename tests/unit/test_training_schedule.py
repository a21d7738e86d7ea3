"""Learning rates against the schedulers of torch, and those that f5_tts's Trainer builds."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import LinearLR, SequentialLR
from training_setup import TRAIN
from voicekiln.errors import UserError
from voicekiln.families import facts
from voicekiln.training.settings import in_validations, train_settings, with_floor
from voicekiln.training.step.schedule import Schedule, reductions
from voicekiln.training.summary import impatient

PEAK = 2.0e-5
NAMES = {"floor": "min_learning_rate", "growth": "period_growth", "factor": "rate_factor"}
NAMES |= {"patience": "plateau_patience"}


def schedule(kind, total=50, warmup=0, **more):
    values = {"schedule": kind, "learning_rate": PEAK, "warmup_updates": warmup, "period": 10}
    settings = train_settings(TRAIN | values | {NAMES.get(k, k): v for k, v in more.items()}, "f5")
    return Schedule(settings, total, per_epoch=total)


def rates(kind, total, warmup=0, **more):
    course = schedule(kind, total, warmup, **more)
    return [course.learning_rate(n) for n in range(total)]


def of_torch(make, total):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_linear_is_upstreams():
    total, warmup = 50, 12

    def make(optimizer):
        up = LinearLR(optimizer, start_factor=1e-8, end_factor=1.0, total_iters=warmup)
        down = LinearLR(optimizer, start_factor=1.0, end_factor=1e-8, total_iters=total - warmup)
        return SequentialLR(optimizer, schedulers=[up, down], milestones=[warmup])

    expected = of_torch(make, total)
    assert rates("linear", total, warmup) == pytest.approx(expected, abs=1e-7 * PEAK)


@pytest.mark.parametrize(
    "kind, more, make",
    [
        ("cosine", {}, lambda o: lr_scheduler.CosineAnnealingLR(o, 50)),
        (
            "cosine_restarts",
            {"period": 8, "growth": 2, "floor": 1e-6},
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 8, 2, eta_min=1e-6),
        ),
        (
            "cosine_restarts",
            {"period": 7},
            lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7),
        ),
        ("step", {"period": 9, "factor": 0.3}, lambda o: lr_scheduler.StepLR(o, 9, 0.3)),
        (
            "multi_step",
            {"milestones": (5, 20, 21)},
            lambda o: lr_scheduler.MultiStepLR(o, [5, 20, 21], 0.5),
        ),
        ("exponential", {"period": 1, "factor": 0.9}, lambda o: lr_scheduler.ExponentialLR(o, 0.9)),
    ],
)
def test_the_others_are_torchs(kind, more, make):
    assert rates(kind, 50, **more) == pytest.approx(of_torch(make, 50), abs=1e-12)


def test_warm_up_floor_and_constant():
    assert rates("constant", 10, 4)[4:] == [PEAK] * 6
    assert rates("constant", 10, 4)[2] == PEAK / 2
    assert rates("step", 50, 10, floor=4e-6)[-1] == 4e-6
    assert rates("step", 50, 10)[19] == PEAK and rates("step", 50, 10)[20] == PEAK / 2
    course = schedule("cosine", 110, 10, learning_rate=0.01, floor=0.005)
    assert course.learning_rate(60) == pytest.approx(0.0075)
    assert course.learning_rate(110) == course.learning_rate(111) == 0.005
    rising = rates("linear", 5, 10)
    assert rising == sorted(rising) and rising[-1] == pytest.approx(0.4 * PEAK)


@given(st.lists(st.sampled_from([3.0, 2.0, 1.9999, 1.5, 1.0, 0.5]), max_size=40), st.integers(0, 4))
def test_the_plateau_is_torchs(losses, patience):
    """Which gets the metric here, and after a kill finds the same."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    torchs = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", factor=0.5, patience=patience, min_lr=1e-7, eps=0
    )
    ours = schedule("plateau", patience=patience, floor=1e-7)
    for n, loss in enumerate(losses, 1):
        torchs.step(loss)
        assert ours.learning_rate(9, losses[:n]) == pytest.approx(optimizer.param_groups[0]["lr"])
    assert reductions(losses, len(losses)) == 0


def test_reductions_before_all_was_heard_once_are_flagged():
    early = schedule("multi_step", milestones=(1010, 2020, 3030)).early_reductions(per_epoch=4000)
    assert "3 of 3 of train.milestones" in early and "2.5e-06" in early and "4000 updates" in early
    assert schedule("multi_step", milestones=(1010,)).early_reductions(per_epoch=1000) is None
    assert "3 reductions of the learning rate" in schedule("step", period=10).early_reductions(
        per_epoch=40
    )
    assert schedule("step", period=40).early_reductions(per_epoch=40) is None
    assert schedule("linear").early_reductions(per_epoch=40) is None


def test_an_unknown_schedule_is_named():
    with pytest.raises(UserError, match="train.schedule.*'sudden'"):
        rates("sudden", 5)


@pytest.mark.parametrize(
    "patience, epochs, per_epoch, expected",
    [
        (5, 3, 4.0, 5),  # a number counts validations
        ("5 epochs", 10, 4.0, 5),  # so short a run would end before five epochs without a gain
        ("5 epochs", 11, 4.0, 20),
        ("5 epochs", 20, 1.0, 5),
        ("5 epochs", 20, 0.5, 2),
        ("1 epoch", 20, 0.25, 1),
    ],
)
def test_patience_in_epochs_becomes_validations(patience, epochs, per_epoch, expected):
    """K-10, E-9."""
    assert in_validations(patience, epochs, per_epoch) == expected


def test_xtts_has_the_plateau_of_its_users():
    """S3-12, X-13, S2-1, S2-3: the family's defaults, as the schema reads them."""
    section = facts.all_facts()["xtts"].train
    found = train_settings(TRAIN | section, "f5")
    assert (found.schedule, found.rate_factor, found.plateau_patience) == (
        "plateau",
        0.5,
        "5 epochs",
    )
    assert with_floor(replace(found, learning_rate=1e-5)).min_learning_rate == 1e-7
    assert (found.betas, found.decay, found.ema_decay) == ((0.9, 0.96), "upstream", 0)
    assert (found.save_every, found.keep) == (1000, 1)


def test_an_early_stop_before_any_step_of_the_plateau_is_warned_of():
    def said(**more):
        return impatient(train_settings(TRAIN | {"schedule": "plateau"} | more, "f5"))

    assert "train.patience (3) ends the training before" in said(patience=3)
    assert said(patience=0) is None and said(patience=6) is None
    assert said(patience=3, schedule="linear") is None
