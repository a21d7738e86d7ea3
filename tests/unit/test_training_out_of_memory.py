"""Out of memory: the same update in parts, and what is remembered of it."""

import json
import os
import weakref

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_children import ERRORS, final, in_child, little_memory, metrics, same
from training_setup import tiny_run
from voicekiln.errors import UserError
from voicekiln.training import session
from voicekiln.training.data.clips import BatchRequest
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_USER_ERROR
from voicekiln.training.run import Run
from voicekiln.training.state import checkpoints
from voicekiln.training.step.out_of_memory import BatchSplitter, OutOfMemory, out_of_memory_as

RUN = {"clips": 25, "epochs": 2, "model": {"dropout": 0.0}, "batch_s": 2.56, "batch_clips": 8}


@pytest.fixture(scope="module")
def enough(tmp_path_factory):
    settings = tiny_run(tmp_path_factory.mktemp("enough"), **RUN)
    assert in_child(settings) == EXIT_FINISHED
    return settings


@pytest.mark.parametrize("fits", [1, 2, 5])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_the_update_in_parts_is_the_update(fits, error, enough, tmp_path):
    settings = tiny_run(tmp_path, **RUN)
    assert in_child(settings, little_memory(fits, error)) == EXIT_FINISHED
    ours, whole = final(settings), final(enough)
    assert ours["update"] == whole["update"]
    for name, value in whole.items():
        if torch.is_tensor(value) and value.is_floating_point():
            assert torch.allclose(ours[name], value, rtol=0, atol=1e-6), name
    for kind in ("train", "validation"):
        assert metrics(settings, kind) == pytest.approx(metrics(enough, kind), abs=1e-6)


def test_a_try_that_failed_leaves_nothing_in_the_memory(tmp_path):
    """A device for 180 frames of whatever is alive; batches have up to 240."""
    settings = tiny_run(tmp_path, **RUN | {"epochs": 1})

    def prepare():
        alive, loss = weakref.WeakSet(), Run.loss_sums

        class Activations:
            def __init__(self, frames):
                self.frames = frames
                alive.add(self)

        def checked(self, batch):
            activations = Activations(batch["mel"].shape[0] * batch["mel"].shape[1])  # noqa: F841
            if self.model.training and sum(one.frames for one in alive) > 180:
                raise torch.OutOfMemoryError("CUDA out of memory")  # a new one: it holds frames
            return loss(self, batch)

        Run.loss_sums = checked

    assert in_child(settings, prepare) == EXIT_FINISHED
    last = checkpoints.pointed(settings.directory / "checkpoints", "last")
    meta = settings.directory / "checkpoints" / last["checkpoint"] / checkpoints.META
    assert json.loads(meta.read_text())["fits"][0] > 90, "halves were enough"


def test_what_fits_is_remembered_over_a_restart(enough, tmp_path):
    """Killed and started again it begins in parts, as the uninterrupted one went on."""
    whole = tiny_run(tmp_path / "whole", **RUN)
    assert in_child(whole, little_memory(2)) == EXIT_FINISHED
    killed = tiny_run(tmp_path / "killed", **RUN, stop_after_minutes=None)

    def little_then_dead():
        little_memory(2)()
        original, calls = session.Session.save, 0

        def save(self, *args):
            nonlocal calls
            calls += 1
            original(self, *args)
            if calls == 2:
                os._exit(9)

        session.Session.save = save

    assert in_child(killed, little_then_dead) == 9
    last = checkpoints.pointed(killed.directory / "checkpoints", "last")
    meta = killed.directory / "checkpoints" / last["checkpoint"] / checkpoints.META
    assert json.loads(meta.read_text())["fits"][0] is not None
    assert in_child(killed) == EXIT_FINISHED, "and there is enough memory now"
    same(final(killed), final(whole))


def test_a_single_clip_that_does_not_fit_ends_with_the_remedies(tmp_path):
    settings = tiny_run(tmp_path, **RUN)
    assert in_child(settings, little_memory(0, where=("train",))) == EXIT_USER_ERROR
    reason = json.loads((settings.directory / "status.json").read_text())["reason"]
    assert "out of memory at update 1 with a single clip" in reason
    for remedy in ("batch_s", "accumulate", "workers", "max_s"):
        assert remedy in reason


@given(st.lists(st.integers(2, 90), min_size=1, max_size=30), st.integers(1, 3000))
def test_parts_hold_every_clip_once_and_fit(frames, fits):
    splitter = BatchSplitter(frames)
    splitter.max_steps = fits
    request = BatchRequest(tuple(range(len(frames))), 3)
    made = splitter.split(request)
    assert [i for part in made for i in part.clips] == list(range(len(frames)))
    assert made == [request] or all(part.pad_to == max(frames) for part in made)
    for part in made:
        assert len(part.clips) == 1 or len(part.clips) * max(frames) <= fits
        assert splitter.split(part) == [part]


def test_less_goes_down_to_one_clip():
    splitter = BatchSplitter([50] * 5)
    request = BatchRequest((0, 1, 2, 3, 4), 0)
    sizes = []
    for _ in range(3):
        splitter.shrink(splitter.split(request)[0], 1)
        sizes.append(max(len(part.clips) for part in splitter.split(request)))
    assert sizes == [3, 2, 1]
    with pytest.raises(UserError, match="single clip of 50 steps"):
        splitter.shrink(splitter.split(request)[0], 1)


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="shapes"), out_of_memory_as(OutOfMemory(None)):
        raise RuntimeError("shapes do not fit")
    request = BatchRequest((0,), 0)
    with pytest.raises(OutOfMemory) as caught, out_of_memory_as(OutOfMemory(request)):
        raise ERRORS[1]
    assert caught.value.request == request


def test_no_memory_for_the_optimiser_ends_with_the_remedies(tmp_path):
    settings = tiny_run(tmp_path, **RUN)

    def full():
        def step(self, closure=None):
            raise ERRORS[0]

        torch.optim.AdamW.step = step

    assert in_child(settings, full) == EXIT_USER_ERROR
    reason = json.loads((settings.directory / "status.json").read_text())["reason"]
    assert "out of memory in the optimiser step of update 1" in reason and "batch_s" in reason
