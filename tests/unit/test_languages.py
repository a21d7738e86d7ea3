"""Languages of segments, given and detected, by a tiny multilingual Whisper with random weights."""

from dataclasses import asdict, replace

import pytest
import torch
from test_transcribe import clips, noise
from voicekiln.asr import engines
from voicekiln.asr.convert import convert
from whisper.model import ModelDimensions, Whisper

DIMS = ModelDimensions(80, 1500, 32, 2, 1, 51865, 16, 32, 2, 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "random.pt"
    model = Whisper(DIMS)
    torch.nn.init.normal_(model.decoder.positional_embedding)
    torch.save({"dims": asdict(DIMS), "model_state_dict": model.state_dict()}, path)
    return path


@pytest.fixture(scope="module", params=["whisper", "faster-whisper"])
def recogniser(request, checkpoint):
    if request.param == "whisper":
        return engines.load(checkpoint, 3, "cpu", word_times=False)
    convert(checkpoint, checkpoint.parent)
    return engines.load(checkpoint.with_name("model.bin"), 3, "cpu", word_times=False)


def test_a_language_is_detected_only_if_not_given(recogniser):
    spoken = [replace(clips()[0], language=code) for code in ("am", None, "xx")]
    given, detected, unknown = recogniser.transcribe(spoken, 3)
    assert (given.language, given.language_prob) == ("am", None)
    assert 0 < detected.language_prob <= 1
    # a language that Whisper does not know is read as the nearest, whose probability says nothing
    assert (unknown.language, unknown.language_prob) == (detected.language, None)


def test_each_clip_of_a_batch_is_decoded_in_its_own_language(recogniser):
    mixed = [replace(noise(), language="am"), replace(noise(), language="de")]
    together = recogniser.transcribe(mixed, 2)
    assert together[0].avg_logprob != together[1].avg_logprob
    assert [recogniser.transcribe([clip], 2)[0] for clip in mixed] == together


def test_both_engines_detect_the_same(checkpoint, tmp_path):
    convert(checkpoint, tmp_path, "float32")
    spoken = [replace(clip, language=None) for clip in clips()[:2]]
    models = (checkpoint, tmp_path / "model.bin")
    one, two = (
        engines.load(model, 2, "cpu", word_times=True).transcribe(spoken, 2) for model in models
    )
    assert [(a.language, a.text) for a in one] == [(b.language, b.text) for b in two]
    for a, b in zip(one, two, strict=True):
        assert a.language_prob == pytest.approx(b.language_prob, abs=1e-3)
        assert len(a.words) == len(b.words)


def test_language_probabilities(recogniser):
    (likely,) = recogniser.language_probabilities(clips()[:1])
    (detected,) = recogniser.transcribe([replace(clips()[0], language=None)], 1)
    assert sum(likely.values()) == pytest.approx(1, abs=1e-3)
    assert max(likely, key=likely.get) == detected.language
    assert likely[detected.language] == pytest.approx(detected.language_prob, abs=1e-4)
