"""A loss of two parts, and what follows the one that `train.best_by` names."""

import json
from dataclasses import replace

import pytest
from training_children import final, in_child, same
from training_setup import tiny_run
from voicekiln import families
from voicekiln.families import facts
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_USER_ERROR
from voicekiln.training.state import checkpoints
from voicekiln.voice import choice

RUN = {"clips": 25, "epochs": 3, "log_every": 1}  # 12 updates, validated every 4


@pytest.fixture(autouse=True)
def declared(monkeypatch):
    """The family declares both parts of `two_parts`."""
    f5 = replace(facts.of("f5"), losses={"flow": 1.0, "drift": 1.0})
    monkeypatch.setattr(facts, "of", lambda name: f5)


def two_parts():
    """Preparation of a child: beside `flow`, which falls, `drift` rises as the weights move."""
    f5 = families.get("f5")
    collate, loss, began = f5.collate, f5.loss, []

    def collated(samples, *more):
        batch = collate(samples, *more)
        return batch | {"totals": batch["totals"] | {"drift": len(samples)}}

    def parts(model, batch):
        weights = model.transformer.proj_out.weight.detach()
        began.extend([] if began else [weights.clone()])
        drift = (weights - began[0]).square().sum() * batch["totals"]["drift"]
        return loss(model, batch) | {"drift": 0.001 * drift}

    f5.collate, f5.loss = collated, parts


def records(settings):
    lines = (settings.directory / "metrics.jsonl").read_text().splitlines()
    return list(map(json.loads, lines))


def test_the_best_follows_the_part_that_is_named(tmp_path):
    by_sum = tiny_run(tmp_path / "sum", **RUN)
    by_part = tiny_run(tmp_path / "part", **RUN, best_by="drift")
    for settings in (by_sum, by_part):
        assert in_child(settings, two_parts) == EXIT_FINISHED
    same(final(by_sum), final(by_part))
    for settings, by, update in ((by_sum, "loss", 12), (by_part, "drift", 4)):
        folder = settings.directory / "checkpoints"
        best = checkpoints.pointed(folder, "best")
        assert (best["update"], best["by"]) == (update, by)
        validated = [row for row in records(settings) if row["kind"] == "validation"]
        assert best["validation_loss"] == next(
            row["loss"] for row in validated if row["update"] == update
        )
        rows = choice.candidates(folder, choice.best_by(folder))
        course = choice.course(settings.directory, by)
        chosen, why = choice.choose(rows, "best", by, course)
        assert chosen["update"] == update and f"lowest validation {by} " in why


def test_the_choice_may_change_from_one_start_to_the_next(tmp_path):
    assert in_child(tiny_run(tmp_path, **RUN), two_parts) == EXIT_FINISHED
    settings = tiny_run(tmp_path, **RUN | {"epochs": 4}, best_by="flow")
    assert in_child(settings, two_parts) == EXIT_FINISHED
    assert final(settings)["update"] == 16
    assert checkpoints.pointed(settings.directory / "checkpoints", "best")["by"] == "flow"


def test_it_ends_early_by_the_part_that_is_named(tmp_path):
    settings = tiny_run(tmp_path, **RUN | {"epochs": 9}, best_by="drift", patience=2)
    assert in_child(settings, two_parts) == EXIT_FINISHED
    status = json.loads((settings.directory / "status.json").read_text())
    assert "validation drift did not improve in 2 validations" in status["reason"]
    assert status["update"] == 12
    assert "validation drift rose by" in status["warnings"][0]["message"]
    assert in_child(settings, two_parts) == EXIT_FINISHED
    assert json.loads((settings.directory / "status.json").read_text())["update"] == 12


def test_a_plateau_is_seen_in_the_part_that_is_named(tmp_path):
    plateau = {"schedule": "plateau", "plateau_patience": 0, "warmup_updates": 0}
    rates = {}
    for by in ("loss", "drift"):
        settings = tiny_run(tmp_path / by, **RUN, **plateau, best_by=by)
        assert in_child(settings, two_parts) == EXIT_FINISHED
        rates[by] = [row["lr"] for row in records(settings) if row["kind"] == "train"]
    assert rates["loss"] == [1e-3] * 12
    assert rates["drift"] == [1e-3] * 8 + [5e-4] * 4


def test_a_name_that_is_no_part_stops_before_training(tmp_path):
    settings = tiny_run(tmp_path, **RUN, best_by="mel_ce")
    assert in_child(settings, two_parts) == EXIT_USER_ERROR
    status = json.loads((settings.directory / "status.json").read_text())
    assert status["reason"] == (
        "train.best_by: mel_ce is not a part of this family's loss; expected one of loss, drift, "
        "flow"
    )
    assert not (settings.directory / "checkpoints").exists()
