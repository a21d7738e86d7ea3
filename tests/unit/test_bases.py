"""`voicekiln.families.base`: which files a run's base has, and where they lie."""

import json
from pathlib import Path

import pytest
from voicekiln.errors import UserError
from voicekiln.families import base as bases
from voicekiln.families import facts

F5 = facts.of("f5")


def same(path: str) -> str:
    return path


@pytest.fixture
def release(tmp_path):
    """A folder as F5-TTS is released."""
    for name in ("model_1250000.safetensors", "vocab.txt", "README.md"):
        (tmp_path / name).write_bytes(b"")
    return tmp_path


def test_files_are_found_in_the_folder_of_a_release(release):
    base = {"folder": str(release), "model": "F5TTS_v1_Base"}
    assert bases.problem(base, F5) is None
    found = bases.paths(base, F5, same)
    assert found == {
        "checkpoint": str(release / "model_1250000.safetensors"),
        "vocab": str(release / "vocab.txt"),
    }
    assert bases.paths(base | {"vocab": "own.txt"}, F5, same) == found | {"vocab": "own.txt"}


def test_a_folder_that_lacks_a_file_or_has_two_is_named(release):
    base = {"folder": str(release)}
    (release / "model_900000.pt").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"one file model_\*\.\* .*found model_1250000.* base.checkp"
    ):
        bases.paths(base, F5, same)
    for path in release.glob("model_*"):
        path.unlink()
    with pytest.raises(UserError, match=r"base.checkpoint: .* \(model_\*\.\* in the release\)"):
        bases.paths(base, F5, same)


@pytest.mark.parametrize(
    "base, missing",
    [
        ({}, "checkpoint, vocab, model missing (found nothing)"),
        ({"checkpoint": "a", "model": "b"}, "vocab missing"),
        ({"folder": "a"}, "model missing"),
        ({"run": "a", "vocab": "b"}, "expected run alone; found run, vocab"),
    ],
)
def test_what_a_base_lacks_is_named(base, missing):
    assert missing in bases.problem(base, F5)


RUNS = {
    "first": {"family": "f5", "base": {"checkpoint": "a.pt", "vocab": "a.txt", "model": "M"}},
    "second": {"family": "f5", "base": {"run": "first"}},
    "third": {"family": "f5", "base": {"run": "second"}},
}


def test_a_chain_of_runs_takes_the_voice_and_the_original_release():
    files = {"checkpoint": "a.pt", "vocab": "a.txt"}
    assert bases.record("first", RUNS, same) == bases.original("third", RUNS, same) == files
    manifest = "results/runs/second/export/MANIFEST.json"
    assert bases.record("third", RUNS, same) == {bases.VOICE: manifest}
    vocabulary = {"vocab": "results/runs/second/tokenizer/vocab.txt"}
    assert bases.vocabulary("third", RUNS, same) == vocabulary
    assert bases.vocabulary_inputs("third", RUNS, same) == [
        "results/runs/second/tokenizer/coverage.json"
    ]
    assert bases.vocabulary("first", RUNS, same) == {"vocab": "a.txt"}
    assert bases.model("third", RUNS, same) == "M"
    assert bases.earlier("third", RUNS, same) == ["second", "first"]
    assert bases.checked("third", RUNS, same) == []


def test_the_files_of_a_voice_are_those_of_its_manifest(tmp_path):
    manifest = tmp_path / "MANIFEST.json"
    manifest.write_text(json.dumps({"base_files": {"checkpoint": "model_3.pt", "vocab": "v.txt"}}))
    record = {bases.VOICE: str(manifest)}
    assert bases.files(record) == {
        "checkpoint": tmp_path / "model_3.pt",
        "vocab": tmp_path / "v.txt",
    }
    assert bases.files({"vocab": "a.txt"}) == {"vocab": Path("a.txt")}
    manifest.write_text(json.dumps({"checkpoint": "model_3.pt"}))
    with pytest.raises(UserError, match="earlier version of VoiceKiln.*export this voice again"):
        bases.files(record)
