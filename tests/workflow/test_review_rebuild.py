"""From the page back into the data set: edit, save, rebuild (N15, S4-97)."""

import json

import browser
import pytest

pytestmark = pytest.mark.slow

CLIPS = {"a": "anna/garden.flac", "b": "ben/station.flac", "c": "ben/market.ogg"}
CHAIN = {"correct", "deduplicate", "validate_segments", "split_corpus", "review_corpus"}


def texts(workflow):
    """What is in the data set, by clip."""
    rows = []
    for side in ("train", "val"):
        lines = workflow.path(f"corpora/voice/dataset/{side}.jsonl").read_text().splitlines()
        rows += map(json.loads, lines)
    return {row["id"]: row["text"] for row in rows}


def test_what_is_saved_on_the_page_is_in_the_next_data_set(workflow, tmp_path):
    if browser.executable() is None:
        pytest.skip("no Chromium is here to open the page")
    for i in range(6):
        name = "abc"[i % 3]
        workflow.add(CLIPS[name], 1 + i, f"{name}{i}.flac")
    workflow.config["corpora"]["voice"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 1,
        "corrections": "corrections.jsonl",
        "split": {"min_recordings": 2},
        "validate": {"min_s": 4.0},  # the clip of one sentence is too short
    }
    workflow.run("review")
    assert workflow.computed["review"] == 6
    html = workflow.path("corpora/voice/review/index.html")
    before = texts(workflow)

    with browser.Browser(tmp_path / "profile", 1280) as chromium:
        folder = str(workflow.dir)
        chromium.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=folder)
        chromium.open(html)
        chromium.evaluate("$('order').value = 'longest', filter()")
        chromium.press("Home")
        for _ in range(5):
            chromium.press("3")  # the end comes 100 ms earlier
        chromium.press("e")
        chromium.evaluate("$('text').setSelectionRange(999, 999)")
        chromium.call("Input.insertText", text=" Typed by <hand>.")
        chromium.press("Enter")
        chromium.press("j")
        chromium.press("x")
        chromium.press("End")
        assert "too short" in chromium.evaluate("$('facts').textContent")
        chromium.press("a")
        chromium.press("s")
        browser.wait_for((workflow.dir / "corrections.jsonl").exists)
        complaints = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        assert [told for kind in complaints for told in chromium.told(kind)] == []
    lines = (workflow.dir / "corrections.jsonl").read_text().splitlines()
    assert len(lines) == 3
    stray = json.loads(lines[1]) | {"start_s": 100.0, "end_s": 101.0}
    with open(workflow.dir / "corrections.jsonl", "a") as file:
        file.write(json.dumps(stray) + "\n")

    workflow.run("review")
    assert set(workflow.jobs) - {"review"} == CHAIN and set(workflow.jobs.values()) == {1}
    assert workflow.computed == {}, "no item of the store is made for a text or a moved edge"
    after = texts(workflow)
    changed = [text for name, text in after.items() if before.get(name) != text]
    assert sum(text.endswith(" Typed by <hand>.") for text in changed) == 1
    assert len(changed) == 2, "the edited one, and the one that was too short"
    gone, new = set(before) - set(after), set(after) - set(before)
    assert len(gone) == len(new) == 2, "one was dropped, one came back, one was moved"
    [moved] = [name for name, text in after.items() if text.endswith("<hand>.")]
    recording, start, end = moved.split("_")
    assert f"{recording}_{start}_{int(end) + 2400}" in gone
    assert (
        "fits no segment"
        in workflow.path("corpora/voice/tables/correct/conflicts.jsonl").read_text()
    )
    data = html.read_text().split('id="data">')[1].split("</script>")[0]
    listed = json.loads(data)["corrections"]
    assert [line["segment"] >= 0 for line in listed] == [True, True, True, False]
    assert "Nothing to be done" in workflow.run("review")
