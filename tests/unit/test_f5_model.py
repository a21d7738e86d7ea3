"""Architecture, tokens and mel of the F5 family, against the installed f5_tts."""

import inspect
import warnings
from importlib.resources import files

import numpy as np
import pytest
import torch
import voicekiln.upstream  # noqa: F401  (f5_tts can be imported after it)
import yaml
from f5_small import TINY, TOKENS, tiny_model
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.families import f5
from voicekiln.families.f5.architecture import DIT, RELEASED, shapes
from voicekiln.families.f5.mel import log_mel
from voicekiln.families.f5.text import Characters
from voicekiln.families.f5.weights import require_shapes
from voicekiln.tokenizers.characters import index


def test_the_registry_knows_the_family():
    assert families.get("f5") is f5
    with pytest.raises(UserError, match="expected f5 or xtts, got 'f6'"):
        families.get("f6")


@pytest.mark.parametrize("name", RELEASED)
def test_released_values_are_upstreams(name):
    upstream = yaml.safe_load(files("f5_tts").joinpath(f"configs/{name}.yaml").read_text())
    values = f5.architecture(name)
    assert values.pop("backbone") == upstream["model"]["backbone"]
    assert values == DIT | upstream["model"]["arch"]


def test_defaults_are_those_of_upstreams_class():
    from f5_tts.model import DiT

    parameters = inspect.signature(DiT).parameters
    upstream = {name: p.default for name, p in parameters.items()}
    del upstream["mel_dim"], upstream["text_num_embeds"]
    assert DIT | {"dim": upstream["dim"]} == upstream


def test_explicit_values_are_completed_and_checked():
    values = f5.architecture(TINY)
    assert values["dropout"] == 0.1 and values["dim"] == 64
    assert f5.architecture(values) == values
    for wrong, message in [
        ("F5TTS_Large", "F5TTS_v1_Base"),
        ({"dim": 64, "dept": 2}, "unknown dept"),
        ({"depth": 2}, "base.model.dim"),
        ({"dim": 64, "backbone": "UNetT"}, "expected DiT, got 'UNetT'"),
        (
            {
                "dim": 8,
                "text_embedding_average_upsampling": True,
                "text_mask_padding": False,
            },
            "needs text_mask_padding",
        ),
    ]:
        with pytest.raises(UserError, match=message):
            f5.architecture(wrong)


def test_shapes_are_those_of_the_built_model():
    real = {name: tuple(t.shape) for name, t in tiny_model().state_dict().items()}
    assert shapes(f5.architecture(TINY), len(TOKENS)) == real


def test_nothing_is_said_of_the_masks_that_the_base_has():
    arch = f5.architecture(TINY | {"attn_mask_enabled": True})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f5.build(arch, len(TOKENS))


def test_weights_that_lack_a_tensor_are_refused():
    weights, expected = tiny_model(seed=3).state_dict(), shapes(f5.architecture(TINY), len(TOKENS))
    require_shapes(weights, expected, "a")
    del weights["transformer.proj_out.bias"]
    with pytest.raises(UserError, match="proj_out.bias: nothing in the file"):
        require_shapes(weights, expected, "a")


GOLDEN = [
    [-1.7733, 2.7983, -4.8056, -10.2415, -11.5129],
    [-4.0374, 1.9837, -1.9775, -9.3438, -10.7922],
    [-6.3111, -5.1842, 3.5008, -8.3908, -10.9691],
    [-1.7737, -1.3794, -0.6553, -0.966, -1.1459],
    [0.8246, 1.2058, 1.807, 1.6814, 0.7875],
]

TEXTS = [
    "Hello; “world”, it’s 12.",
    "naïve café",
    "ሰላም ለዓለም። እንዴት ናችሁ?",
    "مرحبا بالعالم",
    "你好 world",
    "a——b…",
    "",
]


def test_tokens_are_upstreams_for_known_text():
    from f5_tts.model.utils import convert_char_to_pinyin, list_str_to_idx

    parts = convert_char_to_pinyin(TEXTS)
    tokenizer = Characters(dict.fromkeys([" ", *(token for part in parts for token in part)]))
    assert [tokenizer.tokens(text, "en") for text in TEXTS] == parts
    expected = list_str_to_idx(parts, index(tokenizer.vocab))
    for text, row in zip(TEXTS, expected, strict=True):
        assert tokenizer.encode(text, "en") == row[row != -1].tolist()


def test_an_unknown_token_stops_where_upstream_would_read_a_space():
    with pytest.raises(UserError, match="ETHIOPIC SYLLABLE SA.*in the text 'aሰ'"):
        Characters(TOKENS).encode("aሰ", "en")


@pytest.mark.parametrize("n_samples", [513, 24000, 24001, 100_000])
def test_the_mel_is_upstreams(n_samples):
    from f5_tts.model.modules import MelSpec

    rng = np.random.default_rng(n_samples)
    samples = (0.1 * rng.standard_normal(n_samples)).astype(np.float32)
    samples[n_samples // 3 : n_samples // 2] = 0
    arrays = f5.extractor({}, {}, "cpu")(torch.from_numpy(samples))
    mel = arrays["mel"]
    expected = MelSpec()(torch.from_numpy(samples)[None])[0].T
    assert mel.dtype == torch.float32 and mel.shape == (n_samples // 256 + 1, 100)
    assert f5.n_steps(arrays) == len(mel) == int(n_samples / f5.RATE_HZ * f5.STEPS_PER_S) + 1
    assert (mel - expected).abs().max() <= 1e-5
    assert mel.std() > 0.1


def test_the_mel_refuses_what_it_cannot_do():
    with pytest.raises(UserError, match="clip of 512 samples"):
        log_mel(np.zeros(512, np.float32))
    with pytest.raises(UserError, match="no settings, got fmax"):
        f5.extractor({}, {"fmax": 8000}, "cpu")


def test_features_are_those_of_their_version():
    """Fails if features change: then raise FEATURES_VERSION, and set the numbers anew."""
    t = np.arange(4800) / f5.RATE_HZ
    glide = np.sin(2 * np.pi * (150 + 4000 * t) * t) * np.minimum(1, 20 * t)
    glide[3000:4000] = 0
    mel = log_mel(glide.astype(np.float32))
    assert f5.FEATURES_VERSION == 1 and mel.shape == (19, 100)
    picked = mel[[0, 3, 9, 14, 18]][:, [0, 10, 25, 60, 99]]
    # of magnitudes: 130 dB below the peak the logarithm shows how a machine's FFT rounds
    golden = torch.tensor(GOLDEN).exp()
    torch.testing.assert_close(picked.exp(), golden, atol=5e-6, rtol=1e-3)
