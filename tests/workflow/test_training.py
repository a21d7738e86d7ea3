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
from f5_small import tiny_vocos
from voicekiln.voice import versions
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
            "batch_s": 16,
            "accumulate": 2,
            "save_every": 2,
            "validate_every": 4,
            "samples": 0,
            "keep": 2,
            "log_every": 1,
        },
        "evaluate": {"n_sentences": 1},
        "speak": {"steps": 2},
    }
    workflow.run(
        "results/runs/voice/features/clips/000.parquet", "results/runs/voice/base/reset.json"
    )
    return workflow


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory) -> Workflow:
    """12 epochs of 2 updates without a break."""
    workflow = copy(prepared, tmp_path_factory.mktemp("undisturbed") / "a voice")
    workflow.config["runs"]["voice"]["train"]["epochs"] = 12
    workflow.run("train")
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


def start(workflow: Workflow, **environment: str) -> subprocess.Popen:
    """Snakemake on its way to the trained run, in a process group of its own."""
    return subprocess.Popen(
        workflow.command("train"),
        env=os.environ | environment,
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


def wait_for_end(workflow: Workflow, process: subprocess.Popen) -> None:
    """Wait until Snakemake has failed and nothing that it started works on."""
    assert process.wait() != 0
    for _ in range(600):
        if not workflow.processes():
            return
        time.sleep(0.1)
    raise AssertionError(f"still there: {workflow.processes()}")


def test_more_epochs_continue_and_touch_nothing_else(voice):
    voice.config["runs"]["voice"]["vocoder"] = "vocos"
    tiny_vocos(voice.dir / "vocos")
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
    kept = versions.old(voice.path("runs/voice"))
    export = voice.path("runs/voice/export")
    before, after = (
        json.loads((folder / "MANIFEST.json").read_text()) for folder in (*kept, export)
    )
    assert before["update"] < after["update"] and len(kept) == 1
    assert (export / after["checkpoint"]).exists() and not (export / before["checkpoint"]).exists()

    # other weights of the vocoder under the same path, as old as those before: spoken again
    weights_file = voice.dir / "vocos/pytorch_model.bin"
    old = weights_file.stat()
    tiny_vocos(voice.dir / "vocos", seed=1)
    os.utime(weights_file, ns=(old.st_atime_ns, old.st_mtime_ns))
    sample = next(voice.path("runs/voice/samples").iterdir())
    heard = sample.read_bytes()
    (sample.parent / "stale.wav").write_bytes(b"")
    voice.run("export")
    assert set(voice.jobs) == {"evaluate_run", "export_run", "export"}
    assert sample.read_bytes() != heard
    assert [path.name for path in sample.parent.iterdir()] == [sample.name]
    exported = export / "checkpoints/vocos-mel-24khz/pytorch_model.bin"
    assert exported.read_bytes() == weights_file.read_bytes()
    assert list(versions.old(voice.path("runs/voice"))) == list(kept)
    voice.config["runs"]["voice"]["vocoder_sha256"] = "0" * 64
    assert "SHA-256 is" in voice.run("export", ok=False)
    del voice.config["runs"]["voice"]["vocoder_sha256"]
    folder = next(iter(kept))
    assert f"{folder.name}: an older voice of voice" in voice.run("gc") and folder.exists()
    voice.config["gc"] = {"delete_voices": True}
    voice.run("gc")
    assert not folder.exists() and "Nothing to be done" in voice.run("export")


# Found by every Python that starts: the checkpoint of update 14 stays half-written.
HOLD = """
import os, time
from pathlib import Path
sync = os.fsync

def fsync(file):
    sync(file)
    path = Path(os.readlink(f"/proc/self/fd/{file}"))
    if path.name == "state.pt" and path.parent.name.startswith(".checkpoint_14."):
        Path(os.environ["HELD"]).touch()
        time.sleep(600)

os.fsync = fsync
"""


def test_killed_anywhere_it_ends_with_the_same_weights(voice, undisturbed, tmp_path):
    """The third time while a checkpoint is being written and training has gone on beside it."""
    voice.config = undisturbed.config
    for n in (3, 9):
        process = start(voice)
        wait_for_update(voice, process, n)
        voice.kill(process)
    (tmp_path / "sitecustomize.py").write_text(HOLD)
    process = start(voice, PYTHONPATH=str(tmp_path), HELD=str(tmp_path / "held"))
    wait_for_update(voice, process, 15)
    voice.kill(process)
    assert (tmp_path / "held").exists()
    checkpoints = voice.path(f"{TRAINING}/checkpoints")
    assert list(checkpoints.glob(".checkpoint_14.*.part/state.pt"))
    assert not (checkpoints / "checkpoint_14").exists()
    voice.run("train")
    assert weights(voice) == weights(undisturbed)
    assert updates(voice) == updates(undisturbed)


def test_told_to_stop_or_left_alone_it_saves_and_the_same_command_goes_on(voice, undisturbed):
    """All in one training; in the end it is as if nothing had happened."""
    voice.config = undisturbed.config
    for send, number, times, reason in (
        (os.killpg, signal.SIGINT, 1, "signal SIGINT"),  # Ctrl-C
        (os.killpg, signal.SIGTERM, 3, "signal SIGTERM"),  # SLURM, at the end of the time
        (os.killpg, signal.SIGHUP, 1, "signal SIGHUP"),  # the terminal was closed
        (os.kill, signal.SIGKILL, 1, "the process that started the training is gone"),
    ):
        before = len(updates(voice)) if voice.path(TRAINING).exists() else 0
        process = start(voice)
        wait_for_update(voice, process, before + 1)
        for _ in range(times):
            send(process.pid, number)
        wait_for_end(voice, process)
        voice.unlock()
        status = json.loads(voice.path(f"{TRAINING}/status.json").read_text())
        assert (status["state"], status["reason"]) == ("stopped", reason)
        assert status["exit_code"] == 75 and status["update"] > before
        assert not voice.path(f"{TRAINING}/lease.json").exists()
        assert not voice.path(f"{TRAINING}/finished.json").exists()
    voice.run("train")
    assert weights(voice) == weights(undisturbed)
    assert updates(voice) == updates(undisturbed)


def test_a_voice_is_the_base_of_the_next(voice):
    runs = voice.config["runs"]
    runs["voice"]["train"]["epochs"] = 1
    runs["next"] = runs["voice"] | {"base": {"run": "voice"}}
    voice.run("export")
    reset = json.loads(voice.path("runs/next/base/reset.json").read_text())
    assert reset["stripped"] == []
    first = json.loads(voice.path("runs/voice/export/MANIFEST.json").read_text())
    assert reset["base"]["weights_sha256"] == first["weights_sha256"]
