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
from voicekiln.tokenizers.vocab import index


def test_the_registry_knows_the_family():
    assert families.get("f5") is f5
    with pytest.raises(UserError, match="expected one of f5, got 'f6'"):
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


def test_load_is_strict():
    weights = tiny_model(seed=3).state_dict()
    model = tiny_model()
    f5.load(model, weights)
    assert all(torch.equal(t, weights[name]) for name, t in model.state_dict().items())
    del weights["transformer.proj_out.bias"]
    with pytest.raises(UserError, match="proj_out.bias: nothing in the file"):
        f5.load(model, weights)


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
    assert f5.split(TEXTS) == parts
    vocab = index(list(dict.fromkeys([" ", *(token for part in parts for token in part)])))
    expected = list_str_to_idx(parts, vocab)
    for ours, row in zip(f5.tokens(TEXTS, vocab), expected, strict=True):
        assert ours.dtype == torch.int64
        assert torch.equal(ours, row[row != -1])


def test_an_unknown_token_stops_where_upstream_would_read_a_space():
    with pytest.raises(UserError, match="ETHIOPIC SYLLABLE SA.*in seg_7"):
        f5.tokens(["Abc", "aሰ"], index(TOKENS), ids=["seg_6", "seg_7"])


@pytest.mark.parametrize("n_samples", [513, 24000, 24001, 100_000])
def test_the_mel_is_upstreams(n_samples):
    from f5_tts.model.modules import MelSpec

    rng = np.random.default_rng(n_samples)
    samples = (0.1 * rng.standard_normal(n_samples)).astype(np.float32)
    samples[n_samples // 3 : n_samples // 2] = 0
    mel = f5.clip_features(samples)
    expected = MelSpec()(torch.from_numpy(samples)[None])[0].T
    assert mel.dtype == torch.float32 and mel.shape == (f5.n_frames(n_samples), f5.N_MELS)
    assert (mel - expected).abs().max() <= 1e-5
    assert mel.std() > 0.1


def test_the_mel_refuses_what_it_cannot_do():
    with pytest.raises(UserError, match="clip of 512 samples"):
        f5.clip_features(np.zeros(512, np.float32))
    with pytest.raises(UserError, match="no settings, got fmax"):
        f5.clip_features(np.zeros(2000, np.float32), {"fmax": 8000})


def test_features_are_those_of_their_version():
    """Fails when a clip's features change: then raise f5.VERSION, and set the numbers anew."""
    t = np.arange(4800) / f5.RATE_HZ
    glide = np.sin(2 * np.pi * (150 + 4000 * t) * t) * np.minimum(1, 20 * t)
    glide[3000:4000] = 0
    mel = f5.clip_features(glide.astype(np.float32))
    assert f5.VERSION == 1 and mel.shape == (19, 100)
    picked = mel[[0, 3, 9, 14, 18]][:, [0, 10, 25, 60, 99]]
    # of magnitudes: 130 dB below the peak the logarithm shows how a machine's FFT rounds
    golden = torch.tensor(GOLDEN).exp()
    torch.testing.assert_close(picked.exp(), golden, atol=5e-6, rtol=1e-3)
