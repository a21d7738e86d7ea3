"""Merge, deduplication, validation, split and ledger of small tables."""

import json

import numpy as np
import pandas as pd
import pytest
from corpus_rows import RATE_HZ, deduplicate, recording, segment, table, validate, validate_settings
from voicekiln.corpus import merge
from voicekiln.corpus.deduplicate import DeduplicateSettings
from voicekiln.corpus.ledger import ledger
from voicekiln.corpus.split import SplitSettings, split
from voicekiln.errors import UserError
from voicekiln.search.fingerprints import Fingerprints
from voicekiln.store import tables


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


def known(*texts):
    """Known texts, `(start, end, text)` each."""
    keys = ("start_s", "end_s", "text")
    return json.dumps([dict(zip(keys, text, strict=True)) for text in texts])


def test_retagged_copies_are_used_once_and_other_texts_are_said(tmp_path, caplog):
    """Other bytes, the same samples: another tag, or FLAC beside WAV."""
    same = {"audio_sha256": "same"}
    rows = [
        recording("a", **same, reference_texts=known((None, None, "One."))),
        recording("b", **same, reference_texts=known((None, None, "One."))),
        recording("c", **same, reference_texts=known((None, None, "Two."))),
        recording("d", audio_sha256="other"),
        recording("e", status="bad"),
    ]
    one = merge.merge_recordings(shard_files(tmp_path, rows[3:], rows[:3]))
    assert list(one["status"]) == ["ok", "copy", "copy", "ok", "bad"]
    assert one["reason"][1] == "same samples in another file of a.wav"
    assert "c.wav" in caplog.text and "b.wav" not in caplog.text
    assert "'One.' is used instead of 'Two.'" in caplog.text
    account = ledger(one.fillna({"n_samples": 0}), table())
    assert account["lost"][0]["reason"] == "same samples in another file"
    assert account["lost"][0]["recordings"] == 2


@pytest.mark.parametrize("column", ["content_sha256", "audio_sha256"])
def test_of_copies_the_one_with_texts_is_used(tmp_path, caplog, column):
    rows = [
        recording("a", **{column: "same"}),
        recording("b", **{column: "same"}, reference_texts=known((None, None, None))),
        recording("c", **{column: "same"}, reference_texts=known((None, None, "One."))),
        recording("d", **{column: "same"}, reference_texts=known((0, 2, "One."), (2, 4, "Two."))),
    ]
    one = merge.merge_recordings(shard_files(tmp_path, rows))
    assert list(one["status"]) == ["copy", "copy", "copy", "ok"]
    assert set(one["reason"].dropna().str[-8:]) == {"of d.wav"}
    assert not caplog.records
    one = merge.merge_recordings(shard_files(tmp_path, rows[:3]))
    assert list(one["status"]) == ["copy", "copy", "ok"]


def test_texts_of_all_byte_equal_copies_are_used(tmp_path, caplog):
    same = {"content_sha256": "same", "recording_id": "same"}
    rows = [
        recording("a", **same, reference_texts=known((0, 2, "One."), (2, 4, "Two."))),
        recording("b", **same, reference_texts=known((2, 4, "Other."), (10, 12, "Three."))),
    ]
    recordings = merge.merge_recordings(shard_files(tmp_path, rows))
    segments = [
        segment(text, start_s, 2, "same", path=path, text_source=source)
        for path, start_s, text, source in (
            ("a.wav", 0, "One.", "reference"),
            ("a.wav", 2, "Two.", "reference"),
            ("b.wav", 2, "Other.", "reference"),
            ("b.wav", 10, "Three.", "reference"),
            ("b.wav", 20, "Heard.", "hypothesis"),
        )
    ]
    path = tmp_path / "segments.parquet"
    tables.write(table(*segments), path, tables.SEGMENTS)
    found = merge.merge_segments([path], recordings)
    assert list(found["text"]) == ["One.", "Two.", "Three."]
    assert set(found["path"]) == {"a.wav"} and found["segment_id"].is_unique
    assert "'Two.' is used instead of 'Other.'" in caplog.text
    account = ledger(recordings, found.assign(split="train"))
    assert account["kept"]["train"]["segments"] == 3


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
    unheard = Fingerprints.empty(np.zeros(len(segments), np.int64))
    validating = pd.Series(False, segments.index)
    settings = DeduplicateSettings(0.3, 1, 0.8, False)
    result, pairs = deduplicate(segments, unheard, settings, validating)
    split_settings = SplitSettings(0.2, 5, 30, True, (), 0.85, 0.3, 0)
    result, _ = validate(result, nothing, validate_settings())
    result, leaks = split(result, unheard, split_settings)
    assert len(result) == len(rows) and pairs.empty
    assert leaks["shared_texts"] == 0
    account = ledger(tables.frame([recording()], tables.RECORDINGS), result)
    assert account["kept"]["train"]["samples"] == 0
