"""XTTS's GPT against coqui-tts's: tensors, logits, losses, conditions, weight decay."""

from types import SimpleNamespace

import pytest
import torch
import voicekiln.upstream  # noqa: F401  (TTS can be imported after it)
from torch.nn import functional as F
from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig
from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTTrainer, GPTTrainerConfig
from TTS.tts.models.xtts import Xtts
from voicekiln.errors import UserError
from voicekiln.families.gpt import cross_entropy_sum
from voicekiln.families.xtts.model import blocks, build, freeze_presets, no_decay
from xtts_gpt_small import ARCH, own_gpt, ragged, upstream_gpt


@pytest.fixture(scope="module")
def upstream():
    return upstream_gpt()


@pytest.fixture(scope="module")
def model(upstream):
    return own_gpt(upstream)


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


def test_latents_are_the_mean_over_chunks(model, upstream):
    chunks = [torch.randn(n, 80) for n in (40, 40, 13)]
    with torch.no_grad():
        each = [upstream.get_style_emb(chunk.T[None]) for chunk in chunks]
        expected = torch.stack(each).mean(0).transpose(1, 2)
    torch.testing.assert_close(model.latents(chunks), expected)


def test_weight_decay_excludes_what_upstreams_optimiser_excludes(model, upstream):
    config = GPTTrainerConfig(
        optimizer="AdamW",
        optimizer_params={"weight_decay": 0.01},
        optimizer_wd_only_on_weights=True,
    )
    trainer = SimpleNamespace(config=config, xtts=SimpleNamespace(gpt=upstream))
    decayed, exempt = GPTTrainer.get_optimizer(trainer)._group_names
    assert sorted(no_decay(model)) == exempt
    assert set(no_decay(model)).isdisjoint(decayed)
    assert len(decayed) + len(exempt) == len(list(model.parameters()))


def test_a_text_or_audio_beyond_the_positions_is_named(model):
    conditions = torch.zeros(1, 32, 64)
    one = torch.tensor([1])
    with pytest.raises(UserError, match="53 tokens .* positions for 52"):
        model(conditions, torch.ones(1, 52, dtype=torch.long), one, torch.ones(1, 1).long(), one)
    with pytest.raises(UserError, match="64 codes .* positions for 63"):
        model(conditions, torch.ones(1, 1).long(), one, torch.ones(1, 63).long(), one)


def test_presets_name_parameters_and_blocks_are_the_layers(model):
    names = [name for name, _ in model.named_parameters()]
    for patterns in freeze_presets(model).values():
        for pattern in patterns:
            assert any(name.startswith(pattern.removesuffix("*")) for name in names)
    assert len(blocks(model)) == ARCH["layers"]
