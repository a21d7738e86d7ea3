"""Learning rates against the schedulers that f5_tts's Trainer builds."""

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR, SequentialLR
from voicekiln.errors import UserError
from voicekiln.training.schedule import learning_rate

PEAK = 2.0e-5


def rates(schedule, total, warmup, floor=0.0):
    return [
        learning_rate(n, total, schedule=schedule, peak=PEAK, floor=floor, warmup=warmup)
        for n in range(total)
    ]


def test_linear_is_upstreams():
    total, warmup = 50, 12
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    up = LinearLR(optimizer, start_factor=1e-8, end_factor=1.0, total_iters=warmup)
    down = LinearLR(optimizer, start_factor=1.0, end_factor=1e-8, total_iters=total - warmup)
    upstream = SequentialLR(optimizer, schedulers=[up, down], milestones=[warmup])
    expected = []
    for _ in range(total):
        expected.append(upstream.get_last_lr()[0])
        optimizer.step()
        upstream.step()
    assert rates("linear", total, warmup) == pytest.approx(expected, abs=1e-7 * PEAK)


def test_cosine_and_constant():
    cosine = rates("cosine", 101, 0, floor=1e-6)
    assert cosine[0] == pytest.approx(PEAK)
    assert cosine[-1] == pytest.approx(1e-6, rel=0.01)
    assert learning_rate(101, 101, schedule="cosine", peak=1, floor=0.1, warmup=0) == 0.1
    assert learning_rate(60, 110, schedule="cosine", peak=1, floor=0.5, warmup=10) == 0.75
    assert rates("constant", 10, 4)[4:] == [PEAK] * 6
    assert rates("constant", 10, 4)[2] == PEAK / 2


def test_a_warm_up_as_long_as_the_run_only_rises():
    rising = rates("linear", 5, 10)
    assert rising == sorted(rising) and rising[-1] == pytest.approx(0.4 * PEAK)


def test_an_unknown_schedule_is_named():
    with pytest.raises(UserError, match="train.schedule.*'step'"):
        rates("step", 5, 0)
