"""What is checked before a recogniser runs, and what can be reviewed after a stop."""

import json
import os

import pytest
import yaml
from corpus_rows import RATE_HZ, recording, segment, table
from voicekiln.config.resolve import resolve
from voicekiln.corpus.sources import listing, survey
from voicekiln.review import so_far
from voicekiln.store import tables


def settings(**changed):
    """A corpus's configuration."""
    config = {"corpora": {"voice": {"audio": "a", "language": "en", **changed}}}
    return resolve(yaml.safe_load(yaml.safe_dump(config)))["corpora"]["voice"]


def corpus(tmp_path, seconds, bad=0, dropped=0, name="voice"):
    """The folders of two shards: a recording of 5 s with a segment for each 5 s of audio."""
    folders = [tmp_path / f"corpora/{name}/shards/{i:03d}" for i in range(2)]
    names = [f"r{i}" for i in range(seconds // 5)]
    for i, folder in enumerate(folders):
        folder.mkdir(parents=True)
        mine = names[i::2]
        rows = [recording(n, 5.0, content_sha256=n * 8, audio_sha256=n) for n in mine]
        rows += [recording(f"bad{i}{j}", status="bad", reason="cut off") for j in range(bad)]
        tables.write(
            tables.frame(rows, tables.RECORDINGS), folder / "normalize.parquet", tables.RECORDINGS
        )
        rows = [segment(None, 0, 4.0, n, status="keep") for n in mine]
        for row in rows[:dropped]:
            row |= {"status": "drop", "step": "segment", "reason": "overlaps the previous one"}
        tables.write(
            tables.frame(rows, tables.SEGMENTS), folder / "segment.parquet", tables.SEGMENTS
        )
    return folders


def list_shards(folder, n=2):
    """The stored listing of a corpus with `n` shards."""
    listing.write(listing.Listing(["0"] * n, [], [b""] * n), folder)


def test_a_good_corpus_has_no_problem(tmp_path):
    there = survey.read(corpus(tmp_path, 600))
    assert survey.problems(*there, settings(), "voice") == []
    assert survey.warnings(there[0], settings(), "voice") == []


def test_all_problems_that_are_known_are_reported_together(tmp_path):
    there = survey.read(corpus(tmp_path, 60, bad=4, dropped=4))
    told = survey.problems(*there, settings(), "voice")
    keys = (
        "max_bad_recordings: 0.4",
        "min_total_s: 60",
        "max_loss.segment: 0.67",
        "split: {min_tr",
    )
    assert len(told) == len(keys)
    for line, key in zip(told, keys, strict=True):
        assert line.startswith("corpus voice: ") and f"set corpora.voice.{key}" in line
    assert any(
        "bad00.wav: not used: cut off" in w for w in survey.warnings(there[0], settings(), "")
    )


def test_the_values_that_are_offered_let_the_corpus_pass(tmp_path):
    there = survey.read(corpus(tmp_path, 60, bad=4, dropped=4))
    passing = settings(
        max_bad_recordings=0.4,
        min_total_s=60,
        max_loss={"segment": 0.67},
        split={"min_train": 3, "min_val": 1},
    )
    assert survey.problems(*there, passing, "voice") == []


def test_another_corpus_is_looked_at_once_all_its_shards_are_there(tmp_path):
    folders = corpus(tmp_path, 60)
    folder = tmp_path / "corpora/voice"
    assert survey.of_other(folder, settings()) == [], "it has not been listed"
    list_shards(folder)
    assert len(survey.of_other(folder, settings())) == 2
    (folders[1] / "segment.parquet").unlink()
    assert survey.of_other(folder, settings()) == []


def test_the_warnings_of_another_corpus_are_left_to_its_own_job(tmp_path, caplog):
    folders = corpus(tmp_path, 60)
    list_shards(tmp_path / "corpora/voice")
    texts = [{"start_s": None, "end_s": None, "text": text} for text in ("one", "two")]
    rows = [
        recording(f"same{i}", 5.0, content_sha256="same", reference_texts=json.dumps([text]))
        for i, text in enumerate(texts)
    ]
    table = tables.frame(rows, tables.RECORDINGS)
    tables.write(table, folders[0] / "normalize.parquet", tables.RECORDINGS)
    survey.read(folders)
    assert "'one' is used instead of 'two'" in caplog.text
    caplog.clear()
    assert survey.of_other(tmp_path / "corpora/voice", settings())
    assert caplog.text == ""


def test_recordings_without_speech_are_named(tmp_path):
    recordings, segments = survey.read(corpus(tmp_path, 600))
    segments = segments[segments["path"] != "r7.wav"]
    line, told = survey.cutting(recordings, segments, {"segments": 119}, settings()["segment"])
    assert line.startswith("119 segments, 4.00 s on average")
    assert told[0].startswith("no speech was found in r7.wav (1): ")


@pytest.mark.parametrize(
    "newest, text, reasons",
    [
        ("segment", None, []),
        ("correct", "facts", []),
        ("deduplicate", "facts", ["same text"]),
        ("validate", "facts", ["same text", "noisy"]),
        (".", "joined", []),
    ],
)
def test_the_newest_tables_are_reviewed(newest, text, reasons, tmp_path):
    shards = corpus(tmp_path, 20)
    folder = tmp_path / "corpora/voice"
    list_shards(folder)
    assert so_far.find(tmp_path / "corpora/other", None) is None
    recordings, _ = survey.read(shards)
    facts = table(segment("facts", 0, 4.0, "r1"), segment("facts", 8, 4.0, "r1"))

    def write(step, name, rows, schema):
        path = folder / ("" if step == "." else f"tables/{step}") / f"{name}.parquet"
        tables.write(rows, path, schema)
        os.utime(path, (1, 1 + (step == newest)))

    for step in ("correct", "."):
        write(step, "recordings", recordings, tables.RECORDINGS)
    write("correct", "segments", facts, tables.SEGMENTS)
    write(".", "segments", facts.assign(text="joined"), tables.SEGMENTS)
    for i, (step, reason) in enumerate((("deduplicate", "same text"), ("validate", "noisy"))):
        drop = {"segment_id": facts["segment_id"][i], "step": step, "reason": reason}
        write(step, "decisions", tables.frame([drop], tables.DECISIONS), tables.DECISIONS)
    for shard in shards:
        os.utime(shard / "segment.parquet", (1, 1 + 5 * (newest == "segment")))
    found = so_far.find(folder, tmp_path / "no corrections.jsonl")
    assert found.corrections is None and found.conflicts == []
    if text is None:
        assert len(found.segments) == 4 and found.segments["text"].isna().all()
    else:
        assert set(found.segments["text"]) == {text}
        assert found.segments["reason"].dropna().tolist() == reasons
    assert (found.segments["rate_hz"] == RATE_HZ).all() and len(found.recordings) == 4
