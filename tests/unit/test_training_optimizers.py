"""Optimisers, and what they must not move."""

import json

import pytest
import torch
from training_children import at_call, final, in_child, same
from training_setup import LETTERS, tiny_run
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.training import loop
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_USER_ERROR
from voicekiln.training.state import checkpoints
from voicekiln.training.step import optimizers
from voicekiln.training.step.ema import Ema

ADAPTIVE = ["adamw", "adam", "sgd", "rmsprop"]


class Tied(torch.nn.Module):
    """An embedding whose rows are the head's as well."""

    def __init__(self, tied=True):
        super().__init__()
        self.embed = torch.nn.Embedding(12, 6)
        self.norm = torch.nn.LayerNorm(6)
        self.head = torch.nn.Linear(6, 12, bias=False)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(self.norm(self.embed(ids)))


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize("decay", ["all", "matrices"])
def test_base_rows_are_bit_equal_after_500_updates(name, decay, tmp_path):
    changes = {"optimizer": name, "decay": decay, "weight_decay": 0.3, "learning_rate": 0.01}
    settings = tiny_run(tmp_path, **changes).train
    torch.manual_seed(0)
    model = Tied()
    before = model.embed.weight.detach().clone()
    frozen = optimizers.FrozenRows(model, {"embed.weight": 9, "head.weight": 9})
    optimizer = optimizers.build(model, settings, [], "cpu")
    ema = Ema(model, settings)
    for _ in range(500):
        ids = torch.randint(12, (5,))
        torch.nn.functional.cross_entropy(model(ids), ids).backward()
        frozen.zero_gradients()
        assert not model.embed.weight.grad[:9].any()
        optimizer.step()
        frozen.restore()
        optimizer.zero_grad()
        ema.update()
    assert torch.equal(model.embed.weight[:9], before[:9])
    assert torch.equal(ema.state()["embed.weight"][:9], before[:9])
    assert (model.embed.weight[9:] != before[9:]).all()


def test_gradients_of_zero_would_not_do(tmp_path):
    """What the rows are put back for."""
    settings = tiny_run(tmp_path, weight_decay=0.3).train
    model = Tied()
    before = model.embed.weight.detach().clone()
    optimizer = optimizers.build(model, settings, [], "cpu")
    model(torch.tensor([1])).sum().backward()
    model.embed.weight.grad[:] = 0
    optimizer.step()
    assert not torch.equal(model.embed.weight, before)


def test_norms_and_biases_may_be_left_out_of_the_decay(tmp_path):
    settings = tiny_run(tmp_path, decay="matrices", weight_decay=0.3).train
    groups = optimizers.build(Tied(tied=False), settings, [], "cpu").param_groups
    assert [(len(g["params"]), g["weight_decay"]) for g in groups] == [(2, 0.3), (2, 0.0)]


def test_a_family_names_the_parameters_that_its_upstream_does_not_decay(tmp_path):
    settings = tiny_run(tmp_path, decay="upstream", weight_decay=0.3).train
    model = Tied(tied=False)
    model.head.requires_grad_(False)
    decayed, others = optimizers.build(model, settings, ["embed.weight"], "cpu").param_groups
    assert others["params"] == [model.embed.weight] and others["weight_decay"] == 0.0
    assert decayed["params"] == [model.norm.weight, model.norm.bias]
    assert decayed["weight_decay"] == 0.3
    one_group = optimizers.build(Tied(tied=False), settings, [], "cpu").param_groups
    assert [len(group["params"]) for group in one_group] == [4]
    with pytest.raises(RuntimeError, match="no parameter: embed.bias"):
        optimizers.build(model, settings, ["embed.bias"], "cpu")


def test_what_cannot_be_frozen_is_named():
    presets = {"all": ["*"], "ends": ["embed.*", "head.*"]}
    model = Tied(tied=False)
    optimizers.freeze(model, ["ends"], presets)
    assert [n for n, p in model.named_parameters() if p.requires_grad] == [
        "norm.weight",
        "norm.bias",
    ]
    with pytest.raises(
        UserError, match="train.freeze: head.bias matches no parameter.*presets are all"
    ):
        optimizers.freeze(model, ["head.bias"], presets)
    with pytest.raises(UserError, match="no parameter is left to train"):
        optimizers.freeze(model, ["all"], presets)


def test_8_bits_need_a_package_and_a_gpu(tmp_path):
    settings = tiny_run(tmp_path, optimizer="adamw_8bit").train
    with pytest.raises(UserError, match="adamw_8bit needs"):
        optimizers.build(Tied(), settings, [], "cpu")


@pytest.mark.parametrize("name", ADAPTIVE)
def test_a_run_with_frozen_rows_and_blocks_resumes_bit_equal(name, tmp_path):
    run = {"optimizer": name, "freeze_base_tokens": True, "freeze": ["first_half"]}
    run |= {"added_tokens": 2, "weight_decay": 0.1, "schedule": "cosine_restarts"}
    whole = tiny_run(tmp_path / "whole", **run)
    assert in_child(whole) == EXIT_FINISHED
    killed = tiny_run(tmp_path / "killed", **run)
    assert in_child(killed, at_call(loop.Training, "backward", 6)) < 0
    assert in_child(killed) == EXIT_FINISHED
    same(final(killed), final(whole))
    base = families.get("f5").read_weights(whole.checkpoint)
    ended = final(whole)
    rows = "transformer.text_embed.text_embed.weight"
    n = 1 + len(LETTERS) - 2
    assert torch.equal(ended[f"ema {rows}"][:n], base[rows][:n])
    assert torch.equal(ended[f"model {rows}"][:n], base[rows][:n])
    assert not torch.equal(ended[f"model {rows}"][n:], base[rows][n:])
    moved = {name for name in base if not torch.equal(ended[f"model {name}"], base[name])}
    assert not any(".transformer_blocks.0." in name for name in moved)
    assert any(".transformer_blocks.1." in name for name in moved)


def test_a_plateau_lowers_the_rate_and_a_kill_changes_nothing(tmp_path):
    run = {"schedule": "plateau", "plateau_patience": 0, "validate_every": 1, "epochs": 3}
    run |= {"learning_rate": 0.05, "warmup_updates": 0, "log_every": 1}
    whole = tiny_run(tmp_path / "whole", **run)
    assert in_child(whole) == EXIT_FINISHED
    killed = tiny_run(tmp_path / "killed", **run)
    assert in_child(killed, at_call(loop.Training, "backward", 9)) < 0
    assert in_child(killed) == EXIT_FINISHED
    same(final(killed), final(whole))
    lines = (whole.directory / "metrics.jsonl").read_text().splitlines()
    rates = [row["lr"] for row in map(json.loads, lines) if row["kind"] == "train"]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) > 1


def test_a_training_without_a_better_validation_ends_and_stays_ended(tmp_path):
    run = {"patience": 2, "validate_every": 1, "epochs": 20, "learning_rate": 0.2}
    settings = tiny_run(tmp_path, **run, warmup_updates=0)
    assert in_child(settings) == EXIT_FINISHED
    status = json.loads((settings.directory / "status.json").read_text())
    assert (
        status["state"] == "finished" and "validation loss did not improve in 2" in status["reason"]
    )
    update = status["update"]
    assert update < 20
    before = checkpoints.found(settings.directory / "checkpoints")
    assert in_child(settings) == EXIT_FINISHED
    assert checkpoints.found(settings.directory / "checkpoints") == before
    longer = tiny_run(tmp_path, **run | {"patience": 4}, warmup_updates=0)
    assert in_child(longer) == EXIT_FINISHED
    assert final(longer)["update"] >= update + 2


def test_a_pattern_that_fits_nothing_stops_before_anything(tmp_path):
    settings = tiny_run(tmp_path, freeze=["transformer.nothing.*"])
    assert in_child(settings) == EXIT_USER_ERROR
    status = json.loads((settings.directory / "status.json").read_text())
    assert "train.freeze: transformer.nothing.*" in status["reason"]
