"""Training through Snakemake: continued, stopped, killed, and built upon."""

import json
import os
import shutil
import signal
import subprocess
import time

import pytest
import yaml
from conftest import ROOT
from workflow_runner import Workflow

pytestmark = pytest.mark.slow

DATA_STEPS = {"inventory", "normalize", "segment", "transcribe", "correct", "deduplicate"}
DATA_STEPS |= {"validate_segments", "split_corpus", "extend_vocabulary", "reset_base"}
DATA_STEPS |= {"extract_features"}
TRAINING = "runs/voice/training"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Workflow:
    """A run of the demo's base on seven clips, prepared up to training."""
    workflow = Workflow(tmp_path_factory.mktemp("prepared") / "a voice")
    for i in range(7):
        source = ("anna/garden.flac", "ben/station.flac")[i % 2]
        workflow.add(source, 1 + i // 2, f"{i}.wav")
    demo = yaml.safe_load((ROOT / "config/config.yaml").read_text())["runs"]["demo_f5"]
    workflow.config["corpora"]["clips"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 1,
        "split": {"val_share": 0.2, "min_recordings": 2, "leak_similarity": 1.0},
        "deduplicate": {"takes_per_text": 0},
    }
    workflow.config["runs"]["voice"] = demo | {
        "corpus": "clips",
        "train": demo["train"]
        | {
            "epochs": 3,
            "batch_frames": 1500,
            "accumulate": 2,
            "save_every": 2,
            "validate_every": 4,
            "keep": 2,
            "log_every": 1,
        },
        "evaluate": {"n_sentences": 1, "steps": 2},
    }
    workflow.run(
        "results/runs/voice/features/clips/000.parquet", "results/runs/voice/base/reset.json"
    )
    return workflow


@pytest.fixture
def voice(prepared, tmp_path) -> Workflow:
    """A copy of the prepared run."""
    return copy(prepared, tmp_path / "a voice")


def copy(workflow: Workflow, folder) -> Workflow:
    shutil.copytree(workflow.dir, folder)
    other = Workflow(folder)
    other.config = json.loads(json.dumps(workflow.config))
    return other


def updates(workflow: Workflow) -> list[int]:
    """The updates in metrics.jsonl, in their order."""
    lines = workflow.path(f"{TRAINING}/metrics.jsonl").read_text().splitlines()
    return [row["update"] for row in map(json.loads, lines) if row["kind"] == "train"]


def weights(workflow: Workflow) -> str:
    """SHA-256 of the averaged weights at the end."""
    return json.loads(workflow.path(f"{TRAINING}/finished.json").read_text())["last"]["sha256"]


def start(workflow: Workflow) -> subprocess.Popen:
    """Snakemake on its way to the trained run, in a process group of its own."""
    return subprocess.Popen(
        workflow.command("train"),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # a test runner may have been started with Ctrl-C ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for_update(workflow: Workflow, process: subprocess.Popen, n: int) -> None:
    """Wait until training has logged `n` updates."""
    for _ in range(1200):
        assert process.poll() is None, "training ended before it could be disturbed"
        try:
            if len(updates(workflow)) >= n:
                return
        except (FileNotFoundError, ValueError):
            pass
        time.sleep(0.1)
    raise AssertionError("training does not begin")


def test_more_epochs_continue_and_touch_nothing_else(voice):
    voice.run("export")
    first = updates(voice)
    voice.config["runs"]["voice"]["train"]["epochs"] = 5
    voice.run("export")
    assert not DATA_STEPS & set(voice.jobs)
    assert voice.jobs["train_run"] == 1
    assert "resumed from" in (voice.dir / "logs/train_run/voice.log").read_text()
    second = updates(voice)
    assert second[: len(first)] == first
    assert second == list(range(1, len(first) // 3 * 5 + 1))
    assert voice.path("runs/voice/export/MANIFEST.json").exists()


def test_killed_anywhere_it_ends_with_the_same_weights(voice, prepared, tmp_path):
    voice.config["runs"]["voice"]["train"]["epochs"] = 12
    undisturbed = copy(prepared, tmp_path / "undisturbed")
    undisturbed.config = voice.config
    undisturbed.run("train")
    for n in (3, 9):
        process = start(voice)
        wait_for_update(voice, process, n)
        voice.kill(process)
    voice.run("train")
    assert weights(voice) == weights(undisturbed)
    assert updates(voice) == updates(undisturbed)


def test_ctrl_c_saves_and_the_same_command_goes_on(voice):
    voice.config["runs"]["voice"]["train"]["epochs"] = 40
    process = start(voice)
    wait_for_update(voice, process, 3)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) != 0
    status = json.loads(voice.path(f"{TRAINING}/status.json").read_text())
    assert status["state"] == "stopped" and status["update"] >= 3
    assert not voice.path(f"{TRAINING}/finished.json").exists()
    voice.config["runs"]["voice"]["train"]["epochs"] = 3
    voice.run("train")
    done = updates(voice)
    assert done == list(range(1, len(done) + 1)) and len(done) >= status["update"]


def test_a_voice_is_the_base_of_the_next(voice):
    runs = voice.config["runs"]
    runs["voice"]["train"]["epochs"] = 1
    runs["next"] = runs["voice"] | {"base": {"run": "voice"}}
    voice.run("export")
    reset = json.loads(voice.path("runs/next/base/reset.json").read_text())
    assert reset["stripped"] == []
    first = json.loads(voice.path("runs/voice/export/MANIFEST.json").read_text())
    assert reset["base"]["weights_sha256"] == first["weights_sha256"]
