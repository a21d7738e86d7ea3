"""Several voices in one run: epochs balanced by speaker, and the validation loss of each."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toy_setup import toy_family, toy_run
from training_children import at_call, final, in_child, in_children, metrics, nothing, same
from voicekiln.training import loop
from voicekiln.training.data.plan import Batches, Position, plan
from voicekiln.training.log.records import EXIT_FINISHED

CLIPS = st.lists(st.tuples(st.integers(2, 300), st.sampled_from("abc")), min_size=1, max_size=60)


@pytest.fixture(scope="module", autouse=True)
def registered():
    with toy_family():
        yield


def balanced(clips, seed=1) -> Batches:
    lengths, speakers = zip(*clips, strict=True)
    ids = [f"clip-{i}" for i in range(len(clips))]
    return plan(lengths, ids, 400, 0, 2, seed, 93.75, speakers)


@given(CLIPS, st.integers(0, 3))
def test_every_clip_occurs_and_no_speaker_has_more_than_the_largest(clips, epoch):
    batches = balanced(clips)
    order = batches.epoch(epoch)
    counts = Counter(i for batch in order for i in batch)
    assert set(counts) == set(range(len(clips)))
    assert all(len(batch) * max(clips[i][0] for i in batch) <= 400 for batch in order)
    assert len(order) == batches.per_epoch
    steps, own = Counter(), Counter()
    for i, (length, speaker) in enumerate(clips):
        steps[speaker] += counts[i] * length
        own[speaker] += length
    most = max(own.values())
    # a clip more or less, and clips of one grid length differ by up to 7 steps
    slack = {s: max(n for n, who in clips if who == s) for s in own}
    for speaker, total in steps.items():
        n = sum(counts[i] for i, (_, who) in enumerate(clips) if who == speaker)
        assert abs(total - most) <= 2 * slack[speaker] + 7 * n


def test_epochs_of_two_voices_are_even_and_depend_on_seed_and_epoch_only():
    """S4-39: 2 to 60 minutes; every clip of the small one comes about equally often."""
    clips = [(20 + 7 * i % 200, "large") for i in range(300)]
    clips += [(20 + 11 * i % 200, "small") for i in range(17)]
    batches = balanced(clips)
    over_all = Counter()
    for epoch in range(8):
        order = batches.epoch(epoch)
        sums = Counter()
        for i in (i for batch in order for i in batch):
            sums[clips[i][1]] += clips[i][0]
        assert sums["small"] == pytest.approx(sums["large"], rel=0.05)
        assert order == balanced(clips).epoch(epoch) != batches.epoch(epoch + 1)
        over_all.update(i for batch in order for i in batch if clips[i][1] == "small")
    assert len(over_all) == 17 and max(over_all.values()) - min(over_all.values()) <= 8
    assert balanced(clips, seed=2).epoch(0) != batches.epoch(0)
    whole = list(batches.updates_from(Position(0, 0), 2))
    assert list(batches.updates_from(Position(1, 2), 2)) == whole[batches.updates_per_epoch + 1 :]


def test_a_balanced_training_resumes_bit_equal_and_is_another_run(tmp_path):
    run = {"balance": "speaker", "speakers": "aaaab", "epochs": 2}
    whole, killed = toy_run(tmp_path / "whole", **run), toy_run(tmp_path / "killed", **run)
    assert in_child(whole) == EXIT_FINISHED
    assert in_child(killed, at_call(loop.Training, "backward", 9)) < 0
    assert in_child(killed) == EXIT_FINISHED
    same(final(killed), final(whole))
    identity = json.loads((whole.directory / "fingerprint.json").read_text())["identity"]
    assert identity["balance"] == "speaker"


def test_each_voice_has_its_validation_loss(tmp_path):
    """Equal with two processes, of which one may have no clip of a voice."""
    run = {"model": {"dropout": 0.0}, "epochs": 1}
    one = toy_run(tmp_path / "one", **run)
    assert in_child(one) == EXIT_FINISHED
    a, b = (metrics(one, "voices", f"loss_{name}") for name in "ab")
    for update, loss in metrics(one, "validation").items():
        assert min(a[update], b[update]) < loss < max(a[update], b[update])
    two = toy_run(tmp_path / "two", accumulate=1, **run)
    assert in_children(two, nothing, nothing) == [EXIT_FINISHED] * 2
    for name in "ab":
        expected = pytest.approx(metrics(one, "voices", f"loss_{name}"), rel=1e-5)
        assert metrics(two, "voices", f"loss_{name}") == expected


def test_a_single_voice_has_none_of_its_own(tmp_path):
    run = toy_run(tmp_path, speakers="a", epochs=1)
    assert in_child(run) == EXIT_FINISHED
    assert metrics(run, "voices") == {}
