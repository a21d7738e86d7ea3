"""Which segments repeat others, and which of them stays."""

import dataclasses

import numpy as np
import pytest
from corpus_rows import deduplicate, segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.corpus.deduplicate import DeduplicateSettings
from voicekiln.search.fingerprints import Fingerprints

SETTINGS = DeduplicateSettings(
    copy_distance=0.3, takes_per_text=1, near_similarity=0.8, drop_near=False
)


def dropped(result):
    rows = result.loc[result["status"] == "drop", ["segment_id", "reason"]]
    return dict(rows.itertuples(index=False))


def name(row):
    return row["segment_id"]


def run(*rows, prints=None, validating=(), **changed):
    """Table and pairs; `prints` by segment id, `validating` by path."""
    segments = table(*rows)
    found = [(prints or {}).get(one) for one in segments["segment_id"]]
    chosen = dataclasses.replace(SETTINGS, **changed)
    return deduplicate(segments, Fingerprints.of(found), chosen, segments["path"].isin(validating))


def noise(seed, n=120):
    return np.random.default_rng(seed).integers(1, 1 << 32, n, dtype=np.uint32)


def flipped(print_, share, seed=0):
    """A fingerprint of which a share of the bits differs."""
    flips = np.random.default_rng(seed).random((len(print_), 32)) < share
    return print_ ^ np.packbits(flips, axis=1, bitorder="little").view("<u4")[:, 0]


def test_of_equal_audio_the_transcript_with_most_confidence_stays():
    a, b = segment("one", 0, audio_sha256="x"), segment("two", 4, audio_sha256="x", confidence=0.9)
    result, pairs = run(a, b)
    assert dropped(result) == {name(a): "same audio"}
    assert list(pairs["kept"]) == [name(b)]
    assert not pairs["same_text"][0]


@pytest.mark.parametrize(
    "better, worse",
    [
        ({"marked": "keep"}, {"text_source": "reference"}),
        ({"text_source": "reference"}, {"confidence": 1.0}),
        ({"text_source": "corrected"}, {"confidence": 1.0}),
        ({"confidence": 0.8}, {"confidence": 0.7, "snr_db": 60.0}),
        ({"confidence": 0.8}, {"confidence": None, "snr_db": 60.0}),
        ({"clipped_share": 0.0}, {"clipped_share": 0.1, "snr_db": 60.0}),
        ({"snr_db": 40.0}, {"snr_db": 20.0, "avg_logprob": -0.1}),
        ({"avg_logprob": -0.1}, {"avg_logprob": -0.3, "length_s": 3.0}),
        ({"length_s": 3.0}, {}),
        ({}, {"start_s": 8.0}),
    ],
)
def test_what_stays_is_decided_by_hand_source_confidence_and_quality(better, worse):
    rows = [
        segment("say it", **({"start_s": 0.0} | better)),
        segment("Say it!", **({"start_s": 4.0} | worse)),
    ]
    for order in (rows, rows[::-1]):
        result, _ = run(*order)
        assert dropped(result) == {name(rows[1]): "same text"}


def test_what_validates_stays_unless_another_is_marked():
    old = segment("say it", 0, recording="r0", confidence=0.3)
    better = {"recording": "r1", "confidence": 0.9, "text_source": "reference"}
    for more, gone in (({}, "r1"), ({"marked": "keep"}, "r0")):
        rows = [old, segment("say it", 0, **better | more)]
        result, _ = run(*rows, validating=["r0.wav"])
        assert list(dropped(result)) == [f"{gone}_0_48000"]
    assert list(dropped(run(old, segment("say it", 0, **better))[0])) == [name(old)]


def test_a_copy_of_a_recording_is_dropped_with_its_distance():
    a, b, c = segment("first", 0), segment("second", 4, confidence=0.2), segment("third", 8)
    held = {name(a): noise(1), name(b): flipped(noise(1), 0.1)[10:-10], name(c): noise(2)}
    result, pairs = run(a, b, c, prints=held)
    assert dropped(result) == {name(b): "copy of a recording"}
    row = result[result["segment_id"] == name(b)].iloc[0]
    assert row["value"] == pytest.approx(0.9, abs=0.02) and row["limit"] == 0.7
    assert not pairs["same_text"][0]
    assert not dropped(run(a, b, c, prints=held, copy_distance=0.0)[0])
    assert not dropped(run(a, b, c, prints=held, copy_distance=0.05)[0])


def test_another_speaker_may_say_the_same():
    assert not dropped(run(segment("same", 0), segment("same", 4, speaker="ben"))[0])


def test_takes_may_be_kept():
    rows = [segment("same", 4 * i) for i in range(4)]
    for takes, kept in ((2, 2), (0, 4)):
        result, _ = run(*rows, takes_per_text=takes)
        assert (result["status"] == "keep").sum() == kept


NEAR = [
    "the quick brown fox jumps over the lazy dog",
    "the quick brown fox jumps over the lazy dogs",
]


def test_near_duplicates_are_listed_and_dropped_on_request():
    a, b = segment(NEAR[0], 0), segment(NEAR[1], 4)
    result, pairs = run(a, b)
    assert not dropped(result) and list(pairs["kind"]) == ["near-duplicate text"]
    result, pairs = run(a, b, drop_near=True)
    assert dropped(result) == {name(b): "near-duplicate text"} and bool(pairs["dropped"][0])


def test_a_near_duplicate_goes_with_all_its_takes():
    rows = [segment(NEAR[0], 0), segment(NEAR[1], 4), segment(NEAR[1], 8)]
    result, _ = run(*rows, drop_near=True, takes_per_text=0)
    assert set(dropped(result)) == {name(rows[1]), name(rows[2])}


TEXTS = ["red", "red ", "blue", *NEAR, None, ""]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(TEXTS), st.integers(0, 3), st.integers(0, 2)), max_size=12
    ),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_the_rows_does_not_matter_and_one_of_each_stays(rows, order):
    made = [
        segment(text, 4.0 * i, audio_sha256=f"{audio}", confidence=confidence / 2)
        for i, (text, audio, confidence) in enumerate(rows)
    ]
    held = {name(row): noise(i % 3) for i, row in enumerate(made)}
    result, pairs = run(*made, prints=held, drop_near=True)
    shuffled = list(made)
    order.shuffle(shuffled)
    other, other_pairs = run(*shuffled, prints=held, drop_near=True)
    assert dropped(result) == dropped(other)
    by_name = {tuple(pair) for pair in pairs.itertuples(index=False)}
    assert by_name == {tuple(pair) for pair in other_pairs.itertuples(index=False)}
    kept = set(result.loc[result["status"] == "keep", "segment_id"])
    instead = dict(zip(pairs["other"], pairs["kept"], strict=True))
    for one in instead:
        while one not in kept:  # each chain of duplicates ends at one that stays
            one = instead[one]
