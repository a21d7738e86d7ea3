"""The report of a run: numbers, escaping, missing parts, and the page in a real browser."""

import base64
import html
import json
import re
import shutil
from html.parser import HTMLParser

import browser
import numpy as np
import pytest
import soundfile
from voicekiln.corpus.decisions import STEPS
from voicekiln.corpus.ledger import ledger
from voicekiln.report import charts
from voicekiln.report.clips import MAX_CLIP_S, Clips, envelope
from voicekiln.report.facts import funnel, gather, gather_voices
from voicekiln.report.page import duration, render, size
from voicekiln.store import tables
from voicekiln.store.items import Store

RATE_HZ = 24000
EVIL = "<script>alert('x')</script><img src=http://evil.example/x.png>"


def tone(seconds, pitch_hz=220.0):
    return (
        0.3 * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ)
    ).astype(np.float32)


def write_json(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False))


def segment(i, seconds, **more):
    start = i * 2 * RATE_HZ
    row = {
        "segment_id": f"r0_{i}", "recording_id": "r0", "root": "in", "path": "anna/a.wav",
        "item": "ab12" * 8, "start": start, "end": start + round(seconds * RATE_HZ),
        "rate_hz": RATE_HZ, "speaker": "anna", "language": "en", "text": f"Sentence number {i}.",
        "text_source": "reference", "level_db": -20.0 - i / 7, "silence_share": 0.1,
        "clipped_share": 0.0, "audio_sha256": f"{i}", "status": "keep", "split": "train",
    }  # fmt: skip
    return row | more


@pytest.fixture
def results(tmp_path):
    """A finished run `loud` over the corpus `mine`, with hostile names wherever names come in."""
    store = Store(tmp_path / "store", "normalize")
    part = store.workfile("ab12" * 8, "flac")
    soundfile.write(part, tone(30), RATE_HZ, format="FLAC", subtype="PCM_16")
    store.put("ab12" * 8, {}, flac=part)

    def recording(name, status, **more):
        row = {"recording_id": name, "root": "in", "path": f"{name}.wav", "status": status,
               "rate_hz": RATE_HZ, "n_samples": 30 * RATE_HZ, "duration_s": 30.0}  # fmt: skip
        return row | more

    recordings = tables.frame(
        [
            recording("r0", "ok"),
            recording("r1", "copy", step="inventory"),
            recording("", "bad", path=EVIL, reason=f"not audio {EVIL}", n_samples=None),
        ],
        tables.RECORDINGS,
    )
    segments = tables.frame(
        [segment(i, 1.2 + i / 20) for i in range(8)]
        + [
            segment(8, 1.5, split="val", text=EVIL, speaker=EVIL),
            segment(9, 1.7, status="drop", split=None, step="validate", reason=f"odd {EVIL}",
                    value=0.7, limit=0.5),
            segment(10, 0.4, status="drop", split=None, step="validate", reason="too short",
                    value=0.4, limit=0.5, text=None),
            segment(11, 1.1, status="drop", split=None, step="deduplicate", reason="same audio"),
        ],
        tables.SEGMENTS,
    )  # fmt: skip
    corpus, run = tmp_path / "corpora/mine", tmp_path / "runs/loud"
    tables.write(recordings, corpus / "recordings.parquet", tables.RECORDINGS)
    tables.write(segments, corpus / "segments.parquet", tables.SEGMENTS)
    write_json(corpus / "ledger.json", ledger(recordings, segments))
    write_json(corpus / "leaks.json", {
        "shared_groups": 0, "shared_texts": 0, "shared_near_duplicates": 0,
        "shared_copies": 0, "rows_dropped": 0,
    })  # fmt: skip
    tables.write_digest(corpus / "DIGEST.json", [corpus / "segments.parquet"])

    write_json(run / "tokenizer/coverage.json", {
        "base_tokens": 23, "tokens": 24, "texts": 9, "text_tokens": 180, "base_coverage": 0.9,
        "coverage": 1.0, "added": [
            {"token": "<", "codepoint": "U+003C", "name": "LESS-THAN SIGN", "id": 23, "count": 3},
        ],
    })  # fmt: skip
    write_json(run / "base/reset.json", {
        "base": {"file": EVIL, "bytes": 4841508, "sha256": "a" * 64, "weights_from": "ema"},
        "stripped": ["update = 380000"], "parameters": 321060, "weights_sha256": "b" * 64,
        "tensors": {"total": 82, "bit_equal": 81, "grown": ["x"], "grown_rows_bit_equal": 24},
    })  # fmt: skip
    training = run / "training"
    rows = [{"kind": "validation", "update": 0, "epoch": 0, "loss": 2.0}]
    for update in range(1, 41):
        rows.append({"kind": "train", "update": update, "loss": 1 + 1 / update, "lr": 1e-5,
                     "seconds": 0.5})  # fmt: skip
        if update % 20 == 0:
            rows.append({"kind": "validation", "update": update, "loss": 1.5 - update / 100})
    training.mkdir(parents=True)
    (training / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_json(training / "status.json", {"state": "finished", "reason": EVIL, "update": 40})
    write_json(training / "settings.json", {"family": "f5", "settings": {"note": EVIL}})
    write_json(training / "finished.json", {"update": 40, "epochs": 4, "fingerprint": "c" * 64})
    write_json(run / "choice.json", {
        "checkpoint": "checkpoint_40", "update": 40, "epoch": 4, "validation_loss": 1.1,
        "base_validation_loss": 2.0, "why": "lowest validation loss", "candidates": [
            {"checkpoint": "checkpoint_40", "update": 40, "epoch": 4, "validation_loss": 1.1},
        ],
        "references": [
            {"segment_id": "r0_1", "speaker": EVIL, "language": "en"},
            {"segment_id": "r0_2", "speaker": "ben", "language": "de"},
        ],
        "samples": [
            {"file": "samples/00.wav", "text": EVIL, "language": "en", "reference": "r0_1"},
            {"file": "samples/01.wav", "text": "Bonjour.", "language": "fr", "reference": "r0_1"},
        ],
    })  # fmt: skip
    for name in ("samples/00.wav", "samples/01.wav", "export/references/evil.wav",
                 "export/references/ben.wav"):  # fmt: skip
        (run / name).parent.mkdir(exist_ok=True, parents=True)
        soundfile.write(run / name, tone(1.5, 330), RATE_HZ, subtype="PCM_16")
    write_json(run / "export/MANIFEST.json", {
        "references": [
            {"file": "references/evil.wav", "speaker": EVIL, "language": "en", "text": EVIL,
             "score": 0.9, "why": "the only training clip: length 1.5 s"},
            {"file": "references/ben.wav", "speaker": "ben", "language": "de", "text": "Ja.",
             "score": 0.7, "why": "best of 4 training clips: SNR 31 dB"},
        ],
        "update": 40, "tokens": 24, "rate_hz": RATE_HZ, "weights_sha256": "d" * 64,
        "files": [{"path": "model_40.safetensors", "bytes": 1294481, "sha256": "e" * 64}],
    })  # fmt: skip
    return tmp_path


def page_of(results):
    settings = {"run": {"family": "f5", "corpus": "mine", "train": {"note": EVIL}}, "corpora": {}}
    corpora = [results / "corpora/mine"]
    return render(gather(results / "runs/loud", corpora, results / "store", settings))


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, and the text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words = [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def with_attribute(self, name):
        return [attributes for _, attributes in self.elements if name in attributes]


def check_ledger(attributes, account):
    """The `data-` attributes of the page against a ledger: every number, and nothing else."""
    found = {(a["data-ledger"], a.get("data-step"), a.get("data-reason")): a for a in attributes}
    assert len(found) == len(attributes)
    samples = {key: int(a["data-samples"]) for key, a in found.items() if "data-samples" in a}
    by_key = {key[0]: value for key, value in samples.items() if key[0] != "lost"}
    assert by_key == {
        "samples_in": account["samples_in"],
        "non_speech": account["non_speech"],
        "kept.train": account["kept"]["train"]["samples"],
        "kept.val": account["kept"]["val"]["samples"],
        "decoder_difference": account["decoder_difference"],
    }
    lost = {key[1:]: value for key, value in samples.items() if key[0] == "lost"}
    assert lost == {(row["step"], row["reason"]): row["samples"] for row in account["lost"]}
    counts = {key: int(a["data-count"]) for key, a in found.items() if "data-count" in a}
    assert counts == {
        ("kept.train", "split", "kept for training"): account["kept"]["train"]["segments"],
        ("kept.val", "split", "kept for validation"): account["kept"]["val"]["segments"],
        ("samples_in", "", "recorded"): account["recordings"]
        + sum(row.get("recordings", 0) for row in account["lost"]),
    } | {
        ("lost", row["step"], row["reason"]): row.get("segments", row.get("recordings"))
        for row in account["lost"]
    }
    unreadable = [int(a["data-recordings"]) for a in attributes if a["data-ledger"] == "unreadable"]
    assert sum(unreadable) == account["unreadable"]["recordings"]


def test_the_funnel_has_the_numbers_of_the_ledger(results):
    account = json.loads((results / "corpora/mine/ledger.json").read_text())
    assert len(account["lost"]) == 4 and account["unreadable"]["recordings"] == 1
    check_ledger(Page(page_of(results)).with_attribute("data-ledger"), account)


def test_each_bar_of_the_funnel_begins_where_the_one_above_ends(results):
    rows = funnel(json.loads((results / "corpora/mine/ledger.json").read_text()))
    left = rows[0]["samples"]
    for row in rows[1:]:
        assert row["before"] == left - row["samples"] >= 0
        left = row["before"]
    assert left == 0
    assert [row["step"] for row in rows[1:]] == [
        "inventory", "segment", "deduplicate", "validate", "validate", "split", "split",
    ]  # fmt: skip


def test_the_funnel_follows_the_order_of_the_steps():
    lost = [{"step": step, "reason": "x", "segments": 1, "samples": 1} for step in sorted(STEPS)]
    kept = {side: {"segments": 0, "samples": 0} for side in ("train", "val")}
    rows = funnel(
        {"lost": lost, "kept": kept, "samples_in": len(lost), "non_speech": 0, "recordings": 1}
    )
    assert [row["step"] for row in rows if row["kind"] == "lost"][1:] == list(STEPS)


def test_what_comes_from_outside_is_text_and_nothing_else(results):
    text = page_of(results)
    assert EVIL not in text and text.count(str(html.escape(EVIL, quote=False))[:20]) > 5
    page = Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "img", "iframe", "object", "link", "embed"}
    assert page.text.count(EVIL) >= 8  # unreadable file and reason, text, speaker, sample, ...
    assert not [name for _, a in page.elements for name in a if name.startswith("on")]


def test_the_page_needs_nothing_from_anywhere(results):
    text = page_of(results)
    for _, attributes in Page(text).elements:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            assert re.match(r"data:audio/flac;base64,|#\w+$|$", attributes.get(name, ""))
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert "url(" not in style and "@import" not in style
    policy = Page(text).with_attribute("http-equiv")[0]["content"]
    assert policy.startswith("default-src 'none'")


def test_the_summary_has_the_main_numbers(results):
    text = Page(page_of(results)).text.replace("\u00a0", " ")
    assert "fell by 45 %, from 2.000 (base) to 1.100 at update 40" in text
    assert "2 recordings with 1.00 min of audio" in text  # one is a copy; its samples count as lost
    assert "1 file could not be read" in text
    assert f"{results}/runs/loud/export/" in text
    assert "too short · 0.4 (limit 0.5)" in text


def test_the_warnings_of_the_data_steps_are_listed_by_step(results):
    assert "Warnings" not in Page(page_of(results)).text
    lines = [{"step": "segment", "kind": "time", "text": f"{i}.wav {EVIL}"} for i in range(40)]
    lines.append({"step": "check_corpus", "kind": "noise", "text": "1 of 1 recordings are noisy"})
    path = results / "warnings/check_corpus/mine.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = Page(page_of(results)).text
    assert f"Warnings segment 0.wav {EVIL} 39 more like this" in text
    assert "9.wav" in text and "10.wav" not in text
    assert f"… and 30 in {path}" in text
    assert "check 1 of 1 recordings are noisy" in text
    path = results / "warnings/extend_vocabulary/loud.jsonl"
    path.parent.mkdir()
    line = {"step": "extend_vocabulary", "kind": "rare", "text": "3 characters are rare"}
    path.write_text(json.dumps(line) + "\n")
    assert "Warnings tokenizer 3 characters are rare" in Page(page_of(results)).text


def under_way(results, **status):
    """The page of the run before its end, with such a status.json."""
    run = results / "runs/loud"
    for path in ("choice.json", "training/finished.json"):
        (run / path).unlink(missing_ok=True)
    shutil.rmtree(run / "export", ignore_errors=True)
    progress = {"update": 33, "updates": 80, "left_s": 222.0, "line": f"Epoch 4/8: {EVIL}"}
    write_json(run / "training/progress.json", progress)
    write_json(run / "training/status.json", {"update": 20, **status})
    return Page(page_of(results)).text.replace("\u00a0", " ")


def test_a_running_run_shows_its_progress_and_its_best_checkpoint(results):
    best = {"update": 20, "loss": 1.3}
    said = under_way(results, state="running", reason="training", best=best)
    assert "training is at update 33 of 80 with 3.70 min left, as of 20" in said
    assert f"UTC. Latest log line: Epoch 4/8: {EVIL}" in said
    assert "2.000 → 1.300 validation loss, base → best so far (update 20)" in said
    assert "The best checkpoint so far is update 20, with a validation loss of 1.30000." in said
    assert "best so far: 1.300" in said, "on the chart"


def test_a_stopped_or_failed_run_has_the_reason(results):
    said = under_way(results, state="stopped", reason="signal SIGINT")
    assert (
        "training stopped at update 20 of 80 (signal SIGINT). The same command resumes it." in said
    )
    assert "best so far" not in said
    said = under_way(results, state="failed", reason="the disk is full")
    assert "training failed at update 20 of 80 (the disk is full)." in said
    assert "resumes" not in said


def test_the_warnings_of_training_are_listed(results):
    assert "Warnings update" not in page_of(results)
    path = results / "runs/loud/training/status.json"
    warnings = [{"update": 20, "message": f"the loss is 9 after going on {EVIL}"}]
    write_json(path, json.loads(path.read_text()) | {"warnings": warnings})
    for state in ("finished", "running"):
        write_json(path, json.loads(path.read_text()) | {"state": state})
        page = Page(page_of(results))
        assert "Warnings update 20: the loss is 9 after going on" in page.text
        assert not page.with_attribute("onerror") and EVIL in page.text
        (path.parent / "finished.json").unlink(missing_ok=True)


def test_every_speaker_is_on_the_page_with_what_they_say(results):
    page = Page(page_of(results))
    assert [a["data-voice"] for a in page.with_attribute("data-voice")] == [EVIL]
    assert page.text.count("recorded reference clip of ben") == 1
    assert "1 more speaker with a reference clip" in page.text
    assert "ben.wav best of 4 training clips: SNR 31 dB (score 0.70)" in page.text
    uris = [a["src"] for tag, a in page.elements if tag == "audio"]
    assert len(uris) >= 4 and all(uris)


def test_if_audio_must_be_left_out_each_speaker_gets_a_sample_first(results):
    run = results / "runs/loud"
    choice, manifest = (
        json.loads((run / name).read_text()) for name in ("choice.json", "export/MANIFEST.json")
    )
    choice["samples"].append({"file": "samples/01.wav", "text": "Ja.", "reference": "r0_2"})
    one = len(Clips(1 << 30).embed_file(run / "samples/00.wav")["uri"])
    voices = gather_voices(run, choice, manifest, Clips(3 * one))
    heard = {
        voice["speaker"]: [clip["uri"] is not None for clip in clips(voice)] for voice in voices
    }
    assert heard == {EVIL: [True, False, True], "ben": [True, False]}


def clips(voice):
    return [row["clip"] for row in (*voice["samples"], voice["reference"])]


def test_each_speakers_part_of_training_is_told_and_who_is_not_validated(results):
    page = Page(page_of(results))
    assert (
        "The validation set has no clips of anna, so the validation loss does not cover"
        in page.text
    )
    assert f"The training set has no clips of {EVIL}" in page.text
    rows = [a for a in page.with_attribute("data-name") if a["data-name"] == "under 6 s"]
    assert len(rows) == 3  # two speakers and all of them
    assert "normalised to" in page.text


def test_segments_that_joined_corpora_share_are_told(results):
    path = results / "runs/loud/tokenizer/coverage.json"
    assert "this run uses" not in Page(page_of(results)).text
    write_json(path, json.loads(path.read_text()) | {"texts": 7})
    assert "Of the 9 segments that the corpora keep, this run uses 7" in Page(page_of(results)).text


def test_a_decoder_that_gives_less_than_the_header_says(results):
    path = results / "corpora/mine/ledger.json"
    write_json(path, json.loads(path.read_text()) | {"decoder_difference": -240})
    assert "returned 240 samples (10.0 ms) fewer than" in Page(page_of(results)).text


def test_every_link_on_the_page_has_its_target(results):
    page = Page(page_of(results))
    targets = {a["id"] for a in page.with_attribute("id")}
    links = {a["href"] for tag, a in page.elements if tag == "a"}
    assert links and links == {f"#{target}" for target in targets}


PARTS = {
    "corpora/mine": "This corpus is not prepared yet",
    "corpora/mine/leaks.json": "Corpus mine",
    "store": "The audio file is missing",
    "runs/loud/tokenizer": "The vocabulary has not been built yet",
    "runs/loud/base": "The base has not been reset yet",
    "runs/loud/training": "This run has not been trained yet",
    "runs/loud/training/metrics.jsonl": "Nothing has been logged yet",
    "runs/loud/training/finished.json": "run is not finished: training is finished at update 40",
    "runs/loud/choice.json": "No checkpoint has been chosen yet",
    "runs/loud/samples": "The audio file .+ is missing",
    "runs/loud/export": "the voice has not been exported yet",
    "runs": "This run has not been trained yet",
}


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_has_a_sentence(results, part):
    assert part == "corpora/mine/leaks.json" or not re.search(PARTS[part], page_of(results))
    path = results / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    page = Page(page_of(results))
    assert re.search(PARTS[part], page.text)
    assert "None" not in re.sub(r"None\.", "", page.text)


def test_a_line_of_the_metrics_that_a_kill_cut_off_is_left_out(results):
    with open(results / "runs/loud/training/metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "upd')
    assert "40 updates in 4 epochs" in Page(page_of(results)).text


def test_a_corpus_without_any_usable_recording(results):
    account = json.loads((results / "corpora/mine/ledger.json").read_text())
    empty = tables.frame([], tables.SEGMENTS)
    tables.write(empty, results / "corpora/mine/segments.parquet", tables.SEGMENTS)
    nothing = {"segments": 0, "samples": 0}
    account |= {"rate_hz": None, "samples_in": 0, "kept": {"train": nothing, "val": nothing},
                "lost": [], "non_speech": 0, "recordings": 0}  # fmt: skip
    write_json(results / "corpora/mine/ledger.json", account)
    page = Page(page_of(results))
    assert "None of the recordings of this corpus could be used" in page.text


def test_clips_keep_their_samples_and_stop_at_the_budget():
    clips = Clips(budget_bytes=60_000)
    first = clips.embed(tone(1.0), RATE_HZ)
    assert first["uri"].startswith("data:audio/flac;base64,")
    long = clips.embed(tone(2 * MAX_CLIP_S), RATE_HZ)
    assert long["uri"] is None and long["seconds"] == 2 * MAX_CLIP_S
    assert long["shown_s"] == MAX_CLIP_S


def test_an_embedded_clip_is_the_clip(tmp_path):
    uri = Clips(10**6).embed(tone(1.0), RATE_HZ)["uri"]
    path = tmp_path / "clip.flac"
    path.write_bytes(base64.b64decode(uri.split(",")[1]))
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(samples, tone(1.0), atol=2**-15)


def test_the_envelope_shows_where_it_is_loud():
    samples = np.concatenate([np.zeros(100), np.full(100, -0.5), np.full(100, 0.25)])
    assert envelope(samples, 3) == [0.0, 1.0, 0.5]
    assert envelope(np.zeros(0), 3) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 8, [0, 2, 4, 6, 8]),
        (0.99, 2.15, [0.75, 1, 1.25, 1.5, 1.75, 2, 2.25]),
        (0, 9e-6, [0, 2e-6, 4e-6, 6e-6, 8e-6, 1e-5]),
        (3, 3, [3, 4, 5, 6]),
    ],
)
def test_ticks_are_round_and_span_the_values(low, high, wanted):
    assert charts.ticks(low, high) == wanted


def test_a_histogram_counts_every_segment_once():
    generator = np.random.default_rng(0)
    groups = [
        charts.Group("training", generator.normal(5, 1, 900), "kept"),
        charts.Group("validation", generator.normal(5, 1, 50), "val"),
        charts.Group("dropped", generator.normal(9, 3, 100), "lost"),
    ]
    counts = re.findall(r": (\d+) ([\w ]+)", charts.histogram(groups, "length"))
    for group in groups:
        assert sum(int(n) for n, name in counts if name == group.name) == len(group.values)
    one = charts.histogram([charts.Group("training", [2.0], "kept")], "length")
    assert re.findall(r": (\d+) training", one) == ["1"]


def test_a_long_line_is_thinned_and_keeps_its_end():
    points = [(float(i), float(i % 2)) for i in range(10_000)]
    thinned = charts.thin(points)
    assert len(thinned) == charts.MOST_POINTS and thinned[-1] == points[-1]
    assert all(0.4 < y < 0.6 for _, y in thinned[:-1])


def test_quantities_in_words():
    said = [duration(s) for s in (2.9, 23.6, 335.3, 5000, 45_000, 4e6)]
    said = [words.replace("\u00a0", " ") for words in said]
    assert said == ["2.90 s", "23.6 s", "5.59 min", "83.3 min", "12.50 h", "1,111 h"]
    assert [size(n).replace("\u00a0", " ") for n in (44, 166124, 1294481)] == [
        "44 bytes",
        "162.2 KiB",
        "1.2 MiB",
    ]


DECODED_S = """
Promise.all([...document.querySelectorAll("audio")].map(player => new Promise(done => {
  const ended = () => done(player.error ? -1 : player.duration);
  player.addEventListener("canplaythrough", ended);
  player.addEventListener("error", ended);
  player.preload = "auto";
  player.load();
})))
"""
LEDGER = """
[...document.querySelectorAll("[data-ledger]")].map(
  node => Object.fromEntries([...node.attributes].map(a => [a.name, a.value])))
"""
ROOT_ELEMENT = "document.documentElement"
SIDEWAYS_PX = f"{ROOT_ELEMENT}.scrollWidth - {ROOT_ELEMENT}.clientWidth"
PAPER = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.slow
@pytest.mark.parametrize(("width_px", "dark"), [(390, False), (1100, True)])
def test_the_page_in_a_browser(results, tmp_path, width_px, dark):
    if browser.executable() is None:
        pytest.skip("no Chromium is here to render the page")
    text = page_of(results)
    page = tmp_path / "report.html"
    page.write_text(text)
    with browser.Browser(tmp_path / "profile", width_px, dark) as chromium:
        chromium.open(page)
        decoded_s = chromium.evaluate(DECODED_S)
        assert len(decoded_s) == text.count("<audio") == 4 + 6 + 3
        assert all(0.3 < seconds < 3 for seconds in decoded_s), decoded_s
        account = json.loads((results / "corpora/mine/ledger.json").read_text())
        check_ledger(chromium.evaluate(LEDGER), account)
        assert chromium.evaluate(SIDEWAYS_PX) <= 0
        assert (chromium.evaluate(PAPER) == "rgb(251, 250, 248)") != dark
        asked = [told["request"]["url"] for told in chromium.told("Network.requestWillBeSent")]
        assert page.as_uri() in asked
        assert [url for url in asked if url != page.as_uri() and not url.startswith("data:")] == []
        complaints = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        assert [told for kind in complaints for told in chromium.told(kind)] == []
