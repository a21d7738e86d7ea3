"""Long recordings with one text for all of it, through the workflow (N9, E-13)."""

import json
import shutil

import pytest
from voicekiln.store import tables
from workflow_runner import DEMO, sentences

pytestmark = pytest.mark.slow

READ = "anna/garden.flac"
SPANS = "ben/market.ogg"  # read with given spans, some of them wrong
NEVER_READ = "Nobody ever said this line about a purple submarine."


def test_a_chapter_is_cut_and_each_segment_gets_what_it_says_of_the_text(workflow):
    """A recording with its sentences as one page; one of them is not on it, and one that is on it
    is not read."""
    target = workflow.dir / "in" / READ
    target.parent.mkdir(parents=True)
    shutil.copy(DEMO / "recordings" / READ, target)
    rows = sentences()
    texts = list(rows.loc[rows["recording"] == READ, "text"])
    missing = texts.pop(5)
    target.with_suffix(".txt").write_text("\n".join([*texts[:3], NEVER_READ, *texts[3:]]))
    workflow.config["corpora"]["book"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 1,
        "segment": {"max_s": 10.0, "merge_gap_s": 0.4},
        "transcribe": {"model": str(DEMO / "whisper.pt"), "word_times": False},
    }
    cut_on_purpose(workflow)
    shard = "results/corpora/book/shards/000/"
    workflow.run(shard + "align.parquet", "results/corpora/cut/DIGEST.json")
    check_cuts(workflow)
    table = tables.read(workflow.dir / shard / "align.parquet")
    kept = table[table["status"] == "keep"]
    assert list(kept["text"]) == texts
    assert set(kept["text_source"]) == {"reference"} and kept["cer"].max() <= 0.35
    dropped = table[table["reason"] == "not in the reference text"]
    assert list(dropped["hypothesis"]) == [missing]
    [line] = (workflow.dir / shard / "unsaid.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == NEVER_READ
    workflow.run(shard + "align.parquet", "--dry-run")
    assert not workflow.jobs


def cut_on_purpose(workflow):
    """A corpus whose manifest gives spans: the third sentence's ends too early, the fifth's in the
    middle of the sixth, which begins there."""
    rows = sentences()
    rows = rows[rows["recording"] == SPANS].head(10)
    spans = [[row.start_s - 0.1, row.end_s + 0.1] for row in rows.itertuples()]
    spans[2][1] -= 0.35
    spans[4][1] = spans[5][0] = sum(spans[5]) / 2
    lines = [
        {
            "audio_filepath": str(DEMO / "recordings" / SPANS),
            "offset": start,
            "duration": end - start,
            "text": text,
        }
        for (start, end), text in zip(spans, rows["text"], strict=True)
    ]
    manifest = workflow.dir / "spans.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    workflow.config["corpora"]["cut"] = {
        "audio": str(manifest),
        "language": "en",
        "shards": 1,
        "transcribe": {"model": str(DEMO / "whisper.pt"), "check_reference": True},
        "split": {"block_s": 6, "val_share": 0.2},
    }


def check_cuts(workflow):
    """N11; that the run got as far as it did says that the ledger adds up."""
    table = tables.read(workflow.path("corpora/cut/segments.parquet"))
    reasons = [None if tables.missing(reason) else reason for reason in table["reason"]]
    assert reasons[4:6] == ["word cut at end", "word cut at start"]
    assert not [reason for reason in reasons[:4] + reasons[6:] if reason and "word" in reason]
    before = tables.read(workflow.path("corpora/cut/shards/000/segment.parquet"))
    moved = [i for i in range(len(table)) if table["end"][i] != before["end"][i]]
    assert moved == [2] and table["end"][2] > before["end"][2]
    kept = table[table["status"] == "keep"]
    assert kept["cer"].max() < 0.5 and kept["confidence"].min() > 0.2
