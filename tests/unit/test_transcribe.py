"""The recogniser, its passes and its blocks in the store, with the demo's Whisper."""

import socket
from functools import cache

import jiwer
import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch
import whisper
from conftest import ROOT
from corpus_rows import segment, table
from voicekiln.asr import transcriber
from voicekiln.asr import whisper as asr
from voicekiln.asr.hypothesis import RATE_HZ, Clip, Hypothesis
from voicekiln.asr.transcriber import Transcriber, TranscriberSettings
from voicekiln.asr.whisper import WhisperRecogniser, halve, log_mel
from voicekiln.audio.span import load_span
from voicekiln.corpus import transcribe as transcribing
from voicekiln.corpus.segments.chunks import chunks
from voicekiln.errors import UserError
from voicekiln.store.items import Store

DEMO = ROOT / "resources" / "demo"
RECORDING = "ben/station.flac"
ITEM = "k" * 32
PLAIN = TranscriberSettings(temperatures=(0.0,), second="none", min_agreement=0.8)


@cache
def recording():
    return soundfile.read(DEMO / "recordings" / RECORDING, dtype="float32")


def rows() -> pd.DataFrame:
    whole = pd.read_csv(DEMO / "sentences.tsv", sep="\t")
    return whole[whole["recording"] == RECORDING].head(4)


def spans() -> list[tuple[int, int]]:
    """The first sentences of a recording with a little silence around them, in samples."""
    _, rate_hz = recording()
    return [
        (round((row.start_s - 0.15) * rate_hz), round((row.end_s + 0.15) * rate_hz))
        for row in rows().itertuples()
    ]


@cache
def clips() -> list[Clip]:
    samples, rate_hz = recording()
    return [
        Clip(soxr.resample(samples[start:end], rate_hz, RATE_HZ), "en") for start, end in spans()
    ]


@cache
def noise() -> Clip:
    """A clip without speech."""
    drawn = np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ)
    return Clip(drawn.astype(np.float32), "en")


@pytest.fixture(scope="module")
def recogniser():
    return WhisperRecogniser(DEMO / "whisper.pt", batch=3, device="cpu")


@pytest.fixture
def stores(tmp_path):
    """The store of normalised audio with the demo's recording in it, and one of transcripts."""
    audio, texts = Store(tmp_path, "normalize"), Store(tmp_path, "transcribe")
    samples, rate_hz = recording()
    part = audio.workfile(ITEM, "flac")
    soundfile.write(part, samples, rate_hz, format="FLAC")
    audio.put(ITEM, {}, flac=part)
    return audio, texts


# text, avg_logprob, no_speech_prob, end of the fourth word
GOLDEN = [
    ("Where did your mother find the empty letter?", -0.04124, 0.00001, 1.3),
    ("My father painted nine boats and twelve birds.", -0.01933, 0.00011, 1.34),
]
GOLDEN_NOISE = ("Laura", -3.76131, 0.99559)


def test_golden(recogniser):
    """If this fails because results changed, raise VERSION and update the numbers."""
    assert (asr.VERSION, transcriber.VERSION, transcribing.VERSION) == (2, 2, 2)
    for one, golden in zip(recogniser.transcribe(clips()[:2], 3), GOLDEN, strict=True):
        text, *scores, end_s = golden
        assert one.text == text and one.language_prob is None
        assert [one.avg_logprob, one.no_speech_prob] == pytest.approx(scores, abs=1e-3)
        assert one.words[3][2] == pytest.approx(end_s, abs=0.1)
    for way in ({"temperature": 1.0}, {"beams": 3}):
        assert recogniser.transcribe(clips()[:1], 1, **way)[0].text == GOLDEN[0][0]
    [one] = recogniser.transcribe([noise()], 1)
    text, *scores = GOLDEN_NOISE
    assert one.text == text
    assert [one.avg_logprob, one.no_speech_prob] == pytest.approx(scores, abs=1e-2)


def test_words_form_the_text_and_are_ordered_within_the_clip(recogniser):
    for clip, one in zip(clips()[:3], recogniser.transcribe(clips()[:3], 3), strict=True):
        words, starts, ends, probabilities = zip(*one.words, strict=True)
        assert "".join(words).strip() == one.text
        assert all(0 <= start <= end for start, end in zip(starts, ends, strict=True))
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))
        assert ends[-1] <= len(clip.samples) / RATE_HZ and min(probabilities) > 0


def test_word_times_equal_those_of_upstream(recogniser):
    """Passing features instead of computing them twice does not change the times."""
    model = whisper.load_model(str(DEMO / "whisper.pt"), device="cpu")
    tokenizer = whisper.tokenizer.get_tokenizer(multilingual=False)
    clip = clips()[0]
    [ours] = recogniser.transcribe([clip], 1)
    duration_s = len(clip.samples) / RATE_HZ
    tokens = tokenizer.encode(ours.text)
    segment = {"seek": 0, "start": 0.0, "end": duration_s, "tokens": tokens}
    whisper.timing.add_word_timestamps(
        segments=[segment],
        model=model,
        tokenizer=tokenizer,
        mel=whisper.log_mel_spectrogram(whisper.pad_or_trim(clip.samples)),
        num_frames=len(clip.samples) // 160,
        last_speech_timestamp=0.0,
    )
    theirs = [[w["word"], w["start"], min(w["end"], duration_s)] for w in segment["words"]]
    assert len(theirs) > 5
    for (word, start_s, end_s, _), (said, began, ended) in zip(ours.words, theirs, strict=True):
        assert (word, start_s, end_s) == (
            said,
            pytest.approx(began),
            pytest.approx(ended, abs=0.01),
        )


def test_results_do_not_depend_on_the_other_clips_of_a_batch(recogniser):
    a, b, c, _ = clips()
    for way in ({}, {"temperature": 0.8}, {"beams": 2}):
        together = recogniser.transcribe([a, b], 2, **way)
        assert recogniser.transcribe([a], 2, **way) == [together[0]]
        assert recogniser.transcribe([b, c], 2, **way)[0] == together[1]


def test_sampling_differs_between_temperatures_and_is_reproducible(recogniser):
    texts = [recogniser.transcribe([noise()], 1, temperature=t)[0].text for t in (0.9, 1.0, 1.0)]
    assert texts[0] != texts[1] == texts[2]


def test_batched_beam_search_equals_that_of_single_clips(recogniser):
    model = whisper.load_model(str(DEMO / "whisper.pt"), device="cpu")
    options = whisper.DecodingOptions(
        language="en", without_timestamps=True, fp16=False, beam_size=2
    )
    for clip, one in zip(clips()[:2], recogniser.transcribe(clips()[:2], 2, beams=2), strict=True):
        alone = whisper.decode(model, log_mel(clip.samples, 80, "cpu"), options)
        assert (one.text, one.avg_logprob) == (alone.text, pytest.approx(alone.avg_logprob, 1e-3))


@pytest.mark.parametrize("seconds", [0.1, 2.345, 29.99, 30.0])
def test_the_spectrogram_equals_that_of_upstream(seconds):
    samples = np.resize(recording()[0], round(seconds * RATE_HZ))
    theirs = whisper.log_mel_spectrogram(whisper.pad_or_trim(samples), 80)
    assert torch.allclose(log_mel(samples, 80, "cpu"), theirs, atol=1e-5)


def test_half_precision_weights_do_not_change_half_precision_results():
    whole, half = (whisper.load_model(str(DEMO / "whisper.pt"), device="cpu") for _ in range(2))
    halve(half)
    mel = log_mel(clips()[0].samples, 80, "cpu").half()[None]
    tokens = torch.tensor([[50257, 50362, 464]])
    assert torch.equal(whole(mel, tokens), half(mel, tokens))


class Script:
    """A recogniser that answers from a table: `{clip's first sample: [(way, text, logprob)]}`."""

    batch, retry_batch, second_decode = 4, 1, {"temperature": 0.4}

    def __init__(self, **answers):
        self.answers, self.asked = answers, []

    def transcribe(self, clips, size, temperature=0.0, beams=1):
        assert 0 < len(clips) <= size
        way = f"beam{beams}" if beams > 1 else f"t{temperature}"
        self.asked.append((way, [clip.language for clip in clips]))
        return [self.answer(clip.language, way) for clip in clips]

    def answer(self, name, way):
        text, logprob, ratio = self.answers[name].get(way, ("as said", -0.1, 1.0))
        temperature = float(way[1:]) if way.startswith("t") else 0.0
        return Hypothesis(text, "en", None, logprob, 0.0, ratio, temperature, None)


def listened(recogniser, names, other=None, **settings):
    """Records of clips with these names (in the place of languages), ever shorter."""
    settings = {"temperatures": (0.0, 0.5, 1.0), "second": "none", "min_agreement": 0.8} | settings
    transcriber = Transcriber(recogniser, other, TranscriberSettings(**settings))
    return transcriber([Clip(np.zeros(9 - i, np.float32), name) for i, name in enumerate(names)])


def test_batches_have_clips_of_similar_length():
    script = Script(a={}, b={}, c={}, d={}, e={})
    listened(script, "abcde")
    assert script.asked == [("t0.0", ["e", "d", "c", "b"]), ("t0.0", ["a"])]


def test_only_doubtful_texts_are_decoded_again_until_one_is_accepted():
    script = Script(
        good={},
        unsure={"t0.0": ("x", -2.0, 1.0)},
        loops={"t0.0": ("la la la", -0.1, 5.0), "t0.5": ("la la", -0.1, 3.0)},
    )
    records = listened(script, ["good", "unsure", "loops"])
    assert [(r["text"], r["temperature"]) for r in records] == [
        ("as said", 0.0),
        ("as said", 0.5),
        ("as said", 1.0),
    ]
    again = [(way, name) for way, names in script.asked[1:] for name in names]
    assert again == [("t0.5", "loops"), ("t0.5", "unsure"), ("t1.0", "loops")]


def test_without_an_accepted_text_the_most_probable_nonrepetitive_one_is_used():
    bad = {"t0.0": ("la", -0.1, 5.0), "t0.5": ("so", -1.5, 1.0), "t1.0": ("fa", -1.2, 1.0)}
    [record] = listened(Script(bad=bad), ["bad"])
    assert (record["text"], record["avg_logprob"]) == ("fa", -1.2)


def test_disagreeing_decodes_get_a_third_and_the_majority_is_used(caplog):
    caplog.set_level("INFO")
    first = Script(
        sure={}, split={"t0.0": ("one thing", -0.1, 1.0), "beam5": ("another", -0.2, 1.0)}
    )
    second = Script(sure={}, split={"t0.0": ("an other", -0.1, 1.0)})
    records = listened(first, ["sure", "split"], second, second="all")
    assert [(r["text"], r["again"]) for r in records] == [("as said", False), ("another", True)]
    assert records[0]["agreement"] == 1.0 and 0.4 < records[1]["agreement"] < 0.8
    assert "transcribing 1 segments a third time because their decodes disagree" in caplog.text


def test_only_doubtful_texts_get_a_second_opinion_of_the_same_model():
    script = Script(sure={}, unsure={"t0.0": ("x", -0.7, 1.0), "t0.4": ("x", -0.7, 1.0)})
    records = listened(script, ["sure", "unsure"], second="doubtful")
    assert [r["agreement"] for r in records] == [None, 1.0]
    assert script.asked[1:] == [("t0.4", ["unsure"])]


def test_silence_is_not_decoded_again(recogniser):
    [record] = Transcriber(recogniser, None, TranscriberSettings((0.0, 1.0), "doubtful", 0.8))(
        [noise()]
    )
    assert record["agreement"] is None and not record["again"]
    assert record["temperature"] == 0.0
    assert record["no_speech_prob"] > 0.9 and record["avg_logprob"] < -1


def test_batches_span_blocks_and_every_block_is_complete(stores, recogniser):
    audio, texts = stores
    wanted = [
        block
        for part in (spans()[:1], spans()[1:])
        for block in transcribing.blocks(texts, ITEM, "en", part)
    ]
    done = []
    transcriber = Transcriber(recogniser, None, PLAIN)
    transcribing.transcribe(wanted, audio, texts, transcriber, done.append)
    assert done == [3, 1]
    read = [entry["text"] for block in wanted for entry in texts.get(block.key)["segments"]]
    assert read == list(rows()["text"])


def test_a_killed_job_keeps_completed_blocks(stores):
    audio, texts = stores
    script = Script(en={})

    class Killed(Exception):
        pass

    def die(n):
        if len(script.asked) == 10:  # batches of 4; a window is 8 of them
            raise Killed

    wanted = list(transcribing.blocks(texts, ITEM, "en", [(i, i + 400) for i in range(70)]))
    assert [len(block.spans) for block in wanted] == [32, 32, 6]
    with pytest.raises(Killed):
        transcribing.transcribe(wanted, audio, texts, Transcriber(script, None, PLAIN), die)
    assert [texts.get(block.key) is not None for block in wanted] == [True, False, False]


def test_a_long_segment_is_transcribed_in_parts_cut_at_pauses(stores, recogniser):
    audio, texts = stores
    _, rate_hz = recording()
    whole = (0, 36 * rate_hz)
    cut = chunks(audio, ITEM, *whole)
    assert [cut[0][0], cut[-1][1]] == list(whole)
    assert all(a[1] == b[0] for a, b in zip(cut, cut[1:], strict=False))
    said = pd.read_csv(DEMO / "sentences.tsv", sep="\t")
    said = said[(said["recording"] == RECORDING) & (said["end_s"] < 36)]
    for at in (start / rate_hz for start, _ in cut[1:]):
        assert not ((said["start_s"] < at) & (at < said["end_s"])).any(), f"cut at {at:.2f} s"

    row = segment(None, 0, 1, item=ITEM, language="en") | {"end": whole[1], "rate_hz": rate_hz}
    plan = transcribing.plan(table(row), None, audio, texts)
    transcribing.transcribe(plan.blocks, audio, texts, Transcriber(recogniser, None, PLAIN))
    [record] = plan.records(texts).values()
    assert jiwer.wer(" ".join(said["text"]), record["text"]) < 0.25  # one sentence may be truncated
    assert "".join(word for word, *_ in record["words"]).split() == record["text"].split()
    starts = [start_s for _, start_s, _, _ in record["words"]]
    assert starts == sorted(starts) and starts[-1] > said["start_s"].iloc[-1]


def test_speech_without_any_pause_is_cut_where_it_is_quietest(tmp_path):
    audio, rate_hz = Store(tmp_path, "normalize"), 16000
    seconds = np.arange(70 * rate_hz) / rate_hz
    dip = 1 - 0.5 * (abs(seconds - 21.0) < 0.2)
    part = audio.workfile(ITEM, "flac")
    tone = 0.2 * dip * np.sin(seconds * 700)
    soundfile.write(part, tone, rate_hz, format="FLAC")
    audio.put(ITEM, {}, flac=part)
    cut = chunks(audio, ITEM, 0, len(seconds))
    assert all(end - start <= 30 * rate_hz for start, end in cut)
    assert abs(cut[0][1] / rate_hz - 21.0) < 0.2


def test_a_truncated_recording_is_reported(tmp_path):
    audio = Store(tmp_path, "normalize")
    part = audio.workfile(ITEM, "flac")
    soundfile.write(part, [0.0] * 1000, 24000, format="FLAC")
    audio.put(ITEM, {}, flac=part)
    assert len(load_span(audio, ITEM, 0, 1000)) == 1000
    with pytest.raises(UserError, match="ends before sample 2000.*run snakemake again"):
        load_span(audio, ITEM, 0, 2000)
    assert audio.get(ITEM) is None


def test_a_file_other_than_a_checkpoint_is_reported(tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match=r"model\.pt: expected a checkpoint, this is text"):
        WhisperRecogniser(path, batch=1, device="cpu")


class Evil:
    def __reduce__(self):
        return print, ("executed",)


def test_a_checkpoint_with_code_is_rejected_with_the_name_of_the_code(tmp_path, capsys):
    path = tmp_path / "model.pt"
    torch.save({"dims": {}, "model_state_dict": Evil()}, path)
    with pytest.raises(UserError, match=r"model\.pt: rejected, .*builtins\.print"):
        WhisperRecogniser(path, batch=1, device="cpu")
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "content, said",
    [
        ({"model.encoder.conv1.weight": torch.zeros(1)}, "expected openai-whisper's format"),
        ({"dims": {"n_mels": 80}, "model_state_dict": {}}, "do not match the dimensions"),
    ],
)
def test_checkpoints_of_other_formats_are_reported(tmp_path, content, said):
    path = tmp_path / "model.pt"
    torch.save(content, path)
    with pytest.raises(UserError, match=said):
        WhisperRecogniser(path, batch=1, device="cpu")


def test_no_network_access(monkeypatch, stores):
    def refuse(*_):
        raise AssertionError("the network is asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    audio, texts = stores
    recogniser = WhisperRecogniser(DEMO / "whisper.pt", batch=1, device="cpu")
    wanted = list(transcribing.blocks(texts, ITEM, "en", spans()[:1]))
    transcribing.transcribe(wanted, audio, texts, Transcriber(recogniser, None, PLAIN))
    assert texts.get(wanted[0].key) is not None
