"""Files that are replaced as a whole, and JSON in them."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT
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


@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_is_restored_after_a_kill_in_the_middle_of_its_replacement(tmp_path, finished):
    code = f"""
import os
from pathlib import Path
from voicekiln.store import files
folder, rename, calls = Path({str(tmp_path / "samples")!r}), os.rename, []
with files.atomic_folder(folder) as part:
    (part / "old.wav").touch()
def killed(source, target):
    calls.append(target)
    if len(calls) == 2 and {finished}:
        rename(source, target)
    if len(calls) == 2:
        os._exit(9)
    rename(source, target)
os.rename = killed
with files.atomic_folder(folder) as part:
    (part / "new.wav").touch()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow" / "scripts")}
    assert subprocess.run([sys.executable, "-c", code], env=environment).returncode == 9
    folder = tmp_path / "samples"
    assert folder.exists() == finished
    with pytest.raises(RuntimeError), files.atomic_folder(folder):
        raise RuntimeError
    assert os.listdir(folder) == ["new.wav" if finished else "old.wav"]


def test_a_circle_of_causes_ends():
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert files.no_space(one) is None
    one.__cause__ = one
    assert files.no_space(one) is None
