"""Long recordings with one text for all of it, through the workflow (N9, E-13)."""

import json
import shutil

import pytest
from voicekiln import tables
from workflow_runner import DEMO, sentences

pytestmark = pytest.mark.slow

READ = ("anna/garden.flac", "ben/station.flac")
NEVER_READ = "Nobody ever said this line about a purple submarine."


def test_a_chapter_is_cut_and_each_segment_gets_what_it_says_of_the_text(workflow):
    """The demo's recordings with their sentences as one page each; one sentence is left out of a
    page and one is on it that is not read."""
    expected, missing = {}, {}
    for name in READ:
        target = workflow.dir / "in" / name
        target.parent.mkdir(parents=True)
        shutil.copy(DEMO / "recordings" / name, target)
        rows = sentences()
        texts = list(rows.loc[rows["recording"] == name, "text"])
        missing[name] = texts[5]
        expected[name] = texts[:5] + texts[6:]
        page = [*expected[name][:3], NEVER_READ, *expected[name][3:]]
        target.with_suffix(".txt").write_text("\n".join(page))
    workflow.config["corpora"]["book"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 1,
        "segment": {"max_s": 10.0, "merge_gap_s": 0.4},
        "transcribe": {"model": str(DEMO / "whisper.pt")},
    }
    shard = "results/corpora/book/shards/000/"
    workflow.run(shard + "align.parquet")
    table = tables.read(workflow.dir / shard / "align.parquet")
    for name, texts in expected.items():
        rows = table[table["path"] == name]
        kept = rows[rows["status"] == "keep"]
        assert list(kept["text"]) == texts
        assert set(kept["text_source"]) == {"known"} and kept["cer"].max() <= 0.35
        dropped = rows[rows["reason"] == "not in the given text"]
        assert list(dropped["heard"]) == [missing[name]]
    lines = (workflow.dir / shard / "unsaid.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == [NEVER_READ] * len(READ)
    workflow.run(shard + "align.parquet", "--dry-run")
    assert not workflow.jobs
