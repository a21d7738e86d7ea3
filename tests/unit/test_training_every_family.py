"""What holds for the training of every family: kills, little memory, processes, frozen rows."""

import json
import signal

import pytest
import torch
from small_families import SMALL, SmallFamily
from toy_setup import toy_family
from training_children import (
    at_call,
    close,
    final,
    in_child,
    in_children,
    kill_in_torch_save,
    little_memory,
    metrics,
    nothing,
    same,
)
from voicekiln import families
from voicekiln.training import loop
from voicekiln.training.log.records import EXIT_FINISHED


@pytest.fixture(scope="module", autouse=True)
def registered():
    with toy_family():
        yield


@pytest.fixture(scope="module", params=list(SMALL))
def family(request) -> SmallFamily:
    return SMALL[request.param]


@pytest.fixture(scope="module")
def whole(family, tmp_path_factory):
    settings = family.settings(tmp_path_factory.mktemp("whole"))
    assert in_child(settings) == EXIT_FINISHED
    return settings


@pytest.fixture(scope="module")
def smooth(family, tmp_path_factory):
    settings = family.smooth_settings(tmp_path_factory.mktemp("smooth"))
    assert in_child(settings) == EXIT_FINISHED
    return settings


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(at_call(loop.Training, "backward", 4), id="within an update"),
        pytest.param(kill_in_torch_save(1), id="while a checkpoint is written"),
    ],
)
def test_killed_and_started_again_it_ends_bit_equal(kill, family, whole, tmp_path):
    settings = family.settings(tmp_path)
    assert in_child(settings, kill) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(whole))
    assert metrics(settings, "train") == metrics(whole, "train")


def test_out_of_memory_gives_the_same_updates(family, smooth, tmp_path):
    settings = family.smooth_settings(tmp_path)
    assert in_child(settings, little_memory(1, array=family.array)) == EXIT_FINISHED
    close(final(settings), final(smooth), 1e-5)


def test_two_processes_give_the_updates_of_one(family, smooth, tmp_path):
    settings = family.smooth_settings(tmp_path, accumulate=1)
    assert in_children(settings, nothing, nothing) == [EXIT_FINISHED] * 2
    close(final(settings), final(smooth), 1e-5)
    assert metrics(settings, "train") == pytest.approx(metrics(smooth, "train"), rel=1e-5)


def test_rows_of_base_tokens_stay_bit_identical(family, tmp_path):
    """In every tensor with one row per token, and with weight decay."""
    frozen = {"freeze_base_tokens": True, "added_tokens": 2, "weight_decay": 0.1}
    settings = family.settings(tmp_path, **frozen)
    assert in_child(settings) == EXIT_FINISHED
    package, ended = families.get(settings.family), final(settings)
    base = package.read_weights(settings.checkpoint)
    for name in package.vocabulary_tensors(base):
        for copy in ("ema", "model"):
            rows = ended[f"{copy} {name}"]
            assert torch.equal(rows[:-2], base[name][:-2])
            assert not torch.equal(rows[-2:], base[name][-2:])


def test_a_plateau_lowers_the_learning_rate_and_a_kill_changes_nothing(family, tmp_path):
    """S3-12, S3-13; without EMA weights, as XTTS trains, and with upstream's weight decay."""
    run = {"schedule": "plateau", "plateau_patience": 0, "validate_every": 1, "log_every": 1}
    # so small a learning rate improves nothing by 0.01 %
    run |= {"learning_rate": 1e-8, "min_learning_rate": 0.0, "warmup_updates": 0}
    run |= {"ema_decay": 0, "decay": "upstream", "save_every": 3}
    whole, killed = (family.settings(tmp_path / name, **run) for name in ("whole", "killed"))
    assert in_child(whole) == EXIT_FINISHED
    assert in_child(killed, at_call(loop.Training, "backward", 6)) == -signal.SIGKILL
    assert in_child(killed) == EXIT_FINISHED
    ended = final(whole)
    same(final(killed), ended)
    base = families.get(whole.family).read_weights(whole.checkpoint)
    assert all(torch.equal(ended[f"ema {name}"], ended[f"model {name}"]) for name in base)
    lines = (whole.directory / "metrics.jsonl").read_text().splitlines()
    rates = [row["lr"] for row in map(json.loads, lines) if row["kind"] == "train"]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) > 1
