"""Speech of the XTTS family, against coqui-tts's own inference with the same files."""

import sys

import numpy as np
import pytest
import soundfile
import torch
import voicekiln.upstream  # noqa: F401  (coqui-tts can be imported after it)
from voicekiln.errors import UserError
from voicekiln.families import Clip
from voicekiln.families.xtts import mel, sizes, vocoder, weights
from voicekiln.families.xtts.model import build
from voicekiln.families.xtts.speak import speak
from voicekiln.families.xtts.splitting import parts
from voicekiln.families.xtts.text import tokenizer
from xtts_small import base_files

TEXT = "The quick brown fox, and a dog."
MAX_CODES = 40  # an untrained model seldom stops
GREEDY = {"temperature": 0, "repetition_penalty": 5.0}


@pytest.fixture(scope="module")
def base(xtts_release):
    return base_files(xtts_release)


@pytest.fixture(scope="module")
def upstream(xtts_release):
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    config = XttsConfig()
    config.load_json(str(xtts_release / "config.json"))
    model = Xtts(config)
    model.load_checkpoint(config, checkpoint_dir=str(xtts_release))
    model.gpt.max_gen_mel_tokens = MAX_CODES
    return model


@pytest.fixture(scope="module")
def voice(base):
    """Model, tokenizer and decoder of the release."""
    arch = sizes.architecture(None, base) | {"max_audio_tokens": MAX_CODES + 3}
    tensors = weights.read_weights(base["model"])
    positions = "mel_pos_embedding.emb.weight"
    tensors[positions] = tensors[positions][: MAX_CODES + 6]
    model = build(arch, weights.n_tokens(tensors))
    model.load_state_dict(tensors)
    return model, tokenizer(base["vocab"].parent), vocoder.decoder(base, None, "cpu")


@pytest.fixture(scope="module")
def reference():
    """A made-up voice of 9.3 s: harmonics whose pitch and loudness change."""
    t = np.arange(int(9.3 * mel.RATE_HZ)) / mel.RATE_HZ
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(3 * t)) / mel.RATE_HZ
    tone = sum(np.sin(k * phase) / k for k in range(1, 20))
    samples = 0.2 * tone * (1.1 + np.sin(9 * t))
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(t))
    return torch.from_numpy((samples + noise).clip(-1, 1).astype(np.float32))


def clip(base, samples, with_samples=True) -> Clip:
    arrays = mel.extractor(base, {}, "cpu")(samples)
    given = samples if with_samples else None
    return Clip("a", TEXT, "en", torch.tensor([1]), arrays, samples=given)


def test_greedy_speech_is_upstreams(base, upstream, voice, reference, tmp_path):
    soundfile.write(tmp_path / "a.wav", reference.numpy(), mel.RATE_HZ, subtype="FLOAT")
    settings = {"max_ref_length": 10, "gpt_cond_len": 12, "gpt_cond_chunk_len": 4}
    latents, speaker = upstream.get_conditioning_latents(str(tmp_path / "a.wav"), **settings)
    prompt = clip(base, reference)
    mels, found = voice[2].reference(prompt)
    assert [len(one) for one in mels] == [345, 345, 112]
    torch.testing.assert_close(found, speaker, atol=1e-5, rtol=0)
    torch.testing.assert_close(voice[0].eval().latents(mels), latents, atol=1e-5, rtol=0)
    for speed in (1.0, 1.25):
        expected = upstream.inference(
            TEXT, "en", latents, speaker, do_sample=False, repetition_penalty=5.0, speed=speed
        )["wav"]
        speech = speak(*voice, prompt, TEXT, "en", seed=1, speed=speed, **GREEDY)
        assert speech.dtype == np.float32 and speech.shape == expected.shape
        assert np.abs(speech - expected).max() <= 1e-4
        assert np.abs(expected).max() > 1e-3


def test_speech_changes_no_state_and_follows_its_seed(base, voice, reference):
    model, prompt = voice[0], clip(base, reference)
    model.train()
    before = torch.get_rng_state()
    first, again, other = (
        speak(*voice, prompt, TEXT, "en", seed=seed, temperature=1.5) for seed in (1, 1, 2)
    )
    assert model.training and torch.equal(before, torch.get_rng_state())
    assert np.array_equal(first, again)
    assert first.shape != other.shape or not np.allclose(first, other)


def test_a_voice_of_features_alone_is_nearly_that_of_the_samples(base, voice, reference):
    """As in a training, which has no samples."""
    decoder, reference = voice[2], reference[: 5 * mel.RATE_HZ]
    mels, speaker = decoder.reference(clip(base, reference))
    cut, inverted = decoder.reference(clip(base, reference, with_samples=False))
    # only the edges of a chunk differ, where upstream mirrors the samples
    assert [len(one) for one in cut] == [345, 86]
    inner = (cut[0] - mels[0])[5:-5]
    assert inner.abs().max() <= 1e-4
    noise = torch.randn(len(reference), generator=torch.Generator().manual_seed(0)) / 10
    _, foreign = decoder.reference(clip(base, noise))
    near, far = ((speaker - one).norm() for one in (inverted, foreign))
    assert near < far / 2


def test_a_long_text_is_spoken_in_parts(base, voice, reference, monkeypatch):
    module = sys.modules[speak.__module__]  # the package has a function of this name
    monkeypatch.setattr(module, "TRAINED_TOKENS", 20)
    prompt = clip(base, reference)
    sentences = ["A dog ran.", "The fox hid."]
    joined = [speak(*voice, prompt, one, "en", seed=1, **GREEDY) for one in sentences]
    whole = speak(*voice, prompt, " ".join(sentences), "en", seed=1, **GREEDY)
    assert np.array_equal(whole, np.concatenate(joined))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("One two. Three!  Four? Five", ["One two.", "Three!  Four?", "Five"]),
        ("One two three, four five six.", ["One two three,", "four five six."]),
        ("Onetwo threefour fivesix sevens", ["Onetwo", "threefour", "fivesix sevens"]),
        ("A. Onetwothreefourfivesix. B.", ["A.", "Onetwothreefou", "rfivesix.", "B."]),
        ("ሰላም ለዓለም። እንዴት ናችሁ፤ ደህና።", ["ሰላም ለዓለም።", "እንዴት ናችሁ፤ ደህና።"]),
        ("今天天气很好。我们出去玩玩吧，好吗？", ["今天天气很好。", "我们出去玩玩吧，好吗？"]),
        ("3.14 and 2.72 too", ["3.14 and 2.72", "too"]),
        ("  ", []),
    ],
)
def test_cuts(text, expected):
    found = parts(text, lambda part: len(part) <= 14)
    assert found == expected
    assert "".join(found).replace(" ", "") == text.replace(" ", "")


def test_what_cannot_be_spoken_is_refused(base, voice, reference, tmp_path):
    prompt = clip(base, reference)
    with pytest.raises(UserError, match="expected a text"):
        speak(*voice, prompt, "  ", "en", seed=1)
    with pytest.raises(UserError, match="a: the reference clip is shorter than 0.33 s"):
        speak(*voice, clip(base, reference[:7000]), TEXT, "en", seed=1)
    config = (base["config"]).read_text().replace('"d_vector_dim": 512', '"d_vector_dim": 256')
    other = tmp_path / "config.json"
    other.write_text(config)
    with pytest.raises(UserError, match=r"model.pth: its decoder .* is not the one"):
        vocoder.decoder(base | {"config": other}, None, "cpu")
