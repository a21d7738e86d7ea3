"""Merge, deduplication, validation, split and ledger of small tables."""

import dataclasses

import pandas as pd
import pytest
from corpus_rows import RATE_HZ, recording, segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln import tables
from voicekiln.corpus import merge
from voicekiln.corpus.deduplicate import DeduplicateSettings, deduplicate
from voicekiln.corpus.split import SplitSettings, split
from voicekiln.corpus.validate import ValidateSettings, validate
from voicekiln.errors import UserError
from voicekiln.ledger import ledger


def dropped(result):
    return dict(
        result.loc[result["status"] == "drop", ["segment_id", "reason"]].itertuples(index=False)
    )


def name(row):
    return row["segment_id"]


# merge


def shard_files(tmp_path, *shards):
    paths = []
    for i, rows in enumerate(shards):
        paths.append(tmp_path / f"{i}.parquet")
        tables.write(tables.frame(rows, tables.RECORDINGS), paths[-1], tables.RECORDINGS)
    return paths


def test_byte_equal_copies_are_used_once_whatever_their_shard(tmp_path):
    same = {"content_sha256": "same"}
    shards = ([recording("b", **same), recording("c")], [recording("a", **same)])
    one = merge.merge_recordings(shard_files(tmp_path, *shards))
    other = merge.merge_recordings(shard_files(tmp_path, *reversed(shards)))
    assert one.equals(other)
    assert list(one["status"]) == ["ok", "copy", "ok"]
    assert one["reason"][1] == "byte-equal copy of a.wav"


def test_too_many_bad_recordings_stop_the_run_with_the_list(tmp_path):
    rows = [recording("a"), recording("b", status="bad", reason="truncated")]
    recordings = merge.merge_recordings(shard_files(tmp_path, rows))
    merge.check_bad_share(recordings, 0.5, "voice")
    with pytest.raises(UserError, match=r"1 of 2 (.|\n)*max_bad_recordings(.|\n)*b.wav: truncated"):
        merge.check_bad_share(recordings, 0.4, "voice")


# deduplication

DEDUPLICATE = DeduplicateSettings(takes_per_text=1, near_similarity=0.8, drop_near=False)


def test_equal_audio_goes_first_come_first_kept():
    a, b = segment("one", 0, audio_sha256="x"), segment("two", 4, audio_sha256="x")
    result, pairs = deduplicate(table(a, b), DEDUPLICATE)
    assert dropped(result) == {name(b): "same audio"}
    assert list(pairs["kept"]) == [name(a)]


def test_of_equal_texts_the_surest_take_stays_and_known_texts_before_all():
    unsure = segment("Good day.", 0, avg_logprob=-0.5)
    sure = segment("good day", 4, avg_logprob=-0.1)
    result, _ = deduplicate(table(unsure, sure), DEDUPLICATE)
    assert dropped(result) == {name(unsure): "same text"}
    known = segment("GOOD DAY", 8, text_source="known", avg_logprob=None)
    result, _ = deduplicate(table(unsure, sure, known), DEDUPLICATE)
    assert set(dropped(result)) == {name(unsure), name(sure)}


def test_another_speaker_may_say_the_same():
    a, b = segment("same", 0), segment("same", 4, speaker="ben")
    assert not dropped(deduplicate(table(a, b), DEDUPLICATE)[0])


def test_takes_may_be_kept():
    rows = [segment("same", 4 * i) for i in range(4)]
    for takes, kept in ((2, 2), (0, 4)):
        chosen = dataclasses.replace(DEDUPLICATE, takes_per_text=takes)
        result, _ = deduplicate(table(*rows), chosen)
        assert (result["status"] == "keep").sum() == kept


def test_near_duplicates_are_listed_and_dropped_on_request():
    a = segment("the quick brown fox jumps over the lazy dog", 0)
    b = segment("the quick brown fox jumps over the lazy dogs", 4)
    result, pairs = deduplicate(table(a, b), DEDUPLICATE)
    assert not dropped(result) and list(pairs["kind"]) == ["near-duplicate text"]
    chosen = dataclasses.replace(DEDUPLICATE, drop_near=True)
    result, pairs = deduplicate(table(a, b), chosen)
    assert len(dropped(result)) == 1 and bool(pairs["dropped"][0])


# validation

VALIDATE = ValidateSettings(
    min_s=0.5,
    max_s=30.0,
    min_chars_per_s=2.0,
    max_chars_per_s=25.0,
    max_silence_share=0.5,
    max_clipped_share=0.01,
    min_avg_logprob=-1.0,
    max_no_speech_prob=0.6,
    min_trust=0.2,
    max_cer=0.5,
    script="LATIN",
    min_script_share=0.5,
)


@pytest.mark.parametrize(
    "row, reason, value, limit",
    [
        (segment("a good text"), None, None, None),
        (segment("?!"), "no text", 0, 1),
        (segment("a good text", text_source="known", avg_logprob=-1.4, cer=0.2), None, None, None),
        (segment("a good text", trust=0.1), "transcript not trusted", 0.1, 0.2),
        (
            segment("a good text", text_source="known", cer=0.7),
            "text differs from what is heard",
            0.7,
            0.5,
        ),
        (segment(None), "no text", 0, 1),
        (segment("hey", length_s=0.25), "too short", 0.25, 0.5),
        (segment("long " * 40, length_s=40), "too long", 40, 30),
        (segment("hi", avg_logprob=-1.5, no_speech_prob=0.9), "no speech heard", 0.9, 0.6),
        (segment("hello there", avg_logprob=-1.5), "recogniser unsure", -1.5, -1.0),
        (segment("hi", length_s=4), "too few characters a second", 0.5, 2),
        (segment("x" * 60), "too many characters a second", 30, 25),
        (segment("a good text", silence_share=0.6), "too much silence", 0.6, 0.5),
        (segment("a good text", clipped_share=0.02), "clipped", 0.02, 0.01),
        (segment("ሰላም ለዓለም ሁሉ"), "text not latin", 0, 0.5),
        (segment("a good text", avg_logprob=None, no_speech_prob=None), None, None, None),
    ],
)
def test_each_rule_gives_reason_value_and_limit(row, reason, value, limit):
    result = validate(table(row), VALIDATE).iloc[0]
    if reason is None:
        assert result["status"] == "keep" and pd.isna(result["reason"])
    else:
        assert (result["status"], result["step"], result["reason"]) == ("drop", "validate", reason)
        assert (result["value"], result["limit"]) == (pytest.approx(value), limit)


def test_what_was_dropped_before_keeps_its_reason():
    row = segment("", status="drop", step="deduplicate", reason="same text")
    assert validate(table(row), VALIDATE)["reason"][0] == "same text"


# split

SPLIT = SplitSettings(val_share=0.2, min_recordings=5, block_s=30, leak_similarity=0.85, seed=0)
texts = st.sampled_from([f"sentence number {word}" for word in "one two three four".split()])
recordings_of_texts = st.lists(st.lists(texts, min_size=1, max_size=6), min_size=2, max_size=12)


def build(corpus):
    rows = [
        segment(text + f" {r}" * (r % 3), 4 * i, recording=f"r{r}")
        for r, spoken in enumerate(corpus)
        for i, text in enumerate(spoken)
    ]
    return table(*rows)


@settings(deadline=None)
@given(recordings_of_texts)
def test_nothing_leaks(corpus):
    result, leaks = split(build(corpus), SPLIT)
    shared = ("shared_groups", "shared_texts", "shared_near_duplicates")
    assert [leaks[key] for key in shared] == [0, 0, 0]
    kept = result[result["status"] == "keep"]
    assert (kept["split"] == "val").any()
    assert kept["split"].notna().all()
    assert leaks["rows_dropped"] == (result["reason"] == "leak into validation").sum()


@settings(deadline=None)
@given(recordings_of_texts, st.randoms())
def test_order_does_not_matter(corpus, random):
    whole = build(corpus)
    order = list(range(len(whole)))
    random.shuffle(order)
    shuffled, _ = split(whole.iloc[order].reset_index(drop=True), SPLIT)
    straight, _ = split(whole, SPLIT)
    sides = [table.set_index("segment_id")["split"].fillna("") for table in (shuffled, straight)]
    assert sides[0].to_dict() == sides[1].to_dict()


def test_validation_stays_when_recordings_are_added():
    many = [["words that nobody else says " + chr(97 + r) * 9] for r in range(60)]
    before, _ = split(build(many[:40]), SPLIT)
    after, _ = split(build(many), SPLIT)
    stays = set(before.loc[before["split"] == "val", "segment_id"])
    assert stays <= set(after.loc[after["split"] == "val", "segment_id"])
    assert 0 < len(stays) < 40


def test_one_recording_is_split_by_blocks():
    rows = [segment(f"text {chr(97 + i) * 8}", 4 * i) for i in range(60)]
    result, leaks = split(table(*rows), SPLIT)
    assert set(result["split"].dropna()) == {"train", "val"}
    assert leaks["shared_groups"] == 0


# ledger


def test_the_ledger_adds_up():
    segments = table(
        segment("kept for training", 0, split="train"),
        segment("kept for validation", 10, split="val"),
        segment("", 20, status="drop", step="validate", reason="no text"),
    )
    recordings = tables.frame(
        [
            recording(seconds=60.0),
            recording("copy", 60.0, status="copy"),
            recording("bad", status="bad", reason="empty", n_samples=None, path="bad.wav"),
        ],
        tables.RECORDINGS,
    )
    account = ledger(recordings, segments)
    assert account["samples_in"] == 120 * RATE_HZ
    assert account["kept"]["train"] == {"segments": 1, "samples": 2 * RATE_HZ}
    assert account["non_speech"] == 54 * RATE_HZ
    assert account["unreadable"]["files"] == [{"path": "bad.wav", "reason": "empty"}]
    lost = sum(line["samples"] for line in account["lost"])
    kept = sum(side["samples"] for side in account["kept"].values())
    assert kept + lost + account["non_speech"] == account["samples_in"]


def test_overlapping_segments_do_not_add_up():
    segments = table(segment("a", 0, 40.0, split="train"), segment("b", 10, 40.0, split="val"))
    with pytest.raises(UserError, match="does not add up"):
        ledger(tables.frame([recording(seconds=60.0)], tables.RECORDINGS), segments)


@pytest.mark.parametrize("rows", [[], [segment("", status="drop", step="x", reason="y")]])
def test_nothing_left_goes_through_every_step(rows):
    result, pairs = deduplicate(table(*rows), DEDUPLICATE)
    result, leaks = split(validate(result, VALIDATE), SPLIT)
    assert len(result) == len(rows) and pairs.empty
    assert leaks["shared_texts"] == 0
    account = ledger(tables.frame([recording()], tables.RECORDINGS), result)
    assert account["kept"]["train"]["samples"] == 0
