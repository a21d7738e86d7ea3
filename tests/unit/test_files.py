"""Files that are replaced as a whole, and JSON in them."""

import os

import pytest
from voicekiln.store import files


def test_a_file_stays_as_it_is_if_its_successor_fails(tmp_path):
    path = tmp_path / "new" / "a.json"
    files.write_json(path, {"text": "ä"})
    with pytest.raises(RuntimeError), files.atomic(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"text": "ä"}
    assert os.listdir(path.parent) == ["a.json"], "no temporary file is left"


def test_a_folder_stays_as_it_is_if_its_successor_fails(tmp_path):
    folder = tmp_path / "samples"
    for name in ("old", "new"):
        with files.atomic_folder(folder) as part:
            (part / f"{name}.wav").touch()
        assert os.listdir(folder) == [f"{name}.wav"]
    with pytest.raises(RuntimeError), files.atomic_folder(folder) as part:
        (part / "half.wav").touch()
        raise RuntimeError
    assert os.listdir(folder) == ["new.wav"] and os.listdir(tmp_path) == ["samples"]


def test_a_folder_is_restored_if_its_successor_cannot_be_moved(tmp_path, monkeypatch):
    folder = tmp_path / "samples"
    with files.atomic_folder(folder) as part:
        (part / "old.wav").touch()
    rename = os.rename

    def fail(source, target):
        if target == folder and "old" not in str(os.listdir(source)):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(OSError, match="no"), files.atomic_folder(folder) as part:
        (part / "new.wav").touch()
    assert os.listdir(folder) == ["old.wav"] and os.listdir(tmp_path) == ["samples"]


def test_lines_up_to_a_torn_one_are_read(tmp_path):
    path = tmp_path / "a.jsonl"
    assert files.read_jsonl(path) == []
    rows = [{"text": "one\u2028two"}, {"text": "ሦስት\x85"}]
    files.write_jsonl(path, rows)
    assert files.read_jsonl(path) == rows, "characters that end lines elsewhere stay in a text"
    with open(path, "a") as file:
        file.write('{"text": "fo')
    assert files.read_jsonl(path) == rows


def test_a_missing_or_torn_json_file_is_none(tmp_path):
    assert files.read_json(tmp_path / "a.json") is None
    (tmp_path / "a.json").write_text('{"a": ')
    assert files.read_json(tmp_path / "a.json") is None


def test_a_link_shares_its_bytes_and_replaces_what_was_there(tmp_path):
    source, target = tmp_path / "a", tmp_path / "sub" / "b"
    source.write_text("one")
    assert files.link(source, target) == 0 and target.samefile(source)
    assert files.link(source, target) == 0 and os.listdir(target.parent) == ["b"]


def test_a_link_is_a_copy_where_there_are_no_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").write_text("one")
    assert files.link(tmp_path / "a", tmp_path / "b") == 3
    assert (tmp_path / "b").read_text() == "one"
