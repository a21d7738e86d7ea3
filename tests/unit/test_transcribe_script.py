"""The script of the step: what it says, which items it makes, what a second run repeats."""

from types import SimpleNamespace

import pytest
import soundfile
import transcribe
from test_transcribe import DEMO, RECORDING, spans
from voicekiln import job
from voicekiln.config import resolve as config
from voicekiln.store import tables
from voicekiln.store.items import Store


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Transcribes two segments of a demo recording; the table, with what the terminal shows."""
    monkeypatch.chdir(tmp_path)
    audio = Store(transcribe.STORE, "normalize")
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
        smk = SimpleNamespace(
            input=SimpleNamespace(model=str(DEMO / "whisper.pt"), second_model=[]),
            params=SimpleNamespace(settings={"transcribe": settings}, sha256=[None, None]),
            threads=1,
        )
        transcribe.recognise(smk, settings, table, table).close()
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
        assert "whisper.pt was trained on English alone, and the corpus is in am" in caplog.text


def test_settings_at_their_defaults_are_no_part_of_a_key_and_others_are(run):
    run()
    run(precision="auto", max_compression_ratio=2.4)
    assert len(run.shown) == 1
    run(precision="bfloat16")
    run(max_compression_ratio=2.0)
    assert len(run.shown) == 3
