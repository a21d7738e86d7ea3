"""Merge, deduplication, validation, split and ledger of small tables."""

import pandas as pd
import pytest
from corpus_rows import RATE_HZ, recording, segment, table
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
    segments = table(*rows)
    nothing = pd.Series([None] * len(segments), segments.index, dtype=object)
    result, pairs = deduplicate(segments, nothing, DeduplicateSettings(0.3, 1, 0.8, False))
    split_settings = SplitSettings(0.2, 5, 30, True, (), 0.85, 0.3, 0)
    result, leaks = split(validate(result, VALIDATE), nothing, split_settings)
    assert len(result) == len(rows) and pairs.empty
    assert leaks["shared_texts"] == 0
    account = ledger(tables.frame([recording()], tables.RECORDINGS), result)
    assert account["kept"]["train"]["samples"] == 0
