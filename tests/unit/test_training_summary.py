"""What is said before the first update, and at the end of an epoch."""

import logging
import re
from types import SimpleNamespace

import pytest
from training_setup import TRAIN, tiny_run
from voicekiln.training import summary, worker
from voicekiln.training.log.epochs import Epochs
from voicekiln.training.process.stop import Stop
from voicekiln.training.settings import train_settings
from voicekiln.training.state import checkpoints


def settings(**changes):
    return train_settings(TRAIN | changes, "f5")


def test_less_than_12_gb_is_warned_of_strictly():
    assert summary.below_recommended(12 * 1024) is None
    assert summary.below_recommended(81559) is None
    assert "11.99 GB, less than the recommended 12 GB" in summary.below_recommended(12282)
    assert "11.99 GB" in summary.below_recommended(12 * 1024 - 0.1)


def test_gpu_memory_is_told_in_three_numbers():
    said = summary.gpu_memory(12282.0, 1740.4)
    assert said == "total 12282 MB, used 10542 MB, free 1740 MB"


def test_a_gpu_that_is_not_used_is_warned_of():
    assert summary.unused_gpu("12.8", driver=False) is None
    assert "older than CUDA 12.8" in summary.unused_gpu("12.8", driver=True)
    assert "built without CUDA" in summary.unused_gpu(None, driver=True)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({}, "0.001, schedule linear (warmup_updates 3, min_learning_rate 0), "),
        ({"schedule": "constant"}, "schedule constant (warmup_updates 3), "),
        ({"schedule": "step"}, "period 40, rate_factor 0.5), "),
        ({"schedule": "cosine_restarts"}, "period 40, period_growth 1), "),
        ({"schedule": "multi_step", "milestones": (5, 9)}, "milestones [5, 9], rate_factor 0.5), "),
        ({"schedule": "plateau"}, "plateau_patience 5, rate_factor 0.5, best_by loss), "),
        ({}, "optimizer adamw (weight_decay 0.01, betas [0.9, 0.999])"),
        ({"optimizer": "sgd"}, "optimizer sgd (weight_decay 0.01, momentum 0.9)"),
    ],
)
def test_rate_and_optimiser_are_told_with_what_counts_with_them(changes, said):
    assert said in summary.learning_rates(settings(**changes), period=40)


def test_how_many_checkpoints_there_can_be():
    def most(updates, save, validate, keep):
        return summary.max_checkpoints(updates, save, validate, keep)

    assert most(100, 10, 25, -1) == 12, "10, 20, ... 100, and the best of 25 and 75"
    assert most(105, 10, 25, -1) == 13, "the last one is at no interval"
    assert most(10_000, 10, 25, 3) == 5, "three, the best, the one that is written"
    assert most(10_000, 10, 25, 0) == 3, "the last, the best, the one that is written"
    assert most(2, 10, 25, 3) == 1


def test_a_disk_that_is_too_small_is_warned_of():
    said, warning = summary.disk(5_400_000_000, 5, 0, 30_000_000_000)
    assert said == "a checkpoint takes 5.4 GB, at most 5 of them 27.0 GB; 30.0 GB are free"
    assert warning is None
    said, warning = summary.disk(5_400_000_000, 5, 0, 26_000_000_000)
    assert "may take 27.0 GB, and 26.0 GB are free" in warning and "train.keep" in warning
    assert summary.disk(5_400_000_000, 5, 2_000_000_000, 26_000_000_000)[1] is None
    assert summary.disk(5_400_000_000, 200, 0, 26_000_000_000)[1] is not None, "keep: -1"


def test_a_warm_up_that_outlasts_the_run_is_warned_of():
    assert summary.long_warmup(99, 100) is None
    assert "ends at 50 %" in summary.long_warmup(200, 100)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.0},
        {"optimizer": "rmsprop", "momentum": 0.0},
        {"freeze": ["blocks"]},
    ],
    ids=str,
)
def test_a_checkpoint_is_as_large_as_was_said(changes, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    run = tiny_run(tmp_path, clips=8, epochs=1, model={"dim": 64}, **changes)
    assert worker.run(run, Stop(None)) == 0
    told = float(re.search(r"a checkpoint takes ([\d.]+) MB", caplog.text)[1])
    (newest, *_) = checkpoints.found(run.directory / "checkpoints")
    assert sum(p.stat().st_size for p in newest.iterdir()) / 1e6 == pytest.approx(told, rel=0.08)
    best = checkpoints.pointed(newest.parent, "best")
    for said in (
        "environment: torch",
        "on the CPU, 1 process, ",
        "data: 8 clips (0.0 min, en) for training, 4 clips (0.0 min, en) held out",
        "parameters",
        "configuration: 1 epochs, 2 updates per epoch, 2 in total",
        "learning rate: 0.001, schedule linear",
        "checkpoint saved at update 2 in ",
        "epoch 1/1: loss ",
        f"best so far: update 2, loss {best['validation_loss']:.5f}, {newest}",
    ):
        assert said in caplog.text, said


def test_an_epoch_ends_with_its_mean_and_the_trend():
    rows = [
        {"kind": "train", "epoch": 1, "loss": 0.6, "updates": 3, "seconds": 100.0},
        {"kind": "validation", "epoch": 1, "loss": 9.0, "seconds": 9.0},
        {"kind": "train", "epoch": 1, "loss": 0.484, "updates": 1, "seconds": 40.0},
        {"kind": "train", "epoch": 2, "loss": 0.448, "updates": 4, "seconds": 60.0},
    ]
    epochs = Epochs.of(rows[:3])
    assert epochs.line(1, 10) == "epoch 1/10: loss 0.571, 02:20"
    epochs.add(rows[3])
    assert epochs.line(2, 10) == "epoch 2/10: loss 0.448 (0.571 -> 0.448), 01:00"
    for epoch in range(3, 11):
        epochs.add(rows[3] | {"epoch": epoch, "loss": 0.5 - epoch / 100})
    trend = "0.571 -> ... -> 0.430 -> 0.420 -> 0.410 -> 0.400"
    assert epochs.line(10, 10) == f"epoch 10/10: loss 0.400 ({trend}), 01:00"


def test_hours_and_languages_of_the_data():
    rows = [SimpleNamespace(duration_s=3600.0, language=name) for name in ("en", "am", "en")]
    assert summary.clips(rows) == "3 clips (3.00 h, am, en)"
