"""XTTS's GPT against coqui-tts's: tensors, logits, losses, conditions, generation."""

import pytest
import torch
import voicekiln.upstream  # noqa: F401  (TTS can be imported after it)
from torch.nn import functional as F
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
from TTS.tts.layers.xtts.gpt import GPT
from TTS.tts.models.xtts import Xtts
from voicekiln.families.gpt import cross_entropy_sum
from voicekiln.families.xtts.model import build

ARCH = {
    "layers": 2,
    "width": 64,
    "heads": 4,
    "n_audio_tokens": 34,
    "max_text_tokens": 50,
    "max_audio_tokens": 60,
    "start_text": 39,
    "stop_text": 0,
    "start_audio": 32,
    "stop_audio": 33,
}
N_TOKENS = 40


def upstream_gpt() -> GPT:
    """Upstream's class at small size, no tensor of it zero."""
    torch.manual_seed(1)
    gpt = GPT(
        layers=2,
        model_dim=64,
        heads=4,
        max_text_tokens=50,
        max_mel_tokens=60,
        number_text_tokens=N_TOKENS,
        start_text_token=39,
        stop_text_token=0,
        num_audio_tokens=34,
        start_audio_token=32,
        stop_audio_token=33,
        use_perceiver_resampler=True,
    )
    for parameter in gpt.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return gpt.eval()


@pytest.fixture(scope="module")
def upstream():
    return upstream_gpt()


@pytest.fixture(scope="module")
def model(upstream):
    model = build(ARCH, N_TOKENS)
    model.load_state_dict(upstream.state_dict(), strict=True)
    return model.eval()


def ragged(n_text, n_codes):
    """Texts and codes of these lengths, padded with zeros, and their lengths."""
    rng = torch.Generator().manual_seed(3)
    texts = [torch.randint(1, 39, (n,), generator=rng) for n in n_text]
    codes = [torch.randint(32, (n,), generator=rng) for n in n_codes]
    pad = torch.nn.utils.rnn.pad_sequence
    return (
        pad(texts, batch_first=True),
        torch.tensor(n_text),
        pad(codes, batch_first=True),
        torch.tensor(n_codes),
    )


def test_at_the_released_size_all_tensors_are_those_of_xtts(monkeypatch):
    # Filter banks of the vocoder cannot be computed on the meta device.
    monkeypatch.setattr("TTS.tts.models.xtts.HifiDecoder", lambda **settings: torch.nn.Identity())
    config = XttsConfig(
        model_args=XttsArgs(
            gpt_num_audio_tokens=1026,
            gpt_start_audio_token=1024,
            gpt_stop_audio_token=1025,
            gpt_use_perceiver_resampler=True,
            gpt_number_text_tokens=6681,
            gpt_start_text_token=261,
            gpt_stop_text_token=0,
        )
    )
    with torch.device("meta"):
        expected = {
            name.removeprefix("gpt."): tuple(tensor.shape)
            for name, tensor in Xtts(config).state_dict().items()
            if name.startswith("gpt.")
        }
        released = ARCH | {"layers": 30, "width": 1024, "heads": 16, "n_audio_tokens": 1026}
        released |= {"max_text_tokens": 402, "max_audio_tokens": 605}
        found = build(released, 6681).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == expected
    assert len(found) == 426
    assert sum(tensor.numel() for tensor in found.values()) == 441_018_563


@pytest.mark.parametrize(
    ("n_text", "n_codes"), [([9], [20]), ([9, 14, 1, 5], [20, 7, 31, 12])], ids=["one", "ragged"]
)
def test_logits_and_losses_are_upstreams(model, upstream, n_text, n_codes):
    text, n_text, codes, n_codes = ragged(n_text, n_codes)
    mels = torch.randn(len(text), 80, 90)
    with torch.no_grad():
        text_ce, mel_ce, logits = upstream(
            text, n_text, codes.clone(), n_codes * 1024, cond_mels=mels[:, None]
        )
        conditions = model.conditions(mels.transpose(1, 2))
        own_text, own_codes = model(conditions, text, n_text, codes, n_codes, stops=4)
    text_targets, code_targets = model.targets(text, n_text, codes, n_codes, stops=4)
    kept = (n_text + 1).sum(), (n_codes + 4).sum()
    torch.testing.assert_close(
        cross_entropy_sum(own_text, text_targets) / kept[0], text_ce, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(
        cross_entropy_sum(own_codes, code_targets) / kept[1], mel_ce, atol=1e-6, rtol=0
    )
    for own, theirs, n in zip(own_codes, logits.transpose(1, 2), n_codes, strict=True):
        torch.testing.assert_close(own[: n + 4], theirs[: n + 4], atol=1e-5, rtol=0)


@pytest.mark.parametrize("text_stop", ["hidden", "seen"])
def test_a_clip_has_the_same_logits_in_any_batch(model, text_stop):
    text, n_text, codes, n_codes = ragged([9, 14, 1], [20, 7, 31])
    conditions = torch.randn(3, 32, 64)
    with torch.no_grad():
        batch = model(conditions, text, n_text, codes, n_codes, text_stop=text_stop, stops=4)
        for i, (n, m) in enumerate(zip(n_text, n_codes, strict=True)):
            one = slice(i, i + 1)
            alone = model(
                conditions[one],
                text[one, :n],
                n_text[one],
                codes[one, :m],
                n_codes[one],
                text_stop=text_stop,
                stops=4,
            )
            for whole, own in zip(batch, alone, strict=True):
                torch.testing.assert_close(whole[i, : own.shape[1]], own[0], atol=1e-5, rtol=0)


def test_conditions_are_upstreams_and_do_not_see_padding(model, upstream):
    mels = torch.randn(3, 90, 80)
    n_frames = torch.tensor([90, 41, 64])
    with torch.no_grad():
        batch = model.conditions(mels, n_frames)
        for i, n in enumerate(n_frames):
            own = upstream.get_style_emb(mels[i : i + 1, :n].transpose(1, 2)).transpose(1, 2)
            torch.testing.assert_close(model.conditions(mels[i : i + 1, :n]), own)
            torch.testing.assert_close(batch[i : i + 1], own, atol=1e-6, rtol=1e-6)
        # Upstream pads the clip with silence, and its encoder sees it.
        padded = F.pad(mels[1:2, :41], (0, 0, 0, 49)).transpose(1, 2)
        seen = upstream.get_style_emb(padded).transpose(1, 2)
    assert (seen - batch[1:2]).abs().max() > 1e-2
