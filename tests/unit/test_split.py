"""Nothing leaks into validation, and validation stays where it is."""

import dataclasses

import numpy as np
import pytest
from corpus_rows import deduplicate, segment, table
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from voicekiln.corpus.deduplicate import DeduplicateSettings
from voicekiln.corpus.split import (
    SplitSettings,
    _draw,
    choose,
    groups,
    held_out,
    imbalances,
    split,
)
from voicekiln.search.fingerprints import Fingerprints

SETTINGS = SplitSettings(
    val_share=0.2,
    min_recordings=5,
    block_s=30,
    per_speaker=True,
    validation=(),
    leak_similarity=0.85,
    leak_distance=0.3,
    seed=0,
)
SHARED = ("shared_groups", "shared_texts", "shared_near_duplicates", "shared_copies")
WORDS = "one two three four five six".split()
TEXTS = [f"sentence number {word} of all of them" for word in WORDS]
# each is a near-duplicate of the one before, and not of the one before that
ROW = "abcdefghijklmnopqrstuvwxyz0123456789αβγδεζηθικλμν"
BRIDGE = [ROW[i : i + 45] for i in range(4)]
corpora = st.lists(
    st.lists(st.sampled_from(TEXTS + BRIDGE), min_size=1, max_size=6), min_size=2, max_size=12
)


def build(corpus, speakers=1):
    rows = [
        segment(text, 4 * i, recording=f"r{r}", speaker=f"s{r % speakers}")
        for r, spoken in enumerate(corpus)
        for i, text in enumerate(spoken)
    ]
    return table(*rows)


def run(segments, prints=None, **changed):
    found = [(prints or {}).get(name) for name in segments["segment_id"]]
    chosen = dataclasses.replace(SETTINGS, **changed)
    return split(segments, Fingerprints.of(found), chosen)


def sides(result):
    return result.set_index("segment_id")["split"].fillna("").to_dict()


@settings(deadline=None)
@given(corpora, st.integers(1, 3))
def test_nothing_leaks(corpus, speakers):
    result, leaks = run(build(corpus, speakers))
    assert [leaks[key] for key in SHARED] == [0, 0, 0, 0]
    kept = result[result["status"] == "keep"]
    assert (kept["split"] == "val").any()
    assert kept["split"].notna().all()
    assert leaks["rows_dropped"] == (result["reason"] == "leak into validation").sum()
    val = kept[kept["split"] == "val"]
    assert leaks["lengths"]["val"]["segments"] == len(val)
    assert not result.loc[result["status"] == "drop", "limit"].isna().any()


@settings(deadline=None)
@given(corpora, st.randoms(use_true_random=False))
def test_order_does_not_matter(corpus, random):
    whole = build(corpus)
    order = list(range(len(whole)))
    random.shuffle(order)
    shuffled, _ = run(whole.iloc[order].reset_index(drop=True))
    assert sides(shuffled) == sides(run(whole)[0])


@settings(deadline=None)
@given(corpora, corpora, st.integers(1, 3))
def test_what_validates_stays_when_data_is_added_or_removed(corpus, more, speakers):
    """But for a choice of last resort, which is said in the log and can be pinned."""
    before = build(corpus, speakers)
    after = build(corpus + more, speakers)
    drawn = dataclasses.replace(SETTINGS, per_speaker=False)
    names = {True: groups(before, drawn), False: groups(after, drawn)}
    assume(("/" in names[True][0]) == ("/" in names[False][0]))  # both blocks or both recordings
    chosen = [choose(rows, names[rows is before], drawn) for rows in (before, after)]
    by_draw = [
        {name for name in some if _draws_low(name)} for some in chosen
    ]  # fmt: skip
    assert by_draw[0] == {name for name in by_draw[1] if name in set(names[True])}
    pinned = dataclasses.replace(drawn, validation=tuple(before["path"].unique()[:1]))
    for rows in (before, after):
        first = names[rows is before][rows["path"] == pinned.validation[0]]
        assert set(first) <= choose(rows, names[rows is before], pinned)


@settings(deadline=None)
@given(corpora, corpora)
def test_better_duplicates_take_nothing_from_validation_into_training(corpus, more):
    """But for a choice of last resort."""
    chosen = {"per_speaker": False, "min_recordings": 1, "leak_similarity": 1.0}
    drawn = dataclasses.replace(SETTINGS, **chosen)
    said = []
    for rows in (build(corpus), build(corpus + more)):
        rows["confidence"] = rows["recording_id"].str[1:].astype(int) / 100
        prints = Fingerprints.of([None] * len(rows))
        rules = DeduplicateSettings(0.0, 1, 1.0, False)
        rows, _ = deduplicate(rows, prints, rules, held_out(rows, drawn))
        kept, _ = split(rows, prints, drawn)
        by_draw = (kept["split"] == "val") & kept["recording_id"].map(_draws_low)
        said.append(
            {
                name: set(kept.loc[where, "text"])
                for name, where in (("val", by_draw), ("train", kept["split"] == "train"))
            }
        )
    assert said[0]["val"] <= said[1]["val"]
    assert not said[0]["val"] & said[1]["train"]


def _draws_low(name):
    return _draw(name, SETTINGS.seed) < SETTINGS.val_share


def test_bridging_duplicates_do_not_lead_into_validation():
    """A text may nearly repeat one that nearly repeats validation, and stay."""
    rows = [segment(text, 0, recording=f"r{i}") for i, text in enumerate(BRIDGE)]
    rows += [segment(f"{word} " * 9, 0, recording=f"x{word}") for word in WORDS]
    result, leaks = run(table(*rows), val_share=1e-9, validation=("r0.wav",))
    assert sides(result)[rows[1]["segment_id"]] == ""
    assert sides(result)[rows[2]["segment_id"]] == "train"
    assert (leaks["shared_near_duplicates"], leaks["rows_dropped"]) == (0, 1)


def test_a_copy_of_a_validation_recording_is_no_training_data():
    rows = [segment(f"{word} " * 9, 0, recording=f"r{word}") for word in WORDS]
    draw = np.random.default_rng(0)
    prints = {row["segment_id"]: draw.integers(1, 1 << 32, 90, np.uint32) for row in rows}
    prints[rows[3]["segment_id"]] = prints[rows[0]["segment_id"]][5:]
    pin = {"val_share": 1e-9, "validation": ("rone.wav",)}
    result, leaks = run(table(*rows), prints, **pin)
    assert sides(result)[rows[3]["segment_id"]] == ""
    assert (leaks["shared_copies"], leaks["rows_dropped"]) == (0, 1)
    result, leaks = run(table(*rows), prints, leak_distance=0.0, **pin)
    assert sides(result)[rows[3]["segment_id"]] == "train"


@given(st.integers(0, 200), st.integers(40, 120))
@settings(max_examples=30, deadline=None)
def test_no_stretch_above_half_a_second_is_on_both_sides_c13(start, length):
    """Two windows of one recording, as two recordings with texts of their own."""
    bits = np.random.default_rng(0).integers(1, 2**32, 400, dtype=np.uint32)
    segments = build([["sentence one of all"], ["other words than those"]])
    val, train = segments["segment_id"]
    prints = {val: bits[100:220], train: bits[start : start + length]}
    result, proof = run(segments, prints, validation=("r0.wav",), val_share=0.0)
    shared_frames = min(220, start + length) - max(100, start)
    leaked = result.set_index("segment_id")["status"][train] == "drop"
    if shared_frames >= 16:  # three quarters of the patterns are not looked up
        assert leaked
    if shared_frames <= 0:
        assert not leaked
    assert proof["shared_copies"] == 0


def test_one_recording_is_split_by_blocks():
    rows = [segment(f"text {chr(97 + i) * 8}", 4 * i) for i in range(60)]
    result, leaks = run(table(*rows))
    assert set(result["split"].dropna()) == {"train", "val"}
    assert leaks["shared_groups"] == 0
    blocks = result.groupby(result["start"] // (30 * 24000))["split"].nunique()
    assert set(blocks) == {1}


def test_every_speaker_with_enough_groups_validates():
    many = [[f"only said here {chr(97 + r % 26) * 9} {chr(97 + r // 26) * 9}"] for r in range(90)]
    segments = build(many, speakers=3)
    result, leaks = run(segments, val_share=0.001)
    assert set(result.loc[result["split"] == "val", "speaker"]) == {"s0", "s1", "s2"}
    result, _ = run(segments, val_share=0.001, per_speaker=False)
    assert (result["split"] == "val").sum() == 1
    few = segments[(segments["speaker"] != "s2") | (segments["recording_id"] == "r2")]
    result, _ = run(few.reset_index(drop=True), val_share=0.001)
    assert set(result.loc[result["split"] == "val", "speaker"]) == {"s0", "s1"}


def test_the_choice_of_last_resort_is_said(caplog):
    caplog.set_level("INFO")
    run(build([[TEXTS[0]], [TEXTS[1]]]), val_share=1e-9)
    assert "split.validation" in caplog.text


@pytest.mark.parametrize(
    "val, words",
    [
        ({"seconds": 50.0}, []),
        ({"seconds": 300.0}, ["validation has 23.1% of the audio"]),
        ({"seconds": 5.0}, ["validation has 0.5% of the audio"]),
        ({"median_s": 9.0}, ["4.0 s long in training and 9.0 s in validation"]),
        ({"speakers": 1}, ["only 1 of 2 speakers have clips in the validation set"]),
        ({"segments": 0}, []),
    ],
)
def test_uneven_sides_are_said_in_words(val, words):
    even = {"segments": 10, "speakers": 2, "seconds": 50.0, "median_s": 4.0}
    found = imbalances({"train": even | {"seconds": 1000.0}, "val": even | val}, 0.05)
    assert len(found) == len(words)
    assert all(part in line for part, line in zip(words, found, strict=True))
