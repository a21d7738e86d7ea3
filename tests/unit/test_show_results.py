"""The summary that `make demo` prints."""

import json
import subprocess
import sys

from conftest import ROOT


def shown(folder):
    command = [sys.executable, ROOT / "workflow/scripts/show_results.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def test_a_run_without_its_choice_is_shown_with_the_reason(tmp_path):
    """Snakemake removes choice.json while evaluate_run runs again."""
    run = tmp_path / "results/runs/mine"
    (run / "export").mkdir(parents=True)
    manifest = {"checkpoint": "model_3.safetensors", "update": 3}
    (run / "export/MANIFEST.json").write_text(json.dumps(manifest))
    assert "model_3.safetensors" in shown(tmp_path)
    assert "choice.json is missing" in shown(tmp_path)
    choice = {
        "samples": [{"file": "samples/a.wav", "text": "hallå"}],
        "base_validation_loss": 2.0,
        "validation_loss": 1.0,
    }
    (run / "choice.json").write_text(json.dumps(choice, ensure_ascii=False), encoding="utf-8")
    text = shown(tmp_path)
    assert "2.000 (base) -> 1.000 (update 3)" in text and "hallå" in text
