"""The facts that `correct` writes: shards merged, corrected, cleaned and scored together."""

import json

import numpy as np
import pytest
from corpus_rows import recording, segment, table
from test_unspoken import SETTINGS as TEXT
from voicekiln.corpus import corrections, facts
from voicekiln.store import tables
from voicekiln.store.items import Store

SHA = {name: digit * 64 for name, digit in (("a", "a"), ("b", "b"))}


@pytest.fixture
def shards(tmp_path):
    """Two shards of one recording each; of each segment a text to be cleaned."""
    files = {"recordings": [], "segments": [], "acoustics": []}
    for name, content in SHA.items():
        folder = tmp_path / name
        found = recording(content[:16], content_sha256=content, path=f"{name}.wav")
        more = {"path": f"{name}.wav", "language": "en"}
        rows = [
            segment("One  text [door creaks]", 0, 2.0, content[:16], **more),
            segment("[door creaks]", 4, 2.0, content[:16], **more),
        ]
        prints = [
            {
                "segment_id": row["segment_id"],
                "fingerprint": np.arange(i + 1, dtype="<u4").tobytes(),
            }
            for i, row in enumerate(rows)
        ]
        for kind, frame, schema in (
            ("recordings", tables.frame([found], tables.RECORDINGS), tables.RECORDINGS),
            ("segments", table(*rows), tables.SEGMENTS),
            ("acoustics", tables.frame(prints, tables.ACOUSTICS), tables.ACOUSTICS),
        ):
            files[kind].append(folder / f"{kind}.parquet")
            tables.write(frame, files[kind][-1], schema)
    return files


def line(content, start_s, **what):
    span = {"content_sha256": content, "start_s": start_s, "end_s": start_s + 2.0}
    return json.dumps(span | what) + "\n"


def test_shards_become_corrected_cleaned_and_scored_tables(shards, tmp_path, caplog):
    file = tmp_path / "mine.jsonl"
    file.write_text(
        line(SHA["b"], 0, text="Corrected by hand")
        + line(SHA["b"], 30, text="nothing is here")
        + line(SHA["a"], 0, status="drop")
    )
    audio = Store(tmp_path, "normalize")
    found = facts.gather(shards, corrections.read(file), audio, None, TEXT)
    assert found.recordings["path"].tolist() == ["a.wav", "b.wav"]
    assert found.segments["text"].fillna("").tolist() == ["One text", "", "Corrected by hand", ""]
    reasons = ["marked by hand", "nothing is spoken", "", "nothing is spoken"]
    assert found.segments["reason"].fillna("").tolist() == reasons
    assert found.segments["confidence"][2] == 1.0
    assert found.acoustics["segment_id"].tolist() == found.segments["segment_id"].tolist()
    assert [row["line"] for row in found.conflicts] == [2] and found.n_moved == 0
    facts.warn(found, "voice", file)
    assert "mine.jsonl, line 2: the correction of 30.00-32.00 s is not applied" in caplog.text
    files = facts.write(found, tmp_path / "out")
    assert [path.name for path in files] == [
        *("recordings.parquet", "segments.parquet", "acoustics.parquet", "conflicts.jsonl")
    ]
    assert tables.read(files[1])["text"].equals(found.segments["text"])


def test_many_drops_of_earlier_steps_are_reported_with_the_remedy(caplog):
    drop = {"status": "drop", "step": "transcribe", "reason": "no reference text"}
    segments = table(*(segment("a", 4 * i, **(drop if i < 2 else {})) for i in range(4)))
    found = facts.Facts(table(), segments, table(), [], 0, {})
    facts.warn(found, "voice", None)
    assert "2 of 4 segments were dropped: no reference text; add their texts" in caplog.text
