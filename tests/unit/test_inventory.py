import os

import pytest
import soundfile
from conftest import ROOT
from voicekiln.corpus.sources import inventory
from voicekiln.store.items import Store

DEMO = ROOT / "resources" / "demo" / "recordings"


def row(root, path):
    listed = {
        "source": 0,
        "root": str(root),
        "path": path,
        "bytes": 1,
        "mtime_ns": 1,
        "speaker": "s",
    }
    return listed | dict.fromkeys(("reference_texts", "sidecar", "fault")) | {"language": "en"}


def test_a_good_file_is_described():
    found = inventory.examine(row(DEMO, "dora/winter.webm"))
    assert (found["status"], found["source_rate_hz"], found["channels"]) == ("ok", 48000, 2)
    assert found["recording_id"] == found["content_sha256"][:16]
    assert found["duration_s"] == pytest.approx(57.7, abs=0.1)


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("empty.wav", b"", "empty"),
        ("noise.wav", b"\x00\x01" * 500, "cannot be read as audio"),
        ("list.mp3", b"#EXTM3U\nhttp://localhost/x.mp3\n", "cannot be read as audio"),
        ("caf\udce9.wav", b"x", "not UTF-8"),
    ],
)
def test_a_bad_file_is_a_row_with_its_reason(tmp_path, name, content, said):
    with open(os.fsencode(tmp_path) + b"/" + os.fsencode(name), "wb") as file:
        file.write(content)
    found = inventory.examine(row(tmp_path, name))
    assert found["status"] == "bad" and found["step"] == "inventory"
    assert said in found["reason"]
    assert str(tmp_path) not in found["reason"], "the path has a column of its own"


def test_a_missing_file_is_a_row(tmp_path):
    assert "no such file" in inventory.examine(row(tmp_path, "gone.wav"))["reason"]


def test_a_lost_disk_is_not_blamed_on_the_recording(tmp_path, monkeypatch):
    (tmp_path / "a.wav").write_bytes(b"x")

    def lost(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(inventory, "sha256_file", lost)
    with pytest.raises(OSError, match="Input/output"):
        inventory.examine(row(tmp_path, "a.wav"))


def test_a_file_is_probed_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    soundfile.write(path, [0.1] * 8000, 8000)
    looked = []
    monkeypatch.setattr(
        inventory, "sha256_file", lambda path: looked.append(path) or f"{len(looked):064d}"
    )

    def found():
        with Store(tmp_path / "store", "inventory", {}) as store:
            return inventory.examine(row(tmp_path, "a.wav"), None, inventory.remembering(store))

    found(), found()
    assert len(looked) == 2, "it was written a moment ago and may change within the clock's grain"
    os.utime(path, (1e9, 1e9))
    assert found() == found() and len(looked) == 3
    os.utime(path, (1e9 + 1, 1e9 + 1))
    assert found()["recording_id"] == "0" * 16 and len(looked) == 4


def test_a_row_does_not_change_when_the_recordings_are_moved(tmp_path):
    found = []
    for place in ("here", "there/deeper"):
        folder = tmp_path / place
        folder.mkdir(parents=True)
        (folder / "bad.wav").write_bytes(b"no audio")
        (folder / "m.csv").write_text("path\nbad.wav\nC:\\a.wav\nmissing.wav\n")
        soundfile.write(folder / "good.wav", [0.1] * 8000, 8000)
        good = inventory.examine(row(folder, "good.wav"))
        bad = inventory.examine(row(folder, "bad.wav"))
        fault = row(folder, "x.wav") | {"fault": f"{folder}/m.csv, line 3: `-` is not a file"}
        found.append([good, bad, inventory.examine(fault)])
        assert found[-1][2]["reason"] == "m.csv, line 3: `-` is not a file"
    assert found[0] == found[1]
