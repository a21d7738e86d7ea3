"""Batches: every clip once an epoch, from any position, within the limits, in a seeded order."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest
from corpus_rows import segment
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.training.data.plan import Batches, Position, in_order, plan, to_seconds, to_steps

LENGTHS = st.lists(st.integers(2, 400), min_size=1, max_size=60)


def planned(frames, batch_steps=400, batch_clips=0, per_update=1, seed=1) -> Batches:
    ids = [f"clip-{i}" for i in range(len(frames))]
    return plan(frames, ids, batch_steps, batch_clips, per_update, seed, 93.75)


@given(LENGTHS, st.integers(0, 5), st.integers(1, 4), st.integers(0, 3))
def test_every_clip_comes_once_in_every_epoch(frames, batch_clips, per_update, epoch):
    batches = planned(frames, batch_clips=batch_clips, per_update=per_update)
    order = batches.epoch(epoch)
    assert sorted(i for batch in order for i in batch) == list(range(len(frames)))
    for batch in order:
        assert len(batch) * max(frames[i] for i in batch) <= 400
        assert not batch_clips or len(batch) <= batch_clips


@given(LENGTHS, st.integers(1, 4), st.data())
def test_from_any_position_comes_what_an_uninterrupted_run_has_left(frames, per_update, data):
    """S1-1 ... S1-4: the position is the NEXT one; nothing repeated, nothing left out."""
    epochs = 3
    batches = planned(frames, per_update=per_update)
    whole = list(batches.updates_from(Position(0, 0), epochs))
    assert len(whole) == epochs * batches.updates_per_epoch
    done = data.draw(st.integers(0, len(whole)))
    position = Position(0, 0)
    for n in range(done):
        assert batches.update(position) == n
        position = batches.next(position)
    assert list(batches.updates_from(position, epochs)) == whole[done:]
    # another process, that knows the settings and the position only
    again = planned(frames, per_update=per_update)
    assert list(again.updates_from(position, epochs)) == whole[done:]


def test_the_end_of_an_epoch_is_the_start_of_the_next():
    batches = planned([400] * 5, per_update=2)
    assert batches.updates_per_epoch == 3
    assert batches.next(Position(0, 2)) == Position(0, 4)
    assert batches.next(Position(0, 4)) == Position(1, 0)
    assert [len(u) for u in batches.updates_from(Position(0, 0), 1)] == [2, 2, 1]


def test_order_and_company_change_with_epoch_and_seed_and_nothing_else():
    frames = [40 + i % 9 for i in range(60)]
    first = planned(frames)
    assert first.epoch(0) == planned(frames).epoch(0)
    assert first.epoch(0) != first.epoch(1)
    assert first.epoch(0) != planned(frames, seed=2).epoch(0)
    company = {frozenset(batch) for batch in first.epoch(0)}
    assert company != {frozenset(batch) for batch in first.epoch(1)}
    # the order in which the rows come does not count
    ids = [f"clip-{i}" for i in range(60)]
    turned = plan(frames[::-1], ids[::-1], 400, 0, 1, 1, 93.75)
    named = [[ids[i] for i in b] for b in first.members]
    assert [[ids[::-1][i] for i in b] for b in turned.members] == named


def test_clips_that_fit_no_batch_are_listed_and_not_dropped():
    with pytest.raises(UserError) as raised:
        planned([100, 401, 900])
    message = str(raised.value)
    assert "2 clips" in message and "clip-1 (4.28 s)" in message and "clip-2" in message
    assert "clip-0" not in message and "train.batch_s (4.27 s)" in message
    with pytest.raises(UserError, match="no clips"):
        planned([])
    with pytest.raises(UserError, match="^1 clip is shorter than 2 steps.*clip-0") as raised:
        planned([1, 30])
    assert '"status": "drop"}' in str(raised.value) and ".corrections" in str(raised.value)


def test_padding_share_is_the_share_of_frames_without_a_clip():
    # 100 + 90 frames take 2 x 100
    assert planned([100, 90], batch_steps=208).padding == pytest.approx(10 / 200)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_padding_of_a_usual_corpus_is_small(seed):
    """1 to 15 s of speech in batches of 38 400 frames, upstream's size: at most 5 %."""
    import random

    rng = random.Random(seed)
    frames = [round(93.75 * rng.triangular(1, 15, 5)) for _ in range(3000)]
    batches = planned(frames, batch_steps=38_400)
    padded = [
        len(batch) * max(frames[i] for i in batch)
        for epoch in range(2)
        for batch in batches.epoch(epoch)
    ]
    assert 1 - 2 * sum(frames) / sum(padded) <= 0.05


@given(st.integers(1, 100_000), st.sampled_from([93.75, 21.53, 50.0]))
def test_any_number_of_steps_can_be_configured_in_seconds(steps, steps_per_s):
    """To hundredths of a second, so that a run of `batch_frames` continues with `batch_s`."""
    assert to_steps(round(steps / steps_per_s, 2), steps_per_s) == steps
    lowest = to_seconds(steps, steps_per_s)
    assert to_steps(lowest, steps_per_s) >= steps > to_steps(lowest - 0.011, steps_per_s)


@given(LENGTHS)
def test_validation_batches_hold_every_clip_in_a_fixed_order(frames):
    batches = in_order(frames, [str(i) for i in range(len(frames))], 100)
    assert sorted(i for batch in batches for i in batch) == list(range(len(frames)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(frames[i] for i in batch) <= 100


def test_a_clip_that_fits_no_batch_stops_its_features():
    """Before anything is computed; validation clips have batches of their own."""
    path = Path(__file__).resolve().parents[2] / "workflow" / "scripts" / "extract_features.py"
    spec = importlib.util.spec_from_file_location("extract_features", path)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rows = [segment("a", length_s=2.0), segment("b", length_s=9.0, recording="r1")]
    segments = pd.DataFrame(rows).assign(split=["train", "val"])
    script.require_batches(segments, families.get("f5"), 2.13)  # 200 frames; 2 s are 188
    script.require_batches(segments.assign(split="train"), families.get("f5"), "auto")
    with pytest.raises(UserError, match=r"batch_s \(2.13 s\).*raise it to 9 or more.*r1_0_21600"):
        script.require_batches(segments.assign(split="train"), families.get("f5"), 2.13)
