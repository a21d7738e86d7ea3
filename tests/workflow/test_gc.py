"""The target gc on a corpus whose settings were changed."""

import pytest

pytestmark = pytest.mark.slow


def test_what_other_settings_made_is_listed_then_removed_and_nothing_else(workflow):
    for i in range(1, 4):
        workflow.add("anna/garden.flac", i, f"{i}.flac")
    workflow.config["corpora"]["voice"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 1,
        "split": {"val_share": 0.2, "min_recordings": 2},
    }
    workflow.run("dataset")
    workflow.config["corpora"]["voice"]["normalize"] = {"loudness_lufs": -20.0}
    workflow.run("dataset")
    dataset = workflow.dataset("voice")
    files = set(workflow.path("store").rglob("*.flac"))
    assert len(files) == 6

    assert "normalize: 3 items in use, 0 not, 0 files" in workflow.run("gc"), "it is new"
    workflow.config["gc"] = {"keep_days": 0}
    assert "normalize: 3 items in use, 3 not, 3 files" in workflow.run("gc")
    assert set(workflow.path("store").rglob("*.flac")) == files
    workflow.config["gc"] = {"delete": True, "keep_days": 0}
    workflow.run("gc")
    assert len(set(workflow.path("store").rglob("*.flac"))) == 3
    assert "normalize: 3 items in use, 0 not, 0 files" in workflow.run("gc")
    assert "Nothing to be done" in workflow.run("dataset")

    # what is left is whole: the tables are made again from it without any computation
    for path in workflow.path("corpora/voice/shards").rglob("*.parquet"):
        path.unlink()
    workflow.run("dataset")
    assert workflow.computed == {}
    assert workflow.dataset("voice") == dataset
