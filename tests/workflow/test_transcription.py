"""Both engines in the workflow, on pieces of the demo, with every way into a network blocked."""

import json
import re

import pytest
from voicekiln.store import tables
from workflow_runner import DEMO, Workflow, piece, sentences

pytestmark = pytest.mark.slow

NO_NETWORK = """
import socket

def connect(self, address):
    raise AssertionError(f"the network is asked for: {address}")

socket.socket.connect = connect
"""


@pytest.fixture(autouse=True)
def no_network(tmp_path, monkeypatch):
    """Every Python process of the test refuses to connect."""
    (tmp_path / "sitecustomize.py").write_text(NO_NETWORK)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


def heard(workflow: Workflow, corpus: str):
    return tables.read(workflow.path(f"corpora/{corpus}/shards/000/transcribe.parquet"))


def test_both_engines_hear_the_same_and_check_reference_texts(workflow):
    piece("ben/station.flac", 3, workflow.dir / "in" / "a.flac")
    piece("anna/garden.flac", 1, workflow.dir / "in" / "b.flac", text=True)
    model = {"model": str(DEMO / "whisper.pt"), "second_model": str(DEMO / "whisper.pt")}
    for name, engine in (("one", "whisper"), ("two", "faster-whisper")):
        workflow.config["corpora"][name] = {
            "audio": "in",
            "language": "en",
            "transcripts": "sidecar",
            "shards": 1,
            "segment": {"max_s": 10.0, "merge_gap_s": 0.4},
            "transcribe": {"engine": engine, "second": "all", "check_reference": True, **model},
        }
    names = [f"results/corpora/{name}/shards/000/transcribe.parquet" for name in ("one", "two")]
    workflow.run(*names)
    assert workflow.jobs["convert_model"] == 1
    one, two = heard(workflow, "one"), heard(workflow, "two")
    said = sentences()
    expected = list(said[said["recording"] == "ben/station.flac"]["text"].head(3))
    assert list(one[one["text_source"] == "hypothesis"].sort_values("start")["text"]) == expected
    [known] = one[one["text_source"] == "reference"].to_dict("records")
    assert known["hypothesis"] == known["text"]
    for table in (one, two):
        assert (table["agreement"] == 1).all() and table["language_prob"].isna().all()
        for row in table.itertuples():
            words = json.loads(row.words)
            spoken = row.text if tables.missing(row.hypothesis) else row.hypothesis
            assert "".join(word for word, *_ in words).strip() == spoken
            assert words[-1][2] <= (row.end - row.start) / row.rate_hz + 0.01
    columns = ["segment_id", "text", "hypothesis"]
    assert one[columns].equals(two[columns])
    for ours, theirs in zip(
        map(json.loads, one["words"]), map(json.loads, two["words"]), strict=True
    ):
        assert [word[:3] for word in ours] == [word[:3] for word in theirs]
        # the engines round differently, each processor in its own way
        assert [word[3] for word in ours] == pytest.approx([word[3] for word in theirs], abs=0.01)
    assert "Nothing to be done" in workflow.run(*names)


def test_of_several_transcripts_the_one_that_is_heard_stays(workflow):
    """S4-72, S4-73: files with several transcripts are transcribed again and updated."""
    said = {}
    for name, source in (("a.flac", "ben/station.flac"), ("b.flac", "anna/garden.flac")):
        piece(source, 1, workflow.dir / name)
        said[name] = sentences().set_index("recording")["text"][source].iloc[0]
    texts = {
        "a.flac": ["Something else altogether.", said["a.flac"].upper(), said["a.flac"]],
        "b.flac": ["It is not this.", "Nor is it that!"],
    }
    lines = [{"audio": name, "text": text} for name in texts for text in texts[name]]
    (workflow.dir / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    corpus = {"audio": "list.jsonl", "language": "en", "shards": 1}
    for name, model in (("with", {"model": str(DEMO / "whisper.pt")}), ("without", {})):
        workflow.config["corpora"][name] = corpus | {"transcribe": model, "transcripts": None}
    workflow.config["corpora"]["without"]["transcripts"] = "sidecar"
    names = ("with", "without")
    workflow.run(*(f"results/corpora/{name}/shards/000/transcribe.parquet" for name in names))
    rows = heard(workflow, "with").set_index("path")
    assert dict(rows["text"]) == {"a.flac": said["a.flac"].upper(), "b.flac": said["b.flac"]}
    assert dict(rows["text_source"]) == {"a.flac": "reference", "b.flac": "hypothesis"}
    log = (workflow.dir / "logs/transcribe/with/000.log").read_text()
    assert "found 2 segments with more than one transcript" in log
    assert re.search(r"a\.flac, \d\.\d\d s: 2 transcripts, transcribed again", log)
    rows = heard(workflow, "without")
    assert set(rows["reason"]) == {"several transcripts, and no transcribe.model to choose"}


def test_a_model_that_would_have_to_be_fetched_is_an_error_before_any_job(workflow):
    piece("anna/garden.flac", 1, workflow.dir / "in" / "b.flac")
    corpus = {"audio": "in", "language": "en", "transcribe": {"model": "tiny"}}
    workflow.config["corpora"]["voice"] = corpus
    said = workflow.run("dataset", ok=False)
    assert "transcribe.model: tiny is the name of a released model, and downloads are off" in said
    assert "set transcribe.download: true" in said and not workflow.jobs
    corpus["transcribe"]["download"] = True
    assert "fetch_model" in workflow.run("--dry-run", "dataset")
