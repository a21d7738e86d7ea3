"""The second engine: a converted checkpoint returns the original's results, offline."""

import json
import socket

import faster_whisper
import pytest
import tokenizers
from conftest import ROOT
from test_transcribe import clips
from voicekiln.asr import engines
from voicekiln.asr.convert import convert, hf_tokenizer
from voicekiln.asr.faster_whisper import FasterWhisperRecogniser
from voicekiln.asr.whisper import WhisperRecogniser
from voicekiln.config import whisper_models
from voicekiln.errors import UserError
from whisper.tokenizer import get_tokenizer

CHECKPOINT = ROOT / "resources" / "demo" / "whisper.pt"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network is asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The demo's checkpoint, converted for faster-whisper."""
    folder = tmp_path_factory.mktemp("converted")
    convert(CHECKPOINT, folder)
    return folder


@pytest.fixture(scope="module")
def recogniser(folder):
    return engines.load(folder / "model.bin", batch=3, device="cpu", word_times=True)


def test_both_engines_return_the_same_words_and_times(recogniser):
    original = WhisperRecogniser(CHECKPOINT, batch=3, device="cpu")
    heard = recogniser.transcribe(clips()[:3], 3)
    for ours, theirs in zip(heard, original.transcribe(clips()[:3], 3), strict=True):
        assert ours.text == theirs.text and ours.language == theirs.language
        assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-3)
        assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-3)
        assert [w[0] for w in ours.words] == [w[0] for w in theirs.words]
        for (_, *times, _), (_, *others, _) in zip(ours.words, theirs.words, strict=True):
            assert times == pytest.approx(others, abs=0.05)


def test_int8_returns_the_same_text(folder, recogniser):
    small = engines.load(folder / "model.bin", 1, "cpu", word_times=False, precision="int8")
    [ours], [theirs] = (one.transcribe(clips()[:1], 1) for one in (small, recogniser))
    assert ours.text == theirs.text
    assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=0.1)


def test_an_unsupported_precision_is_rejected(folder):
    with pytest.raises(UserError, match="does not support float16 on cpu, only .*int8"):
        engines.load(folder / "model.bin", 1, "cpu", word_times=False, precision="float16")


def test_results_do_not_depend_on_the_other_clips_of_a_batch(recogniser):
    a, b, _, _ = clips()
    for way in ({}, {"temperature": 1.0}, {"beams": 2}):
        together = recogniser.transcribe([a, b], 2, **way)
        assert recogniser.transcribe([b], 2, **way) == together[1:]
        assert recogniser.transcribe([b, a], 3, **way) == together[::-1]


def test_faster_whisper_itself_loads_the_folder_without_a_network(folder):
    model = faster_whisper.WhisperModel(
        str(folder), device="cpu", compute_type="float32", local_files_only=True
    )
    found, _ = model.transcribe(clips()[2].samples, language="en", without_timestamps=True)
    assert next(found).text.strip().startswith("We could hear the snow")


def test_the_conversion_is_deterministic(folder, tmp_path):
    convert(CHECKPOINT, tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert engines.digest(folder / "model.bin") == engines.digest(tmp_path / "model.bin")


@pytest.mark.parametrize("multilingual", [False, True])
def test_the_tokenizer_keeps_every_id(multilingual):
    ours = get_tokenizer(multilingual, num_languages=99)
    theirs = hf_tokenizer(ours)
    assert theirs.get_vocab_size() == ours.encoding.n_vocab
    for text in ("It's 10 o'clock,\n  isn't it?", "ሰላም ለዓለም!", "مرحبا بالعالم", "日本語 naïve"):
        ids = theirs.encode(text, add_special_tokens=False).ids
        assert ids == ours.encode(text) and theirs.decode(ids) == text
    for name in ("<|endoftext|>", "<|am|>", "<|nospeech|>", "<|notimestamps|>", "<|30.00|>"):
        assert theirs.token_to_id(name) == ours.encoding._special_tokens[name]


def test_a_folder_without_tokenizer_is_rejected(folder, tmp_path):
    for path in folder.iterdir():
        if path.name != "tokenizer.json":
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(UserError, match=r"tokenizer\.json is missing.*to have it converted"):
        FasterWhisperRecogniser(tmp_path, batch=1, device="cpu")


def test_a_damaged_model_is_reported(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:1000])
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match="CTranslate2 cannot load the model"):
        FasterWhisperRecogniser(tmp_path, batch=1, device="cpu")


def test_the_folder_states_the_maximum_text_length(folder):
    assert json.loads((folder / "config.json").read_text())["n_text_ctx"] == 256
    assert tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size() == 51864


def test_models_are_found_where_they_are_fetched_and_converted(folder, tmp_path):
    section = {"engine": "faster-whisper", "sha256": "0" * 64, "second_sha256": None}
    given = section | {"model": str(folder), "second_model": str(CHECKPOINT)}
    assert whisper_models.input_file(given, "model", tmp_path) == str(folder / "model.bin")
    assert whisper_models.input_file(given, "second_model", tmp_path) == str(CHECKPOINT)
    assert whisper_models.expected_sha256(given, tmp_path) == ["0" * 64, None]
    fetched = section | {"model": "tiny", "second_model": None}
    model = whisper_models.find(fetched, "model", tmp_path)
    assert str(model.path) == "results/models/whisper/tiny.pt"
    name = whisper_models.converted_name(fetched, tmp_path)
    file = whisper_models.input_file(fetched, "model", tmp_path)
    assert file == f"results/models/ctranslate2/{name}/model.bin" and name.startswith("tiny-")
    assert whisper_models.expected_sha256(fetched, tmp_path) == [None, None]
    plain = fetched | {"engine": "whisper"}
    assert whisper_models.input_file(plain, "model", tmp_path) == "results/models/whisper/tiny.pt"
