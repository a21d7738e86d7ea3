"""The demo's shipped resources: recordings, the small Whisper and the F5 base."""

import csv
import json
import sys
from collections import Counter

import av
import numpy as np
import pytest
import soundfile
import soxr
import torch
import whisper
from conftest import ROOT

DEMO = ROOT / "resources" / "demo"
MARGIN_S = 0.2  # of silence around a sentence, as segments have
sys.path.insert(0, str(DEMO))
import speech  # noqa: E402


def sentence_rows() -> list[dict]:
    with open(DEMO / "sentences.tsv", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t"))


def decoded(path) -> tuple[np.ndarray, int]:
    """Mono samples and their rate; soundfile where it can, FFmpeg otherwise."""
    try:
        samples, rate_hz = soundfile.read(path, always_2d=True, dtype="float32")
        return samples.mean(1), rate_hz
    except soundfile.LibsndfileError:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            to_mono = av.AudioResampler("flt", "mono", stream.rate)
            frames = [f for frame in container.decode(stream) for f in to_mono.resample(frame)]
            frames += to_mono.resample(None)
            return np.concatenate([f.to_ndarray()[0] for f in frames]), stream.rate


def recording_names() -> set[str]:
    return {row["recording"] for row in sentence_rows()}


def recordings() -> dict[str, tuple[np.ndarray, int]]:
    return {name: decoded(DEMO / "recordings" / name) for name in sorted(recording_names())}


def clip_16k(row: dict, audio: tuple[np.ndarray, int]) -> np.ndarray:
    """The sentence cut in its pauses and brought to a common level, by way of 24 kHz."""
    samples, rate_hz = audio
    start, end = float(row["start_s"]) - MARGIN_S, float(row["end_s"]) + MARGIN_S
    clip = samples[round(start * rate_hz) : round(end * rate_hz)]
    clip = clip - clip.mean()
    clip = clip * 10 ** (-23 / 20) / np.sqrt(np.mean(clip**2))
    return soxr.resample(soxr.resample(clip, rate_hz, 24000), 24000, 16000)


def word_error_rate(rows: list[dict]) -> float:
    model = whisper.load_model(str(DEMO / "whisper.pt"), device="cpu")
    options = whisper.DecodingOptions(
        language="en", without_timestamps=True, temperature=0.0, fp16=False
    )
    audio = {name: decoded(DEMO / "recordings" / name) for name in {r["recording"] for r in rows}}
    errors = 0
    for at in range(0, len(rows), 8):
        batch = rows[at : at + 8]
        clips = [whisper.pad_or_trim(clip_16k(row, audio[row["recording"]])) for row in batch]
        mels = torch.stack([whisper.log_mel_spectrogram(clip) for clip in clips])
        read = whisper.decode(model, mels, options)
        errors += sum(
            speech.word_errors(row["text"], r.text) for row, r in zip(batch, read, strict=True)
        )
    return errors / sum(len(speech.plain_words(row["text"])) for row in rows)


def test_recordings_are_as_the_list_of_sentences_says():
    rows, audio = sentence_rows(), recordings()
    assert 180 < sum(len(x) / rate for x, rate in audio.values()) < 360
    assert 70 <= len(rows) <= 100
    assert len(audio) >= 4 and len({rate for _, rate in audio.values()}) >= 3
    for name, (samples, rate_hz) in audio.items():
        samples = np.abs(samples - np.median(samples))
        own = [row for row in rows if row["recording"] == name]
        ends = [0.0] + [float(row["end_s"]) for row in own]
        for before, row in zip(ends, own, strict=False):
            start, end = float(row["start_s"]), float(row["end_s"])
            assert row["voice"] == name.split("/")[0]
            assert start - before >= 0.6
            pause = samples[round((before + 0.1) * rate_hz) : round((start - 0.05) * rate_hz)]
            said = samples[round(start * rate_hz) : round(end * rate_hz)]
            assert np.sqrt(np.mean(said**2)) > 10 * np.sqrt(np.mean(pause**2))
        assert ends[-1] < len(samples) / rate_hz


def test_recordings_hold_an_exact_copy_and_a_text_in_two_voices():
    rows = sentence_rows()
    twice = [text for text, n in Counter(row["text"] for row in rows).items() if n == 2]
    assert len(twice) == 2
    pairs = [[row for row in rows if row["text"] == text] for text in twice]
    (first, copy), (one, other) = sorted(pairs, key=lambda p: p[0]["voice"] != p[1]["voice"])
    assert one["voice"] != other["voice"]
    assert first["recording"] == copy["recording"]
    samples, rate_hz = decoded(DEMO / "recordings" / first["recording"])
    n = round((float(first["end_s"]) - float(first["start_s"]) + 0.6) * rate_hz)
    at, again = (round((float(row["start_s"]) - 0.3) * rate_hz) for row in (first, copy))
    assert np.array_equal(samples[at : at + n], samples[again : again + n])


def test_containers_differ_and_one_file_is_broken():
    known = recording_names()
    files = {p.relative_to(DEMO / "recordings") for p in (DEMO / "recordings").rglob("*.*")}
    (broken,) = {str(f) for f in files} - known
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(DEMO / "recordings" / broken)
    with pytest.raises(av.FFmpegError):
        av.open(str(DEMO / "recordings" / broken))
    for name in ("anna/letters.m4a", "dora/winter.webm"):
        with pytest.raises(soundfile.LibsndfileError):
            soundfile.info(DEMO / "recordings" / name)
        with av.open(str(DEMO / "recordings" / name)) as container:
            assert container.duration / 1e6 > 30
    assert soundfile.info(DEMO / "recordings" / "ben/market.ogg").channels == 2


def test_whisper_reads_some_sentences_and_no_speech_in_noise():
    assert (DEMO / "whisper.pt").stat().st_size < 1e6
    assert word_error_rate(sentence_rows()[::9]) <= 0.05
    model = whisper.load_model(str(DEMO / "whisper.pt"), device="cpu")
    assert model.dims.n_vocab == 51864 and model.dims.n_audio_ctx == 1500
    noise = speech.background(3 * 16000, -40, np.random.default_rng(5))
    mels = [
        whisper.log_mel_spectrogram(whisper.pad_or_trim(x))
        for x in (noise, np.zeros(16000, np.float32), 0.01 * noise)
    ]
    options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False)
    read = whisper.decode(model, torch.stack(mels), options)
    # the rule by which whisper.transcribe takes a window for silence
    assert all(r.no_speech_prob > 0.6 and r.avg_logprob < -1.0 for r in read)


@pytest.mark.slow
def test_whisper_reads_all_sentences():
    assert word_error_rate(sentence_rows()) <= 0.05


def test_base_is_stored_as_a_finished_run():
    path = DEMO / "f5" / "model_380000.pt"
    assert path.stat().st_size < 5e6
    checkpoint = torch.load(path, weights_only=True, map_location="cpu")
    assert list(checkpoint) == [
        "model_state_dict",
        "optimizer_state_dict",
        "ema_model_state_dict",
        "scheduler_state_dict",
        "update",
    ]
    assert checkpoint["update"] == 380000
    assert set(checkpoint["optimizer_state_dict"]) == {"state", "param_groups"}
    ema = checkpoint["ema_model_state_dict"]
    assert bool(ema["initted"]) and int(ema["step"]) > 0
    names = {f"ema_model.{name}" for name in checkpoint["model_state_dict"]}
    assert set(ema) == names | {"initted", "step"}
    values = [value for value in ema.values() if value.is_floating_point()]
    assert all(torch.isfinite(value).all() for value in values)


def test_base_vocabulary_lacks_characters_of_the_demo():
    lines = (DEMO / "f5" / "vocab.txt").read_text().split("\n")
    assert lines[0] == " " and lines[-1] == ""
    tokens = lines[:-1]
    assert len(set(tokens)) == len(tokens)
    rows = torch.load(DEMO / "f5" / "model_380000.pt", weights_only=True)["ema_model_state_dict"][
        "ema_model.transformer.text_embed.text_embed.weight"
    ]
    assert len(rows) == len(tokens) + 1
    missing = {c for row in sentence_rows() for c in row["text"]} - set(tokens)
    assert set("TD.?x") <= missing


def test_base_loads_strictly_into_the_architecture_beside_it():
    import voicekiln.upstream  # noqa: F401
    from f5_tts.model import CFM, DiT

    values = json.loads((DEMO / "f5" / "model.json").read_text())
    assert values.pop("backbone") == "DiT"
    n_tokens = len((DEMO / "f5" / "vocab.txt").read_text().splitlines())
    model = CFM(transformer=DiT(**values, mel_dim=100, text_num_embeds=n_tokens))
    checkpoint = torch.load(DEMO / "f5" / "model_380000.pt", weights_only=True)
    model.load_state_dict(checkpoint["model_state_dict"], strict=True)
