"""The lock of a run: equal inputs give equal bytes, and each input is seen."""

import json
from pathlib import Path

import pytest
from corpus_rows import recording
from voicekiln.report.lock import lock
from voicekiln.store import tables

SCRIPTS = Path(__file__).resolve().parents[2] / "workflow" / "scripts"
SETTINGS = {
    "run": {"family": "f5", "train": {"seed": 666, "epochs": 3}, "reset": {"seed": 0}},
    "corpora": {"mine": {"split": {"seed": 5}}},
}


def made(
    folder,
    rows=("a", "b"),
    settings=SETTINGS,
    vocab="3" * 64,
    base="1" * 64,
    train="{}\n",
    vocoder="4" * 64,
):
    """The lock of a small run in a folder, as text."""
    run, corpus = folder / "runs" / "r", folder / "corpora" / "mine"
    for part in (run / "tokenizer", run / "base", run / "export", corpus / "dataset"):
        part.mkdir(parents=True)
    vocabulary = {"files": [{"path": "vocab.txt", "sha256": vocab}]}
    (run / "tokenizer/coverage.json").write_text(json.dumps(vocabulary))
    reset = {"base": {"file": "m.pt", "sha256": base}, "file": {"sha256": "2" * 64}}
    (run / "base/reset.json").write_text(json.dumps(reset))
    files = [("vocab.txt", "5" * 64), ("vocos/config.yaml", vocoder)]
    files = [{"path": path, "sha256": sha256} for path, sha256 in files]
    (run / "export/MANIFEST.json").write_text(json.dumps({"files": files, "vocoder": "vocos"}))
    for name, content in (("train", train), ("val", "{}\n")):
        (corpus / f"dataset/{name}.jsonl").write_text(content)
    (corpus / "DIGEST.json").write_text("{}")
    found = tables.frame([recording(name) for name in rows], tables.RECORDINGS)
    tables.write(found, corpus / "recordings.parquet", tables.RECORDINGS)
    return json.dumps(lock(run, [corpus], settings, SCRIPTS), indent=1)


def test_the_same_run_elsewhere_has_the_same_lock(tmp_path):
    first = made(tmp_path / "here")
    assert made(tmp_path / "on another disk", rows=("b", "a")) == first
    content = json.loads(first)
    assert content["audio"]["mine"]["recordings"] == 2
    assert content["base"] == {"file": "m.pt", "sha256": "1" * 64, "reset_sha256": "2" * 64}
    assert content["vocoder"] == {"vocos/config.yaml": "4" * 64}
    seeds = {"run.train.seed": 666, "run.reset.seed": 0, "corpora.mine.split.seed": 5}
    assert content["seeds"] == seeds
    assert content["packages"]["torch"] and "train_run.py" in content["code"]
    assert str(tmp_path) not in first


@pytest.mark.parametrize(
    "change, part",
    [
        ({"rows": ("a", "c")}, "audio"),
        ({"vocab": " \na\n"}, "vocabulary"),
        ({"base": "3" * 64}, "base"),
        ({"vocoder": "6" * 64}, "vocoder"),
        ({"train": "{} \n"}, "datasets"),
        ({"settings": SETTINGS | {"corpora": {"mine": {"split": {"seed": 6}}}}}, "config"),
    ],
)
def test_each_input_is_seen(change, part, tmp_path):
    before, after = (json.loads(made(tmp_path / n, **c)) for n, c in (("a", {}), ("b", change)))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == ({part, "seeds"} if part == "config" else {part})
