"""The review page (S4-97): its data, and the page in a real browser."""

import base64
import json

import browser
import numpy as np
import pytest
import soundfile
from corpus_rows import RATE_HZ, recording, segment
from voicekiln.audio import dnsmos
from voicekiln.corpus.corrections import Correction, read
from voicekiln.review import audio, facts, page
from voicekiln.store import tables

SHA = "0123456789abcdef" * 4
ID = SHA[:16]
ITEM = "ab" * 16
EVIL = (
    "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
TEXTS = ["It is \"quoted\" & 'so' 😀", EVIL, "שלום עולם", "\u202eback\u202c to\u2028front", "plain"]


def rows_of(n):
    """Segments of one second each; every fifth is dropped, confidence falls from the first on."""
    for i in range(n):
        row = segment(
            TEXTS[i] if i < len(TEXTS) else f"text number {i}", i, 1.0, ID,
            item=ITEM, language="en", confidence=1 - i / n, speaker=("anna", "ben")[i % 2],
            split="train",
        )  # fmt: skip
        if i % 5 == 4:
            row |= {"status": "drop", "step": "validate", "reason": "too short", "split": None}
            row |= {"value": 1.0, "limit": 1.5}
        yield row


def content(n, corrections=(), conflicts=(), digest="d1", mos=()):
    segments = facts.worst_first(tables.frame(list(rows_of(n)), tables.SEGMENTS))
    for name in dnsmos.SCORES:
        segments.loc[: len(mos) - 1, name] = list(mos)
    source = recording(ID, n, content_sha256=SHA, item=ITEM, path='a/o\'ne "two".wav')
    found = facts.gather(
        "voice",
        segments,
        tables.frame([source], tables.RECORDINGS),
        list(corrections),
        list(conflicts),
        0.4,
    )
    found["digest"] = digest
    found["segments"]["peaks"] = [page_peaks(i) for i in range(n)]
    return found


def page_peaks(seed):
    rng = np.random.default_rng(seed)
    return base64.b64encode(rng.integers(0, 256, audio.POINTS, np.uint8).tobytes()).decode()


def write_page(folder, n, **more):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page.render(content(n, **more), n), encoding="utf-8")
    sound = folder / "audio" / ITEM[:2] / f"{ITEM}.flac"
    sound.parent.mkdir(parents=True, exist_ok=True)
    seconds = min(n, 60)
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(seconds * RATE_HZ) / RATE_HZ)
    soundfile.write(sound, tone, RATE_HZ, subtype="PCM_16")
    return folder / "index.html"


@pytest.fixture
def chromium(tmp_path):
    if browser.executable() is None:
        pytest.skip("no Chromium is here to open the page")
    with browser.Browser(tmp_path / "profile", 1280) as one:
        one.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        yield one


def check_quiet(chromium):
    """Nothing was complained of, and nothing asked for but the page and its audio."""
    kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
    assert [told for kind in kinds for told in chromium.told(kind)] == []
    asked = [told["request"]["url"] for told in chromium.told("Network.requestWillBeSent")]
    assert all(url.startswith(("file:", "blob:")) for url in asked), asked


def saved(chromium, folder):
    """The file that `s` downloads."""
    target = folder / "corrections.jsonl"
    target.unlink(missing_ok=True)
    chromium.press("s")
    browser.wait_for(target.exists)
    return read(target)


def test_the_worst_come_first_and_of_equals_the_dropped():
    rows = [
        segment("kept", 0, confidence=0.5),
        segment("dropped", 4, confidence=0.5, status="drop"),
        segment("worst", 8, confidence=0.1),
        segment("unknown", 12),
    ]
    order = facts.worst_first(tables.frame(rows, tables.SEGMENTS))
    assert list(order["text"]) == ["worst", "dropped", "kept", "unknown"]


def test_a_waveform_has_the_peaks_of_its_stretch(tmp_path):
    samples = np.zeros(1000, np.int16)
    samples[500], samples[999] = -32768, 16384
    soundfile.write(tmp_path / "a.flac", samples, RATE_HZ)
    with soundfile.SoundFile(tmp_path / "a.flac") as file:
        peaks = np.frombuffer(base64.b64decode(audio.waveform(file, 0, 1000)), np.uint8)
        assert len(peaks) == audio.POINTS
        assert {i: int(v) for i, v in enumerate(peaks) if v} == {100: 255, 199: 128}
        few = np.frombuffer(base64.b64decode(audio.waveform(file, 499, 502)), np.uint8)
        assert len(few) == audio.POINTS and few.max() == 255
        with pytest.raises(EOFError):
            audio.waveform(file, 900, 1001)


def test_audio_beside_the_page_costs_no_disk_and_outlives_the_store(tmp_path):
    store = tmp_path / "store" / "abcd.flac"
    store.parent.mkdir()
    store.write_bytes(b"sound")
    folder = tmp_path / "audio"
    assert audio.place(folder, [store]) == 0
    target = folder / "ab" / "abcd.flac"
    assert target.samefile(store)
    store.unlink()
    assert target.read_bytes() == b"sound"
    other = tmp_path / "store" / "cdef.flac"
    other.write_bytes(b"other")
    audio.place(folder, [other])
    assert [path.name for path in folder.glob("*/*")] == ["cdef.flac"]


def test_no_text_can_end_the_data(tmp_path):
    text = page.render(content(5), 5)
    assert text.count("</script>") == 2
    assert "This page lists" not in text and "the 5 of 9 segments with the lowest" in page.render(
        content(5), 9
    ).replace("\n", " ")


@pytest.mark.slow
def test_nothing_of_the_texts_is_executed_and_all_of_it_is_shown(chromium, tmp_path):
    chromium.open(write_page(tmp_path / "o'ne & <two>", 5))
    assert chromium.evaluate("document.title") == "voice · review"
    shown = (
        "Object.fromEntries([...rows].map(([p, r]) => [p, r.querySelector('.text').textContent]))"
    )
    assert list(chromium.evaluate(shown).values()) == TEXTS[::-1]
    chromium.press("j")
    assert chromium.evaluate("document.querySelector('#text').value") == TEXTS[3]
    direction = "getComputedStyle([...rows.values()][2].querySelector('.text')).direction"
    assert chromium.evaluate(direction) == "rtl"
    chromium.press("k")
    chromium.press(" ")
    browser.wait_for(lambda: 3.6 < chromium.evaluate("audio.currentTime"))
    assert chromium.evaluate("audio.currentTime") < 6, "only the segment is played"
    assert chromium.evaluate("audio.error") is None
    check_quiet(chromium)


@pytest.mark.slow
def test_corrections_are_made_with_the_keyboard_alone(chromium, tmp_path):
    # the page lists the worst first: position p is segment 9 - p
    note = json.dumps({"content_sha256": SHA, "start_s": 7, "end_s": 8, "text": "old", "by": "me"})
    far = '{"content_sha256": "ffffffffffffffff", "start_s": 0, "end_s": 1, "status": "drop"}'
    lines = [
        Correction(1, SHA, 7, 8, "old", None, note),
        Correction(2, "f" * 16, 0, 1, None, "drop", far),
    ]
    conflicts = [{"line": 2, "why": "no such recording"}]
    html = write_page(tmp_path / "page", 10, corrections=lines, conflicts=conflicts)
    chromium.open(html)
    assert "1 of 10" in chromium.evaluate("$('progress').textContent")
    assert "line 2: no such recording" in chromium.evaluate("$('conflicts').textContent")
    chromium.press("e")
    chromium.evaluate("$('text').select()")
    chromium.call("Input.insertText", text='новый "text" </script>')
    chromium.press("Enter")
    chromium.press("j")
    chromium.press("x")
    chromium.press("a")
    chromium.press("Home")
    chromium.press("n")
    assert chromium.evaluate("at") == 3, "n goes to the next that nobody has decided about"
    assert "3 of 10 reviewed · unsaved" in chromium.evaluate("$('progress').textContent")
    got = saved(chromium, tmp_path)
    assert [(c.content, c.start_s, c.text, c.status) for c in got] == [
        (SHA, 7, "old", "keep"),
        ("f" * 16, 0, None, "drop"),
        (SHA, 9, 'новый "text" </script>', None),
        (SHA, 8, None, "drop"),
    ]
    assert json.loads(got[0].raw)["by"] == "me" and got[1].raw == far
    # the browser keeps what was done; undone corrections leave the file
    chromium.open(html)
    assert "3 of 10 reviewed" in chromium.evaluate("$('progress').textContent")
    for key in "jju":
        chromium.press(key)
    assert [c.start_s for c in saved(chromium, tmp_path)] == [0, 9, 8]
    check_quiet(chromium)


@pytest.mark.slow
def test_an_earlier_file_is_opened_and_merged(chromium, tmp_path):
    chromium.open(write_page(tmp_path / "page", 10))
    mine = {"content_sha256": ID, "start_s": 3.02, "end_s": 4.02, "text": "opened"}
    other = {"content_sha256": "e" * 16, "start_s": 3, "end_s": 4, "status": "keep"}
    file = "\n".join(map(json.dumps, [mine, other]))
    assert chromium.evaluate(f"openCorrections({json.dumps(file)})") == [1, 1]
    got = saved(chromium, tmp_path)
    assert {(c.content, c.start_s, c.text, c.status) for c in got} == {
        (SHA, 3, "opened", None),
        ("e" * 16, 3, None, "keep"),
    }
    with pytest.raises(RuntimeError, match="line 2 is not a correction"):
        chromium.evaluate(f"openCorrections({json.dumps(json.dumps(mine) + chr(10) + '[]')})")


@pytest.mark.slow
def test_unsaved_work_moves_on_to_the_page_of_the_next_data_set(chromium, tmp_path):
    chromium.open(write_page(tmp_path / "page", 10))
    for key in "xa":
        chromium.press(key)
    # the next data set has the first nine only: one of the two finds its segment again
    chromium.open(write_page(tmp_path / "page", 9, digest="d2"))
    assert "1 of 9 reviewed · unsaved" in chromium.evaluate("$('progress').textContent")
    assert "1 unsaved" in chromium.evaluate("$('message').textContent")
    assert [(c.start_s, c.status) for c in saved(chromium, tmp_path)] == [(8, "keep")]
    chromium.open(write_page(tmp_path / "page", 10, digest="d3"))
    assert "1 of 10 reviewed" in chromium.evaluate("$('progress').textContent")
    assert [(c.start_s, c.status) for c in saved(chromium, tmp_path)] == [(9, "drop")]


@pytest.mark.slow
def test_filters_and_orders(chromium, tmp_path):
    chromium.open(write_page(tmp_path / "page", 20))
    for field, value, expected in (
        ("state", "drop", [19, 14, 9, 4]),
        ("reason", "0", [19, 14, 9, 4]),
        ("speaker", "1", list(range(19, 0, -2))),
        ("confidence-to", "0.15", [19, 18, 17]),
        ("query", "NUMBER 1", [19, 18, 17, 16, 15, 14, 13, 12, 11, 10]),
        ("order", "place", list(range(20))),
    ):
        chromium.evaluate(f"$('{field}').value = '{value}', filter()")
        assert chromium.evaluate("shown.map(i => S.start_s[i])") == expected, field
        chromium.evaluate("$('filters').reset(), new Promise(done => setTimeout(done, 20))")
    chromium.press("a")
    chromium.evaluate("$('reviewed').value = 'done', filter()")
    assert chromium.evaluate("shown.length") == 1


@pytest.mark.slow
def test_predicted_scores_are_shown_and_ordered_by(chromium, tmp_path):
    chromium.open(write_page(tmp_path / "page", 5, mos=[2.25, 3.1, 1.2]))
    shown = "predicted MOS1.2 (speech 1.2, background 1.2)"
    chromium.evaluate("$('order').value = 'mos', filter()")
    assert chromium.evaluate("shown.map(i => S.mos_overall[i])") == [1.2, 2.25, 3.1, None, None]
    chromium.evaluate("select(0)")
    assert shown in chromium.evaluate("$('facts').textContent")


def test_a_page_without_scores_offers_no_order_by_them(tmp_path):
    found = content(3)
    assert "mos_overall" not in found["segments"]
    assert 'value="mos"' not in page.render(found, 3)
    assert 'value="mos"' in page.render(content(3, mos=[2.5]), 3)


COUNTS = """(() => {
  const list = document.querySelector('#list');
  const most = Math.ceil(list.clientHeight / rowHeight) + 2 * OVERSCAN + 1;
  return [document.querySelectorAll('.row').length, most];
})()"""
CHANGED = """new Promise(done => {
  let added = 0;
  const watch = new MutationObserver(all => all.forEach(one => added += one.addedNodes.length));
  watch.observe(document.querySelector('#space'), {childList: true});
  STEP;
  setTimeout(() => { watch.disconnect(); done(added); }, 150);
})"""


@pytest.mark.slow
def test_thousands_of_segments_are_a_window_of_rows(chromium, tmp_path):
    n = 6000
    chromium.open(write_page(tmp_path / "page", n))
    rows, most = chromium.evaluate(COUNTS)
    assert 5 < rows <= most < 40
    whole = chromium.evaluate("document.querySelectorAll('*').length")
    for step in (
        "$('list').scrollTop = 3000",
        "$('list').scrollTop = 5900 * rowHeight",
        "select(2500)",
        "$('query').value = 'number 12', filter()",
        "$('query').value = '', $('order').value = 'place', filter()",
        "$('state').value = 'drop', filter()",
    ):
        added = chromium.evaluate(CHANGED.replace("STEP", step))
        rows, _ = chromium.evaluate(COUNTS)
        assert rows <= most and added <= 2 * most, step
        assert chromium.evaluate("document.querySelectorAll('*').length") < whole + 8 * most
    assert chromium.evaluate("$('count').textContent") == "1,200 segments"
    chromium.press("j")
    assert chromium.evaluate("document.querySelector('.row[aria-selected=true]') !== null")
    check_quiet(chromium)


@pytest.mark.slow
@pytest.mark.parametrize("width_px, dark", [(1280, False), (390, True)])
def test_the_page_fits_its_window_and_follows_the_theme(tmp_path, width_px, dark):
    if browser.executable() is None:
        pytest.skip("no Chromium is here to open the page")
    html = write_page(tmp_path / "page", 50)
    with browser.Browser(tmp_path / "profile", width_px, dark) as chromium:
        chromium.open(html)
        sideways = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert chromium.evaluate(sideways) <= 0
        assert (chromium.evaluate("getComputedStyle(document.body).backgroundColor")
                == "rgb(251, 250, 248)") != dark  # fmt: skip
        check_quiet(chromium)


EDGES = "spanOf(current()).map(s => Math.round(s * 1000) / 1000)"


@pytest.mark.slow
def test_edges_are_moved_by_keys_and_by_hand(chromium, tmp_path):
    """The segments are a second long and touch each other; the page begins with that at 9 s."""
    chromium.open(write_page(tmp_path / "page", 10))
    for key in "2223":
        chromium.press(key)
    assert chromium.evaluate(EDGES) == [9.06, 9.98]
    assert "edges moved" in chromium.evaluate("rows.get(0).textContent")
    assert "+60 ms, -20 ms" in chromium.evaluate("$('facts').textContent")
    for key in "11111":
        chromium.press(key)
    assert chromium.evaluate(EDGES) == [9.0, 9.98], "no further than the segment before"
    assert "cannot move further" in chromium.evaluate("$('message').textContent")
    # the end is dragged from 9.98 to about 9.5 s; what is drawn is 8.6 ... 10 s
    box = chromium.evaluate("(({x, y, width}) => [x, y, width])($('wave').getBoundingClientRect())")
    at = {s: box[0] + (s - 8.6) / 1.4 * box[2] for s in (9.98, 9.5)}
    for kind, s in (("mousePressed", 9.98), ("mouseMoved", 9.5), ("mouseReleased", 9.5)):
        more = {"x": at[s], "y": box[1] + 40, "button": "left", "buttons": 1, "clickCount": 1}
        chromium.call("Input.dispatchMouseEvent", type=kind, **more)
    start, end = chromium.evaluate(EDGES)
    assert start == 9.0 and 9.48 < end < 9.52
    assert chromium.evaluate("audio.paused"), "a drag does not play"
    chromium.press("j")
    chromium.press("2")
    chromium.press("u")
    assert chromium.evaluate(EDGES) == [8.0, 9.0]
    chromium.press("p")
    browser.wait_for(lambda: chromium.evaluate("audio.currentTime") >= 9)
    assert chromium.evaluate("until") == 9 and chromium.evaluate("audio.currentTime") < 9.35
    [got] = saved(chromium, tmp_path)
    assert (got.start_s, got.end_s, got.text, got.status) == (9, 10, None, None)
    assert (got.new_start_s, got.new_end_s) == (start, end)
    chromium.open(tmp_path / "page/index.html")
    assert chromium.evaluate(EDGES) == [start, end], "the browser keeps it"
    check_quiet(chromium)


@pytest.mark.slow
def test_moved_edges_of_the_file_stay_on_the_page_of_the_next_data_set(chromium, tmp_path):
    """The file says that the segment at 7 s was cut from 6.4 to 8 s; other lines join it."""
    raw = {"content_sha256": SHA, "start_s": 6.4, "end_s": 8}
    raw |= {"new_start_s": 7, "new_end_s": 8}
    line = Correction(1, SHA, 6.4, 8, None, None, json.dumps(raw), None, 7, 8)
    chromium.open(write_page(tmp_path / "page", 10, corrections=[line]))
    assert chromium.evaluate("decided(2).span") == [7, 8]
    for key in "jja":
        chromium.press(key)
    chromium.press("k")
    chromium.press("4")
    [got] = saved(chromium, tmp_path)
    assert (got.start_s, got.end_s, got.status) == (6.4, 8, "keep"), "as it was cut"
    assert (got.new_start_s, got.new_end_s) == (7, 8)
    chromium.press("u")
    assert chromium.evaluate(EDGES) == [6.4, 8]
    assert saved(chromium, tmp_path) == []


def test_a_line_that_moved_edges_is_for_the_segment_as_it_is_now():
    segments = tables.frame(list(rows_of(10)), tables.SEGMENTS)
    lines = [
        Correction(1, SHA, 6.4, 8, None, None, "", None, 7, 8),  # moved: listed with its new span
        Correction(2, SHA, 3, 4, None, None, "", None, 3.5, 6.5),  # refused: listed as it was cut
    ]
    refused = [{"line": 2, "why": "its edges stay where they are"}]
    found = facts.correction_lines(segments, lines, refused)
    assert [(row["segment"], bool(row["why"])) for row in found] == [(7, False), (3, True)]
