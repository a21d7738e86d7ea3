"""Warnings while a training runs: each has series that give it and series that must not."""

import os
import random
import signal

import pytest
from training_setup import tiny_run
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.features.packs import PackReader
from voicekiln.training.data.clips import BatchRequest, Clips, load, read_rows
from voicekiln.training.log.health import QUIET, HealthChecks, resident_mb


def row(loss=1.0, update=0, updates=10, seconds=10.0, steps=30_000, wait_s=0.0, **more):
    found = {"loss": loss, "update": update, "updates": updates, "steps": steps}
    return found | {"seconds": seconds, "wait_s": wait_s} | more


def series(rows, before=(), warmup=100):
    """(number of the line from 1, warning) for each warning that a series of lines gives."""
    signs = HealthChecks(2, warmup, list(before))
    return [(n, said) for n, one in enumerate(rows, 1) for said in signs.check(one)]


def course(n, fall=0.5, noise=0.05, seed=0, **more):
    """Lines of a loss that falls by a fraction over the series, with noise."""
    rng = random.Random(seed)
    for i in range(n):
        loss = 3.0 * (1 - fall * i / n) * (1 + rng.gauss(0, noise))
        yield row(loss=loss, update=10 * (i + 1), seconds=10 * (1 + rng.random() / 10), **more)


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_a_noisy_course_that_falls_is_not_reported(noise):
    for seed in range(20):
        assert series(course(500, noise=noise, seed=seed)) == []


def test_waiting_for_batches_is_reported_once():
    (one,) = series([row(wait_s=1.9), row(wait_s=4.3), row(wait_s=9.0)])
    assert one[0] == 2 and "43% of the time" in one[1] and "train.workers (now 2)" in one[1]
    assert series([row(seconds=0.1, wait_s=0.09)]) == [], "a tenth of a second does not matter"


def test_what_comes_back_after_a_quiet_time_is_reported_again():
    waits = [5.0] * 3 + [0.0] * QUIET + [5.0] * 3
    assert [n for n, _ in series(row(wait_s=wait) for wait in waits)] == [1, QUIET + 4]


@pytest.mark.parametrize("key, says", [("host_mb", "training process"), ("used_mb", "GPU memory")])
def test_memory_that_creeps_up_is_reported(key, says):
    """S4-64: memory that grows without falling, fast or slowly."""

    def reported(levels):
        return series(row(**{key: mb}) for mb in levels)

    (fast,) = reported(2000 + 100 * n for n in range(40))
    assert fast[0] <= 24 and says in fast[1]
    (slow,) = reported(4000 + 10 * n for n in range(90))
    assert says in slow[1] and "did not fall" in slow[1]
    (late,) = reported([4000] * 100 + [4000 + 25 * n for n in range(90)])
    assert late[0] > 100
    rng = random.Random(0)
    (rough,) = reported(4000 + 12 * n + rng.randrange(30) for n in range(90))
    assert says in rough[1]


@pytest.mark.parametrize("key", ["host_mb", "used_mb"])
def test_memory_that_finds_its_level_is_not_reported(key):
    rng = random.Random(0)
    for levels in (
        [2000 + n % 2 for n in range(60)],
        [min(9000, 4000 + 600 * n) for n in range(200)],  # fills its caches, then stays
        [9000 - 5000 * 0.9**n for n in range(200)],
        [4000 + 30 * (n % 15) for n in range(200)],  # grows and falls
        [6000 + rng.randrange(200) for n in range(200)],
    ):
        assert series(row(**{key: mb}) for mb in levels) == [], levels[:30]


def test_little_gpu_memory_is_reported():
    ((_, said),) = series([row(free_mb=900), row(free_mb=300), row(free_mb=200)])
    assert "300 MB of GPU memory are free" in said and "train.batch_s" in said


def test_a_sudden_rise_of_gpu_memory_is_reported():
    levels = [4000, 9000, 9500, 10_000, 11_000, 10_900]
    assert series(row(used_mb=mb) for mb in levels) == [], "it finds its level"
    ((n, said),) = series(row(used_mb=mb) for mb in [*levels, 13_700, 20_000])
    assert n == 7 and "rose from 10900 to 13700 MB" in said
    assert series(row(used_mb=mb) for mb in [500, 500, 500, 500, 1400]) == []


def test_a_spike_is_reported_with_the_level_before_it():
    """S4-88."""
    losses = [1.0 + n % 3 / 100 for n in range(30)]
    ((n, said),) = series(row(loss=loss) for loss in [*losses, 1.9, 1.0, 2.0])
    assert n == 31 and "jumped to 1.9" in said and "is 1.01" in said
    assert series(row(loss=loss) for loss in [*losses, 1.2]) == []
    assert series(row(loss=loss) for loss in [1.0] * 19 + [9.0]) == [], "too few lines to compare"


def test_a_spike_right_after_resuming_is_named_as_one():
    before = [row(1.0 + n % 3 / 100) for n in range(30)]
    ((_, said),) = series([row(loss=1.9)], before)
    assert "right after resuming" in said and "data changed" in said
    ((_, said),) = series([row(loss=1.0), row(loss=1.9)], before)
    assert "right after resuming" not in said


def test_a_loss_that_does_not_fall_is_reported():
    """S4-88."""
    ((n, said),) = series(course(200, fall=0.0, noise=0.02))
    assert n == 10 + 90 and "hardly falls" in said and "raise train.learning_rate" in said
    ((_, said),) = series(course(200, fall=-0.3, noise=0.02))
    assert "rises" in said and "lower train.learning_rate" in said
    assert series(course(200, fall=0.15, noise=0.05)) == []
    # resumed after 50 lines, it comes at the same line
    lines = list(course(200, fall=0.0, noise=0.02))
    assert [n for n, _ in series(lines[50:], lines[:50])] == [50]


def test_a_loss_that_fluctuates_is_reported():
    """S4-88."""
    found = series(course(300, noise=0.6))
    assert any("fluctuates" in said and "train.accumulate" in said for _, said in found)
    calm, wild = list(course(150, fall=0.3, noise=0.03)), list(course(150, fall=0.3, noise=0.25))
    found = [(n, said) for n, said in series(calm + wild) if "fluctuates" in said]
    assert len(found) == 1 and found[0][0] > 150 and "at first" in found[0][1]


def test_updates_that_get_slow_are_reported():
    """S4-88: very slow epochs."""
    fast, slow = [row(seconds=10.0)] * 40, [row(seconds=21.0)] * 60
    ((n, said),) = series(fast + slow)
    assert 41 < n <= 60 and "times as long as they did" in said and "1.00 s then" in said
    long = [row(seconds=21.0, steps=63_000)] * 60
    assert series(fast + long) == [], "twice the work"
    assert series([row(seconds=0.1)] * 40 + [row(seconds=0.5)] * 40) == [], (
        "short lines say nothing"
    )


def test_the_memory_of_this_process_is_known():
    assert 10 < resident_mb() < 100_000


def test_a_loader_process_that_was_killed_ends_with_what_helps(tmp_path):
    settings = tiny_run(tmp_path)
    family = families.get("f5")
    rows = read_rows(settings.train_rows)
    tokenizer = family.tokenizer(settings.tokenizer)

    class Deadly(Clips):
        def batch(self, request):
            os.kill(os.getpid(), signal.SIGKILL)

    clips = Deadly(family, rows, tokenizer, PackReader(), 0, train=True)
    with pytest.raises(UserError, match="loads batches died.*lower train.workers"):
        list(load(clips, [BatchRequest((0,), 0)], 1, 2, pin=False))
