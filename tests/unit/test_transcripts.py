"""Transcripts of a shard: terminal output, which items are made, what a second run repeats."""

import json
from pathlib import Path

import pytest
import soundfile
from corpus_rows import segment, table
from test_transcribe import DEMO, RECORDING, spans
from voicekiln import job
from voicekiln.config import resolve as config
from voicekiln.corpus.transcripts import NO_TEXT, SCORES, SEVERAL, Models, choose, complete, fill
from voicekiln.store import tables
from voicekiln.store.items import Store

STORE = Path("results", "store")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Transcribes two segments of a demo recording; the table, with what the terminal shows."""
    monkeypatch.chdir(tmp_path)
    audio = Store(STORE, "normalize")
    samples, rate_hz = soundfile.read(DEMO / "recordings" / RECORDING, dtype="float32")
    part = audio.workfile("a" * 32, "flac")
    soundfile.write(part, samples, rate_hz, format="FLAC")
    audio.put("a" * 32, {}, flac=part)
    audio.close()
    shown = []
    monkeypatch.setattr(job, "say", lambda text: text[0] == "t" and shown.append(text))

    def transcribed(language="en", **changed):
        rows = [
            {"segment_id": f"s{k}", "recording_id": "r", "path": "a.flac", "item": "a" * 32,
             "start": start, "end": end, "rate_hz": rate_hz, "language": language, "status": "keep"}
            for k, (start, end) in enumerate(spans()[:2])
        ]  # fmt: skip
        table = tables.frame(rows, tables.SEGMENTS)
        table["words"] = None
        settings = config.resolve(
            {"corpora": {"a": {"audio": "x", "language": language, "transcribe": changed}}},
        )["corpora"]["a"]["transcribe"]
        models = Models([DEMO / "whisper.pt"], [None, None], settings, threads=1, gpus=0)
        for store in complete(table, models, Store(STORE, "normalize"), STORE):
            store.close()
        return table

    transcribed.shown = shown
    return transcribed


def test_the_terminal_names_the_model_and_nothing_is_heard_twice(run):
    table = run()
    assert table["text"][0] == "Where did your mother find the empty letter?"
    assert run.shown == [f"transcribing 2 segments with {DEMO / 'whisper.pt'} on cpu"]
    assert run()["text"].equals(table["text"])
    assert len(run.shown) == 1


def test_a_language_that_the_model_does_not_know_is_told_each_time(run, caplog):
    for _ in range(2):
        caplog.clear()
        run("am")
        assert "whisper.pt: an English-only model, but the corpus is in am" in caplog.text


def test_settings_at_their_defaults_are_no_part_of_a_key_and_others_are(run):
    run()
    run(precision="auto", max_compression_ratio=2.4)
    assert len(run.shown) == 1
    run(precision="bfloat16")
    run(max_compression_ratio=2.0)
    assert len(run.shown) == 3


def transcribed(*rows):
    found = table(*rows)
    found["words"] = None
    return found


def test_without_a_model_what_has_no_text_is_dropped_with_the_reason(tmp_path):
    cut = {"status": "drop", "step": "segment", "reason": "too little speech"}
    segments = transcribed(
        segment("a text", 0, text_source="reference"),
        segment(None, 4, text_source=None),
        segment(None, 8, text_source="several", raw_text='["a", "b"]'),
        segment(None, 12, text_source=None, **cut),
    )
    assert complete(segments, None, Store(tmp_path, "normalize"), tmp_path) == []
    assert segments["reason"].fillna("").tolist() == ["", NO_TEXT, SEVERAL, "too little speech"]
    assert segments["step"].fillna("").tolist() == ["", *["transcribe"] * 2, "segment"]


@pytest.mark.parametrize(
    "hypothesis, text, source",
    [
        ("the cat sat on a mat", "The cat sat on the mat.", "reference"),
        ("something else entirely", "something else entirely", "hypothesis"),
    ],
)
def test_of_several_transcripts_the_closest_to_the_hypothesis_is_chosen(hypothesis, text, source):
    texts = ["A dog ran.", "The cat sat on the mat."]
    row = {"text_source": "several", "raw_text": json.dumps(texts), "hypothesis": hypothesis}
    segments = transcribed(segment(None, 0, **row), segment("other", 4))
    choose(segments, segments["text_source"] == "several", min_agreement=0.6)
    assert segments["text"].tolist() == [text, "other"]
    assert segments["text_source"][0] == source
    assert segments["raw_text"][0] == text
    assert segments["hypothesis"].fillna("")[0] == (hypothesis if source == "reference" else "")


def test_a_hypothesis_is_the_text_of_what_has_no_reference():
    scores = dict.fromkeys(SCORES, 0.5) | {"language_prob": None}
    records = [
        scores | {"text": text, "words": words, "language": "de", "again": False}
        for text, words in (("one", None), ("two", [["two", 0.0, 0.5, 0.9]]))
    ]
    segments = transcribed(
        segment("Eins!", 0, text_source="reference", language="en"),
        segment(None, 4, text_source=None, language="en"),
        segment(None, 8, text_source=None, language="en"),
    )
    records.append(records[1] | {"language_prob": 0.9})
    fill(segments, segments, dict(enumerate(records)))
    assert segments["text"].tolist() == ["Eins!", "two", "two"]
    assert segments["hypothesis"].fillna("").tolist() == ["one", "", ""]
    assert segments["text_source"].tolist() == ["reference", "hypothesis", "hypothesis"]
    assert segments["language"].tolist() == ["en", "en", "de"], "only a detected language counts"
    assert segments["words"][1] == '[["two",0.0,0.5,0.9]]' and segments["agreement"][0] == 0.5
