"""Data steps killed at random instants: the data set ends as if nothing had happened."""

import random
import shutil
import subprocess

import pytest
from workflow_runner import Workflow

pytestmark = pytest.mark.slow

KILLS = 20
CLIPS = [("anna/garden.flac", 3), ("anna/garden.flac", 5), ("ben/station.flac", 2)]


def prepare(folder) -> Workflow:
    """A corpus of three clips with texts and one that Whisper has to read."""
    workflow = Workflow(folder)
    for i, (source, n) in enumerate(CLIPS):
        workflow.add(source, n, f"{i}.flac")
    workflow.add("ben/station.flac", 4, "unread.flac", text=False)
    workflow.config["corpora"]["voice"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "transcribe": {"model": "resources/demo/whisper.pt"},
        "segment": {"max_s": 10.0, "merge_gap_s": 0.4},
        "shards": 2,
        "split": {"val_share": 0.2, "min_recordings": 2},
    }
    return workflow


def killed(workflow: Workflow, after_s: float) -> bool:
    """Run, and SIGKILL everything after a time; whether the run was still going."""
    process = subprocess.Popen(
        workflow.command("dataset"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        process.wait(after_s)
        return False
    except subprocess.TimeoutExpired:
        workflow.kill(process)
        return True


def test_killed_at_any_instant_the_data_set_is_that_of_an_undisturbed_run(tmp_path):
    undisturbed = prepare(tmp_path / "undisturbed")
    undisturbed.run("dataset")
    expected = undisturbed.dataset("voice")

    workflow = prepare(tmp_path / "a voice")
    draw = random.Random(1)
    kills = ends = 0
    while kills < KILLS:
        if killed(workflow, draw.uniform(1.5, 9.0)):
            kills += 1
            continue
        ends += 1
        assert workflow.dataset("voice") == expected
        # from the start again, or with the store of before: the steps then only read it
        for name in (".snakemake", "results") if draw.random() < 0.7 else ("results/corpora",):
            shutil.rmtree(workflow.dir / name)
    print(f"{kills} kills, {ends} runs that came to their end between them")
    workflow.run("dataset")
    assert workflow.dataset("voice") == expected
    assert "Nothing to be done" in workflow.run("dataset")
