"""The training loop against the family interface: two arrays, two loss parts, prompts."""

import json

import pytest
import torch
from toy_setup import toy_family, toy_run
from training_children import (
    close,
    final,
    in_child,
    metrics,
    same,
)
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.training import worker
from voicekiln.training.data.clips import BatchRequest
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_USER_ERROR
from voicekiln.training.seeds import generator


@pytest.fixture(scope="module", autouse=True)
def registered():
    with toy_family():
        yield


def clips_of(settings):
    family = families.get("toy")
    return worker.read_clips(settings, family, family.tokenizer(settings.tokenizer))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    settings = toy_run(tmp_path_factory.mktemp("whole"))
    assert in_child(settings) == EXIT_FINISHED
    return settings


def test_the_loss_is_the_weighted_sum_of_its_parts(whole):
    """Weights come from family.yaml: text 0.5, codes 1."""
    for kind in ("train", "validation"):
        loss, text, codes = (
            metrics(whole, kind, name) for name in ("loss", "loss_text", "loss_codes")
        )
        for update in loss:
            assert loss[update] == pytest.approx(0.5 * text[update] + codes[update])
        assert codes[max(codes)] < codes[min(codes)], "it learns"


def test_the_loss_is_the_mean_over_the_update(whole):
    """Of update 0 by hand: sums over all its batches, divided by all their elements."""
    family, clips = families.get("toy"), clips_of(whole)[1]
    model = family.build(whole.architecture, 9).eval()
    model.load_state_dict(family.read_weights(whole.checkpoint))
    sums, totals = {"text": 0.0, "codes": 0.0}, {"text": 0, "codes": 0}
    for i in range(len(clips.rows)):
        batch = clips.batch(BatchRequest((i,), "validation"))
        for name, value in family.loss(model, batch).items():
            sums[name] += float(value)
            totals[name] += batch["totals"][name]
    expected = 0.5 * sums["text"] / totals["text"] + sums["codes"] / totals["codes"]
    assert metrics(whole, "validation")[0] == pytest.approx(expected, rel=1e-5)


def test_weights_of_the_configuration_replace_those_of_the_family(tmp_path):
    settings = toy_run(tmp_path, loss_weights={"text": 2.0}, epochs=1)
    assert settings.train.loss_weights == {"text": 2.0, "codes": 1.0}
    assert in_child(settings) == EXIT_FINISHED
    loss, text, codes = (
        metrics(settings, "train", name) for name in ("loss", "loss_text", "loss_codes")
    )
    assert loss
    assert all(loss[u] == pytest.approx(2 * text[u] + codes[u]) for u in loss)
    with pytest.raises(UserError, match="loss_weights: mel: not a part.*text, codes"):
        toy_run(tmp_path, loss_weights={"mel": 1.0})


def test_a_prompt_is_another_clip_of_the_speaker_drawn_before_all_else(whole):
    train, val, _ = clips_of(whole)
    family, seen = families.get("toy"), set()
    for update in range(40):
        batch = train.batch(BatchRequest((3,), update))
        rng = generator(7, update, "train-003")
        others = [i for i, row in enumerate(train.rows) if row.speaker == "b" and i != 3]
        i = others[int(torch.randint(len(others), (1,), generator=rng))]
        drop, noise = family.draw(train.clip(3), rng, True)
        mean = train.clip(i).arrays["cond"].mean(0)
        assert torch.equal(batch["prompt"][0], (1 - drop) * (mean + 0.1 * noise))
        seen.add(i)
    assert len(seen) > 6
    first = val.batch(BatchRequest((0, 1), "validation"))["prompt"]
    assert torch.equal(val.batch(BatchRequest((1,), "validation"))["prompt"][0], first[1])


def test_clips_without_a_possible_prompt_are_reported_before_training(tmp_path):
    settings = toy_run(tmp_path, clips=5, speakers="aabac")
    assert in_child(settings) == EXIT_USER_ERROR
    reason = json.loads((settings.directory / "status.json").read_text())["reason"]
    assert "2 training clips have no second clip by the same speaker" in reason
    assert "train-002, train-004" in reason and "add recordings" in reason
    assert not (settings.directory / "checkpoints").exists()


def test_recomputed_blocks_give_the_same_weights(whole, tmp_path):
    settings = toy_run(tmp_path, gradient_checkpointing=True)
    assert in_child(settings) == EXIT_FINISHED
    close(final(settings), final(whole), 1e-6)


def test_auto_finds_batches_in_steps(tmp_path):
    settings = toy_run(tmp_path, batch_s="auto", update_s=9.6, accumulate=1, batch_clips=0)
    assert in_child(settings) == EXIT_FINISHED
    identity = json.loads((settings.directory / "fingerprint.json").read_text())["identity"]
    assert identity["batch_frames"] == 480, "so little fits everywhere"


def test_audio_samples_need_no_spectrogram_of_the_same_shape(whole, tmp_path):
    settings = toy_run(tmp_path, samples=1)
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(whole))
