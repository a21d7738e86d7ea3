"""Two processes: the updates of one, whatever happens to one of them."""

import json
import os
import time
from dataclasses import replace

import pytest
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
from training_setup import tiny_run
from voicekiln.errors import UserError
from voicekiln.training import loop
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_STOPPED, EXIT_USER_ERROR
from voicekiln.training.state import checkpoints
from voicekiln.training.step.ema import Ema

# 4 updates of 2 x 1 batches an epoch
RUN = {"clips": 25, "epochs": 3, "accumulate": 1, "save_every": 3, "validate_every": 4}
ALONE = RUN | {"accumulate": 2}
SMOOTH = {"model": {"dropout": 0.0}, "batch_s": 2.56, "batch_clips": 8}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    settings = tiny_run(tmp_path_factory.mktemp("two"), **RUN)
    assert in_children(settings, nothing, nothing) == [EXIT_FINISHED] * 2
    return settings


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    settings = tiny_run(tmp_path_factory.mktemp("one"), **ALONE)
    assert in_child(settings) == EXIT_FINISHED
    return settings


def test_their_updates_are_those_of_one(two, one):
    """One batch on each of two processes against two on one; dropout is of the batch."""
    close(final(two), final(one), 1e-5)
    for kind in ("train", "validation"):
        assert metrics(two, kind) == pytest.approx(metrics(one, kind), rel=1e-5)


@pytest.mark.parametrize(
    "dies",
    [
        (at_call(loop.Training, "backward", 6), nothing),
        (nothing, at_call(loop.Training, "backward", 6)),
        (nothing, at_call(loop, "all_reduce_gradients", 6)),
        (kill_in_torch_save(2), nothing),
        (at_call(checkpoints, "point", 3), nothing),
        (nothing, at_call(Ema, "update", 8)),
    ],
)
def test_killed_and_started_again_they_end_bit_equal(dies, two, tmp_path):
    settings = tiny_run(tmp_path, **RUN)
    codes = in_children(settings, *dies)
    assert -9 in codes
    if codes[0] != -9:
        status = json.loads((settings.directory / "status.json").read_text())
        assert status["state"] == "failed"
        assert "another process of this training died" in status["reason"]
    assert in_children(settings, nothing, nothing) == [EXIT_FINISHED] * 2
    same(final(settings), final(two))
    assert metrics(settings, "train") == metrics(two, "train")


@pytest.mark.parametrize("first, then", [(2, 1), (1, 2)])
def test_the_number_of_processes_may_change(first, then, one, tmp_path):
    """By position of the samples: the same updates go on."""

    def start(n, *prepares):
        settings = tiny_run(tmp_path, **(RUN if n == 2 else ALONE))
        return settings, in_children(settings, *prepares) if n == 2 else [
            in_child(settings, *prepares)
        ]

    killed = at_call(loop.Training, "backward", 6 if first == 2 else 11)
    _, codes = start(first, *[killed] * first)
    assert -9 in codes
    settings, codes = start(then, *[nothing] * then)
    assert set(codes) == {EXIT_FINISHED}
    assert not (settings.directory / "previous").exists()
    close(final(settings), final(one), 1e-5)
    assert metrics(settings, "train") == pytest.approx(metrics(one, "train"), rel=1e-5)


@pytest.mark.parametrize("short", [0, 1])
def test_when_one_is_out_of_memory_both_begin_the_update_again(short, tmp_path):
    run = RUN | SMOOTH
    enough, settings = tiny_run(tmp_path / "enough", **run), tiny_run(tmp_path / "less", **run)
    assert in_children(enough, nothing, nothing) == [EXIT_FINISHED] * 2
    memory = [nothing, nothing]
    memory[short] = little_memory(2)
    assert in_children(settings, *memory) == [EXIT_FINISHED] * 2
    close(final(settings), final(enough), 1e-6)
    for kind in ("train", "validation"):
        assert metrics(settings, kind) == pytest.approx(metrics(enough, kind), abs=1e-6)
    last = checkpoints.pointed(settings.directory / "checkpoints", "last")["checkpoint"]
    meta = json.loads((settings.directory / "checkpoints" / last / checkpoints.META).read_text())
    assert meta["fits"][0] is not None, "also where it was the other that had too little"


@pytest.mark.parametrize("short", [0, 1])
def test_when_one_has_no_memory_for_a_clip_its_words_are_the_reason(short, tmp_path):
    settings = tiny_run(tmp_path, **RUN | SMOOTH)
    memory = [nothing, nothing]
    memory[short] = little_memory(0, where=("train",))
    assert set(in_children(settings, *memory)) == {EXIT_USER_ERROR}
    reason = json.loads((settings.directory / "status.json").read_text())["reason"]
    assert "out of memory at update 1 with a single clip" in reason


@pytest.mark.parametrize("asked", [0, 1])
def test_a_stop_within_an_update_drops_it_on_both(asked, two, tmp_path):
    settings = tiny_run(tmp_path, **RUN | {"accumulate": 2})
    stopping = [nothing, nothing]

    backward = loop.Training.backward

    def signalled(*args):
        os.kill(os.getpid(), 15)
        return backward(*args)

    stopping[asked] = at_call(loop.Training, "backward", 3, signalled)
    assert in_children(settings, *stopping) == [EXIT_STOPPED] * 2
    status = json.loads((settings.directory / "status.json").read_text())
    assert status["state"] == "stopped" and "SIGTERM" in status["reason"]
    assert status["update"] == 1, "the second update was begun and dropped"
    whole = tiny_run(tmp_path / "whole", **RUN | {"accumulate": 2})
    assert in_children(whole, nothing, nothing) == [EXIT_FINISHED] * 2
    assert in_children(replace(settings), nothing, nothing) == [EXIT_FINISHED] * 2
    same(final(settings), final(whole))


def test_if_the_last_checkpoint_cannot_be_written_no_process_reports_success(tmp_path):
    """It is written in the background, by the first process only."""
    settings = tiny_run(tmp_path, **RUN)

    def last_write_fails():
        original = checkpoints.save

        def replaced(folder, ema, tensors, meta):
            if meta["update"] < 12:
                return original(folder, ema, tensors, meta)
            time.sleep(2)
            raise UserError("no room")

        checkpoints.save = replaced

    codes = in_children(settings, last_write_fails, nothing)
    assert EXIT_FINISHED not in codes and codes[0] == EXIT_USER_ERROR
    status = json.loads((settings.directory / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", "no room")
