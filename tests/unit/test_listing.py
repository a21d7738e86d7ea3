import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.corpus.listing import deal, list_recordings, listing_digest, shard_of
from voicekiln.errors import UserError

CORPUS = {
    "language": "am",
    "speaker": None,
    "transcripts": None,
    "transcript_column": 3,
    "textgrid_tier": None,
}


def listed(audio, **more):
    return list_recordings({**CORPUS, "audio": str(audio), **more}, "corpus_name")


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_a_folder_is_searched_through_and_speakers_are_folders(tmp_path):
    touch(tmp_path, "anna/a.wav", "anna/deep/b.FLAC", "c.m4a", "wavs/d.ogg", "notes.txt", ".e.wav")
    rows = listed(tmp_path)
    assert [(row["path"], row["speaker"]) for row in rows] == [
        ("anna/a.wav", "anna"),
        ("anna/deep/b.FLAC", "anna"),
        ("c.m4a", "corpus_name"),
        ("wavs/d.ogg", "corpus_name"),
    ]
    assert {row["language"] for row in rows} == {"am"}
    assert {row["speaker"] for row in listed(tmp_path, speaker="eve")} == {"eve"}


def test_links_in_a_ring_end(tmp_path):
    touch(tmp_path, "a/a.wav")
    (tmp_path / "a" / "ring").symlink_to(tmp_path)
    (tmp_path / "a" / "lost.wav").symlink_to(tmp_path / "nowhere.wav")
    assert [row["path"] for row in listed(tmp_path)] == ["a/a.wav", "a/lost.wav"]


@pytest.mark.parametrize("name", ["a b.wav", "q'uo\"te.wav", "new\nline.wav", "-rf.wav", "{x}.wav"])
def test_odd_names_are_names(tmp_path, name):
    touch(tmp_path, name)
    assert [row["path"] for row in listed(tmp_path)] == [name]


def test_a_name_that_is_no_utf8_is_listed_and_can_be_digested(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.wav", "wb") as file:
        file.write(b"x")
    rows = listed(tmp_path)
    assert len(rows) == 1 and listing_digest(rows)


def test_missing_or_empty_sources_are_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.*not there"):
        listed(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no recording found"):
        listed(tmp_path)


def test_ljspeech_metadata(tmp_path):
    touch(tmp_path, "wavs/a.wav", "wavs/b.wav", "wavs/c.wav")
    (tmp_path / "metadata.csv").write_text('a|In 1455.|in "fourteen" fifty-five.\nb|Two.\n')
    rows = listed(tmp_path / "wavs", transcripts=str(tmp_path / "metadata.csv"))
    texts = [row["known"] and row["known"][0]["text"] for row in rows]
    assert texts == ['in "fourteen" fifty-five.', "Two.", None]
    rows = listed(
        tmp_path / "wavs", transcripts=str(tmp_path / "metadata.csv"), transcript_column=2
    )
    assert rows[0]["known"][0]["text"] == "In 1455."


def test_sidecars(tmp_path):
    touch(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.txt").write_text("\ufeffሰላም\n", encoding="utf-8")
    rows = listed(tmp_path, transcripts="sidecar")
    assert [row["known"] for row in rows] == [
        [{"start_s": None, "end_s": None, "text": "ሰላም"}],
        None,
    ]
    (tmp_path / "b.txt").write_bytes(b"caf\xe9")
    good, bad = listed(tmp_path, transcripts="sidecar")
    assert "b.txt: expected UTF-8" in bad["fault"] and "fault" not in good


def test_a_manifest_gives_speakers_languages_texts_and_stretches(tmp_path):
    touch(tmp_path, "x/a.wav", "x/b.wav")
    lines = [
        {"audio_filepath": "x/a.wav", "text": "one", "offset": 0, "duration": 1.5, "speaker": "s"},
        {"audio_filepath": "x/a.wav", "text": "two", "offset": 2, "duration": 1},
        {"path": "x/b.wav", "language": "en"},
    ]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("\n".join(map(json.dumps, lines)) + "\n")
    a, b = listed(manifest)
    assert (a["speaker"], a["language"], b["language"]) == ("s", "am", "en")
    assert [(k["start_s"], k["end_s"], k["text"]) for k in a["known"]] == [
        (0.0, 1.5, "one"),
        (2.0, 3.0, "two"),
    ]
    assert b["known"] is None


def test_a_bad_manifest_names_file_and_line(tmp_path):
    manifest = tmp_path / "m.jsonl"
    manifest.write_text('{"text": "no audio"}\n')
    with pytest.raises(UserError, match=r"m\.jsonl, line 1: names no audio"):
        listed(manifest)
    manifest.write_text("not json\n")
    with pytest.raises(UserError, match=r"m\.jsonl, line 1: no JSON"):
        listed(manifest)


def test_only_the_touched_shard_changes(tmp_path):
    touch(tmp_path, *[f"{i}.wav" for i in range(40)])
    before = [listing_digest(rows) for rows in deal(listed(tmp_path), 4)]
    os.utime(tmp_path / "7.wav", ns=(1, 1))
    after = [listing_digest(rows) for rows in deal(listed(tmp_path), 4)]
    changed = [i for i in range(4) if before[i] != after[i]]
    assert changed == [shard_of("7.wav", 4)]


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 64))
def test_every_recording_is_in_one_shard(paths, shards):
    dealt = deal([{"path": path} for path in paths], shards)
    assert len(dealt) == shards
    assert sorted(row["path"] for rows in dealt for row in rows) == sorted(paths)


@pytest.mark.parametrize(
    "line, words",
    [
        ('{"path": "a.wav", "text": ', "line 2: no JSON"),
        ("[1]", "line 2: expected an object"),
        ('{"path": 5}', "line 2: names no audio file"),
        ('{"path": "a\\u0000.wav"}', "line 2: names no audio file"),
        ('{"path": "a.wav", "text": "x", "offset": [1]}', "line 2: offset and duration"),
        ('{"path": "a.wav", "text": "x", "offset": NaN}', "line 2: offset and duration"),
        ('{"path": "a.wav", "text": "x", "offset": 3, "duration": -4}', "line 2: offset and"),
    ],
)
def test_a_manifest_that_is_wrong_is_told_with_its_line(tmp_path, line, words):
    touch(tmp_path, "a.wav")
    path = tmp_path / "list.jsonl"
    path.write_text('{"path": "a.wav"}\n' + line + "\n")
    with pytest.raises(UserError, match=words):
        listed(path)


def test_odd_speakers_and_sidecars_stop_nothing(tmp_path):
    folder = os.fsencode(tmp_path) + b"/anna\xff"
    os.mkdir(folder)
    for name in (b"a.wav", b"b.wav"):
        with open(folder + b"/" + name, "wb") as file:
            file.write(b"x")
    os.mkdir(folder + b"/a.txt")
    rows = listed(tmp_path, transcripts="sidecar")
    assert [row["speaker"] for row in rows] == ["anna\\xff"] * 2
    assert "fault" in rows[0] and "fault" not in rows[1]
    assert listing_digest(rows)
    (tmp_path / "m.jsonl").write_text('{"path": "a.wav", "speaker": 1089}')
    assert listed(tmp_path / "m.jsonl")[0]["speaker"] == "1089"


def test_a_line_ends_where_the_file_says_so(tmp_path):
    """U+0085 and U+2028 are characters of a text, not ends of a line."""
    touch(tmp_path, "a.wav")
    path = tmp_path / "metadata.csv"
    path.write_text("a|one\u0085two\u2028three\n", encoding="utf-8")
    (row,) = listed(tmp_path, transcripts=str(path))
    assert row["known"][0]["text"] == "one\u0085two\u2028three"
