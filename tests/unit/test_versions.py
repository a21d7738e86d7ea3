"""No export overwrites another voice, and export/ is the newest."""

import json
import os
import shutil

import pytest
from voicekiln.store import files
from voicekiln.voice import versions


def export(run, name, files):
    """What the export step does, with these files for a voice."""
    with versions.writing(run, name) as folder:
        for path, text in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        listed = [{"path": path} for path in files]
        (folder / versions.MANIFEST).write_text(json.dumps({"files": listed, "voice": name}))
    versions.show(run, name)


def content(folder):
    """Text of each file below a folder, the manifests left out."""
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and path.name != versions.MANIFEST
    }


FIRST = {"model_10.pt": "first", "references/anna.wav": "a", "references/ben.wav": "b"}
SECOND = {"model_20.pt": "second", "references/anna.wav": "c"}


def test_each_voice_stays_and_export_shows_the_newest(tmp_path):
    export(tmp_path, "10-aa", FIRST)
    (tmp_path / "export/MANIFEST.json").unlink()  # as Snakemake does before it exports again
    (tmp_path / "export/notes.txt").write_text("mine")
    export(tmp_path, "20-bb", SECOND)
    assert content(tmp_path / "export") == SECOND | {"notes.txt": "mine"}
    assert content(tmp_path / "voices/10-aa") == FIRST
    for name in ("10-aa", "20-bb"):
        manifest = json.loads((tmp_path / f"voices/{name}/MANIFEST.json").read_text())
        assert manifest["voice"] == name
    assert versions.newest(tmp_path) == "20-bb"
    assert list(versions.old(tmp_path)) == [tmp_path / "voices/10-aa"]
    assert json.loads((tmp_path / "export/MANIFEST.json").read_text())["voice"] == "20-bb"


def test_the_same_voice_again_is_the_same(tmp_path):
    export(tmp_path, "10-aa", FIRST)
    export(tmp_path, "10-aa", FIRST)
    assert content(tmp_path / "export") == content(tmp_path / "voices/10-aa") == FIRST
    assert versions.old(tmp_path) == {}
    export(tmp_path, "10-aa", SECOND)  # another reference, say: it is the same voice
    assert content(tmp_path / "export") == content(tmp_path / "voices/10-aa") == SECOND
    assert {path.name for path in (tmp_path / "voices").iterdir()} == {"10-aa", "newest.json"}


def test_it_takes_the_disk_once_and_a_file_replaced_in_export_is_no_voices_file(tmp_path):
    export(tmp_path, "10-aa", FIRST)
    shown, kept = tmp_path / "export/model_10.pt", tmp_path / "voices/10-aa/model_10.pt"
    assert shown.samefile(kept)
    (tmp_path / "export/new").write_text("edited")
    os.replace(tmp_path / "export/new", shown)
    assert kept.read_text() == "first"
    export(tmp_path, "10-aa", FIRST)
    assert shown.read_text() == "first"


def test_without_hard_links_the_files_are_copied(tmp_path, monkeypatch):
    def no_links(*_):
        raise OSError("not on this file system")

    monkeypatch.setattr(os, "link", no_links)
    export(tmp_path, "10-aa", FIRST)
    export(tmp_path, "20-bb", SECOND)
    assert content(tmp_path / "export") == SECOND
    assert content(tmp_path / "voices/10-aa") == FIRST


def test_a_failed_export_changes_nothing_and_a_killed_one_leaves_nothing(tmp_path):
    export(tmp_path, "10-aa", FIRST)
    with pytest.raises(RuntimeError), versions.writing(tmp_path, "10-aa") as folder:
        (folder / "model_10.pt").write_text("half")
        raise RuntimeError
    assert content(tmp_path / "voices/10-aa") == FIRST
    (tmp_path / "voices/.20-bb.killed").mkdir()
    (tmp_path / "voices/.newest.json.killed.json").write_text("{")
    export(tmp_path, "20-bb", SECOND)
    assert {path.name for path in (tmp_path / "voices").iterdir()} == {
        "10-aa", "20-bb", "newest.json",
    }  # fmt: skip


def test_a_copy_of_the_results_works_on_and_so_does_a_removed_voice(tmp_path):
    export(tmp_path / "run", "10-aa", FIRST)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    export(tmp_path / "copy", "20-bb", SECOND)
    assert content(tmp_path / "copy/export") == SECOND
    shutil.rmtree(tmp_path / "copy/voices")
    assert versions.newest(tmp_path / "copy") is None and versions.old(tmp_path / "copy") == {}
    export(tmp_path / "copy", "20-bb", SECOND)
    assert content(tmp_path / "copy/export") == SECOND


def test_other_weights_are_another_voice():
    assert versions.name_of(10, "ab" * 32) != versions.name_of(10, "ba" * 32)
    assert versions.name_of(1200, "0123456789abcdef") == "1200-0123456789ab"


def test_a_voice_is_restored_after_a_kill_in_the_middle_of_its_replacement(tmp_path):
    """Also by the export of another voice, and before the remains of a killed export go."""
    with versions.writing(tmp_path, "5-aa") as part:
        (part / "old").touch()
    folder = tmp_path / "voices"
    os.rename(folder / "5-aa", files.replaced(folder / "5-aa"))  # the first of both renames
    (folder / ".5-aa.part").mkdir()
    with pytest.raises(RuntimeError), versions.writing(tmp_path, "9-bb"):
        raise RuntimeError
    assert os.listdir(folder) == ["5-aa"] and os.listdir(folder / "5-aa") == ["old"]
