"""A run that learns to read romanised texts, through Snakemake."""

import importlib.util
import json

import pytest
import yaml
from conftest import ROOT
from voicekiln.store import tables
from workflow_runner import Workflow

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("uroman") is None,
        reason="uroman is not installed: pip install --no-deps -r envs/requirements-dev.lock",
    ),
]
TEXTS = ["ሰላም ለዓለም ሁሉ ይሁን።", "እንዴት ነህ፣ ወንድሜ?", "ዛሬ ቀኑ ደስ ይላል።", "ወንዙ ሞልቶ ነበር።", "ነገ 12 ሰው ይመጣል።"]


def test_a_run_trains_on_the_romanised_texts_and_speaks_them(tmp_path):
    workflow = Workflow(tmp_path)
    for i, text in enumerate(TEXTS):
        workflow.add(("anna/garden.flac", "ben/station.flac")[i % 2], 1, f"{i}.wav")
        (tmp_path / "in" / f"{i}.txt").write_text(text, encoding="utf-8")
    workflow.config["corpora"]["clips"] = {
        "audio": "in",
        "language": "am",
        "transcripts": "sidecar",
        "shards": 1,
        "text": {"romanize": "uroman"},
        "split": {"val_share": 0.3, "min_recordings": 2},
    }
    demo = yaml.safe_load((ROOT / "config/config.yaml").read_text())["runs"]["demo_f5"]
    workflow.config["runs"]["voice"] = demo | {
        "corpus": "clips",
        "train_on": "romanized",
        "train": demo["train"] | {"epochs": 1, "batch_s": 16, "samples": 0},
        "evaluate": {"n_sentences": 1},
        "speak": {"steps": 2},
    }
    workflow.run("results/runs/voice/choice.json")
    segments = tables.read(workflow.path("corpora/clips/segments.parquet"))
    second = dict(zip(segments["text"], segments["romanized"], strict=True))
    assert second["ሰላም ለዓለም ሁሉ ይሁን።"] == "salaame laaalame hulu yehune."
    assert "ነገ አሥራ ሁለት ሰው ይመጣል።" in second
    trained = [
        json.loads(line)
        for side in ("train", "val")
        for line in workflow.path(f"runs/voice/training/{side}_rows.jsonl").read_text().splitlines()
    ]
    assert sorted(row["text"] for row in trained) == sorted(second.values())
    tokens = set(workflow.path("runs/voice/tokenizer/vocab.txt").read_text().split("\n"))
    assert not set("".join(TEXTS)) & tokens - set(" ?,12.")
    choice = json.loads(workflow.path("runs/voice/choice.json").read_text())
    assert choice["reference"]["text"] in second.values()
    lines = workflow.path("corpora/clips/dataset/train.jsonl").read_text().splitlines()
    assert all(second[row["text"]] == row["romanized"] for row in map(json.loads, lines))

    workflow.config["runs"]["voice"]["train_on"] = "text"
    workflow.run("results/runs/voice/tokenizer/coverage.json")
    assert set(workflow.jobs) == {"extend_vocabulary"}
