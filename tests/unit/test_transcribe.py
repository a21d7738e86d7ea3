"""The recogniser and the blocks in the store, with the demo's own Whisper and recordings."""

import pandas as pd
import pytest
import soundfile
import soxr
from conftest import ROOT
from voicekiln.asr.whisper import RATE_HZ, WhisperRecogniser
from voicekiln.corpus import transcribe as transcribing
from voicekiln.errors import UserError
from voicekiln.store.items import Store

DEMO = ROOT / "resources" / "demo"
RECORDING = "ben/station.flac"


def rows() -> pd.DataFrame:
    table = pd.read_csv(DEMO / "sentences.tsv", sep="\t")
    return table[table["recording"] == RECORDING].head(4)


def segments():
    """The first sentences of a recording at 16 kHz, with a little silence around them."""
    samples, rate_hz = soundfile.read(DEMO / "recordings" / RECORDING, dtype="float32")
    cut = [
        samples[round((row.start_s - 0.15) * rate_hz) : round((row.end_s + 0.15) * rate_hz)]
        for row in rows().itertuples()
    ]
    return [soxr.resample(part, rate_hz, RATE_HZ) for part in cut]


@pytest.fixture(scope="module")
def recogniser():
    return WhisperRecogniser(DEMO / "whisper.pt", "en", batch=3, device="cpu")


def test_it_reads_the_sentences_golden(recogniser):
    heard = recogniser(segments()[:3])
    assert [one.text for one in heard] == list(rows()["text"].head(3))
    assert all(one.avg_logprob > -0.3 and one.no_speech_prob < 0.01 for one in heard)


def test_what_a_segment_gets_does_not_depend_on_its_company(recogniser):
    a, b, c, _ = segments()
    together = recogniser([a, b, c])
    assert recogniser([a]) == [together[0]]
    assert recogniser([c, a]) == [together[2], together[0]]


def test_a_file_that_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"model\.pt: cannot be loaded"):
        WhisperRecogniser(path, "en", batch=1, device="cpu")


def test_batches_cross_blocks_and_every_block_is_whole(tmp_path, recogniser):
    audio, texts = Store(tmp_path, "normalize"), Store(tmp_path, "transcribe")
    samples, rate_hz = soundfile.read(DEMO / "recordings" / RECORDING, dtype="int16")
    part = audio.workfile("k" * 32, "flac")
    soundfile.write(part, samples, rate_hz, format="FLAC")
    audio.put("k" * 32, {}, flac=part)
    spans = [
        (round((row.start_s - 0.15) * rate_hz), round((row.end_s + 0.15) * rate_hz))
        for row in rows().itertuples()
    ]
    wanted = [
        (transcribing.block_key(texts, "k" * 32, part), "k" * 32, part)
        for part in (spans[:1], spans[1:])
    ]
    done = []
    count = transcribing.transcribe(wanted, audio, texts, recogniser, RATE_HZ, done.append)
    assert count == 4 and done == [3, 1]
    read = [entry["text"] for key, _, _ in wanted for entry in texts.get(key)["segments"]]
    assert read == list(rows()["text"])


def test_a_recording_cut_short_is_reported(tmp_path):
    audio = Store(tmp_path, "normalize")
    part = audio.workfile("k" * 32, "flac")
    soundfile.write(part, [0.0] * 1000, 24000, format="FLAC")
    audio.put("k" * 32, {}, flac=part)
    assert len(transcribing.load_span(audio, "k" * 32, 0, 1000)) == 1000
    with pytest.raises(UserError, match="ends before sample 2000.*run snakemake again"):
        transcribing.load_span(audio, "k" * 32, 0, 2000)
    assert audio.get("k" * 32) is None
