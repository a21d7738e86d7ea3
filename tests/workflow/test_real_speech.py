"""Real recorded speech through the workflow; skipped where the folder is not there."""

import csv
import json
import shutil

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from voicekiln.store import tables

pytestmark = pytest.mark.slow

EDGE_S = 0.03  # labels are energy on 10 ms frames; they are within 0.04 s of phone alignments


def test_ljspeech_to_a_voice(workflow, shared_data):
    """A whole run over LJSpeech clips with their metadata.csv."""
    demo = yaml.safe_load((ROOT / "config/config.yaml").read_text())["runs"]["demo_f5"]
    train = demo["train"] | {"epochs": 1, "batch_s": 32}
    workflow.config["corpora"]["lj"] = {
        "audio": str(shared_data / "en_lj" / "wavs"),
        "language": "en",
        "transcripts": str(shared_data / "en_lj" / "metadata.csv"),
        "shards": 2,
    }
    evaluate = {"n_sentences": 1}
    workflow.config["runs"]["lj_f5"] = demo | {"corpus": "lj", "train": train, "evaluate": evaluate}
    workflow.run()
    with open(shared_data / "en_lj" / "metadata.csv", encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="|", quoting=csv.QUOTE_NONE)
        expected = {row[0]: row[2] for row in rows}
    segments = tables.read(workflow.path("corpora/lj/segments.parquet"))
    names = dict(zip(segments["segment_id"], segments["path"], strict=True))
    found = {}
    for side in ("train", "val"):
        manifest = workflow.path(f"corpora/lj/dataset/{side}.jsonl")
        for entry in map(json.loads, manifest.read_text().splitlines()):
            found[names[entry["id"]].removesuffix(".wav")] = entry["text"]
            assert (manifest.parent / entry["audio_filepath"]).is_file()
    assert found == expected
    assert workflow.path("runs/lj_f5/export/MANIFEST.json").exists()


def test_no_take_of_a_session_is_cut(workflow, shared_data):
    """The data steps over joined sessions: every labelled take lies whole in one segment."""
    sessions = sorted((shared_data / "long").glob("*.segments.tsv"))
    (workflow.dir / "in").mkdir()
    for labels in sessions:
        audio = labels.with_name(labels.name.replace(".segments.tsv", ".flac"))
        shutil.copy(audio, workflow.dir / "in")
    workflow.config["corpora"]["sessions"] = {
        "audio": "in",
        "language": "und",
        "shards": 1,
        "transcribe": {"model": str(ROOT / "resources/demo/whisper.pt")},
    }
    target = "results/corpora/sessions/shards/000/segment.parquet"
    workflow.run(target)
    table = tables.read(workflow.dir / target)
    assert sessions
    for labels in sessions:
        rows = table[table["path"] == labels.name.replace(".segments.tsv", ".flac")]
        spans = [(row.start / row.rate_hz, row.end / row.rate_hz) for row in rows.itertuples()]
        takes = pd.read_csv(labels, sep="\t")
        takes = takes[takes["label"] == "speech"]
        for take in takes.itertuples():
            whole = [s <= take.start_s + EDGE_S and take.end_s - EDGE_S <= e for s, e in spans]
            assert any(whole), f"{labels.name}: {take.clip_id} is cut"
        print(f"{labels.name}: {len(takes)} takes in {len(spans)} segments, none cut")
