"""Settings that are `auto`: by hours of audio, resolved once, kept, and reported."""

import json
from dataclasses import replace

import pytest
from conftest import ROOT
from toy_setup import toy_family, toy_run
from training_children import final, in_child
from training_setup import TRAIN
from voicekiln.config import schema
from voicekiln.config.resolve import resolve as resolve_config
from voicekiln.errors import UserError
from voicekiln.families import facts
from voicekiln.families.facts import Auto
from voicekiln.training import auto
from voicekiln.training.log.records import EXIT_FINISHED
from voicekiln.training.settings import AUTO, train_settings
from voicekiln.training.state.history import History
from voicekiln.training.step.schedule import Schedule

XTTS = facts.all_facts()["xtts"].auto
ALL = dict.fromkeys(("learning_rate", "weight_decay", "epochs", "freeze"), AUTO)


@pytest.fixture(scope="module", autouse=True)
def registered():
    with toy_family():
        yield


def settings(**changed):
    return train_settings(TRAIN | changed, "toy")


def resolved(hours, stored=None, **changed):
    return auto.resolve(settings(**ALL | changed), hours, XTTS, stored or {})


@pytest.mark.parametrize(
    "hours, rate",
    [(0.0, 5e-7), (0.99, 5e-7), (1.0, 1e-6), (2.0, 1e-6), (2.99, 1e-6), (3.0, 5e-6), (9.99, 5e-6)]
    + [(10.0, 1e-5), (37.7, 1e-5), (39.99, 1e-5), (40.0, 2e-5), (900.0, 2e-5)],
)
def test_learning_rate_by_hours(hours, rate):
    """S3-2 and S3-3; the lower end of a range is included."""
    assert resolved(hours).settings.learning_rate == rate


def test_small_data_sets_are_decayed_more_and_may_be_frozen():
    """S3-11, S3-14, S4-29, X-15."""
    small, large = resolved(2.0).settings, resolved(37.7).settings
    assert (small.weight_decay, large.weight_decay) == (0.05, 0.01)
    assert (small.freeze, large.freeze) == (("all_but_last_two",), ())
    assert small.epochs > large.epochs == 10


def test_the_log_has_the_rule_and_its_source():
    notices = resolved(37.7, freeze=[]).notices
    assert len(notices) == 3
    assert notices[0] == (
        "train.learning_rate: auto is 1e-05, for 37.70 h of training audio (10 to 40 h; "
        "recommended for XTTS v2 by its users)"
    )
    assert "(less than 1 h; " in resolved(0.5).notices[0]
    assert "(40 h or more; " in resolved(41).notices[0]


def test_what_was_resolved_once_is_kept():
    found = resolved(37.7, {"learning_rate": 3e-6, "seed": 1})
    assert found.settings.learning_rate == found.values["learning_rate"] == 3e-6
    assert found.values["epochs"] == 10 and "seed" not in found.values
    assert "is 3e-06, as when this training started" in found.notices[0]


def test_numbers_stay_as_they_are():
    given = settings(learning_rate=1e-4)
    assert auto.resolve(given, 37.7, XTTS, {}) == auto.Resolved(given, {}, ())
    assert auto.resolve(given, 37.7, Auto(), {}) == auto.Resolved(given, {}, ())


def test_the_floor_follows_the_learning_rate():
    assert settings(**ALL, schedule="plateau").min_learning_rate is None
    assert resolved(0.5, schedule="plateau").settings.min_learning_rate == 1e-7
    assert resolved(0.5, schedule="linear").settings.min_learning_rate == 0.0
    with pytest.raises(UserError, match=r"min_learning_rate \(1e-06\) must not be above.*5e-07"):
        resolved(0.5, min_learning_rate=1e-6)


def test_the_case_of_37_hours():
    """S3-4, S3-5, S3-14, K-5: 10x too low, with a small set's frozen layers; others are quiet."""

    def warnings(hours, **changed):
        return list(auto.unusual(settings(**changed), hours, XTTS))

    (low,) = warnings(37.7, learning_rate=1e-6)
    assert "1e-06 is 10x too low for 37.7 h of training audio: 1e-05 is usual" in low
    assert "may hardly learn" in low and "train.learning_rate: auto" in low
    (high,) = warnings(37.7, learning_rate=1e-4)
    assert "10x too high" in high and "unstable" in high
    (frozen,) = warnings(37.7, learning_rate=1e-5, freeze=["all_but_last_two"])
    assert "freezing layers is for small data sets" in frozen
    assert warnings(2.0, learning_rate=1e-6, freeze=["all_but_last_two"]) == []
    assert warnings(37.7, learning_rate=2e-5) == [] and warnings(12.0, learning_rate=2e-5) == []
    assert list(auto.unusual(settings(learning_rate=1e-6), 37.7, Auto())) == []


def test_only_families_with_a_table_have_auto():
    base = {"checkpoint": "a", "vocab": "b"}
    run = {"corpus": "c", "family": "toy", "base": base, "train": {"learning_rate": AUTO}}
    corpus = {"audio": "r", "language": "en"}
    config = {"corpora": {"c": corpus}, "runs": {"r": run}}
    assert resolve_config(config)["runs"]["r"]["train"]["learning_rate"] == AUTO
    run["train"] = {"learning_rate": 0.5}
    with pytest.raises(UserError, match="train.learning_rate"):
        resolve_config(config)
    run |= {"family": "f5", "train": {"learning_rate": AUTO}}
    with pytest.raises(UserError, match="train.learning_rate: expected a number"):
        resolve_config(config)
    assert "auto" in json.dumps(schema.run("toy")["properties"]["train"]["properties"]["freeze"])


def another_table():
    """Preparation of a child: as in a later version, whose table has other values."""
    row = Auto.row
    Auto.row = lambda self, hours: ("other", row(self, hours)[1] | {"learning_rate": 1e-3})


def test_a_training_keeps_its_values_when_the_table_changes(tmp_path):
    """Seconds of audio: the toy's first row."""
    run = toy_run(tmp_path, **ALL | {"stop_after_minutes": 1e-9})
    assert in_child(run) == 75, "stopped before the first update"
    run = toy_run(tmp_path, **ALL)
    assert in_child(run, another_table) == EXIT_FINISHED
    kept = json.loads((run.directory / "fingerprint.json").read_text())
    assert kept["auto"]["learning_rate"] == kept["learning_rate"] == 2e-3
    assert kept["identity"]["weight_decay"] == 0.05 and kept["epochs"] == 3
    assert kept["identity"]["freeze"] == ["blocks"]
    explicit = toy_run(
        tmp_path / "explicit", learning_rate=2e-3, weight_decay=0.05, epochs=3, freeze=["blocks"]
    )
    assert in_child(explicit) == EXIT_FINISHED
    other = json.loads((explicit.directory / "fingerprint.json").read_text())
    assert other["sha256"] == kept["sha256"], "the values count, not the word"
    assert final(explicit)["update"] == final(run)["update"]


def test_another_data_set_gets_its_own_values(tmp_path):
    first = toy_run(tmp_path, **ALL)
    assert in_child(first) == EXIT_FINISHED
    second = toy_run(tmp_path, clips=20, **ALL)
    assert in_child(replace(second), another_table) == EXIT_FINISHED
    kept = json.loads((second.directory / "fingerprint.json").read_text())
    assert kept["auto"]["learning_rate"] == 1e-3


def test_the_documentation_has_the_table():
    lines = (ROOT / "docs/training.md").read_text(encoding="utf-8").splitlines()
    (start,) = (n for n, line in enumerate(lines) if line.startswith("| hours | `learning_rate`"))
    for row, line in zip(XTTS.rows, lines[start + 2 :], strict=False):
        hours, rate, decay, epochs, freeze = (cell.strip() for cell in line.strip("|").split("|"))
        assert hours.startswith("less than" if row["from_h"] == 0 else str(row["from_h"]))
        assert (float(rate), float(decay), int(epochs)) == (
            row["learning_rate"],
            row["weight_decay"],
            row["epochs"],
        )
        assert (freeze == "nothing") == (row["freeze"] == [])


def test_the_case_of_37_hours_is_diagnosed_from_its_settings_and_losses():
    """S3-1, S3-6, S3-7, S3-9, S3-10: milestones within the first epochs, then a rise."""
    given = settings(
        learning_rate=1e-6,
        schedule="multi_step",
        milestones=[1010, 2020, 3030],
        rate_factor=0.5,
        warmup_updates=0,
    )
    schedule = Schedule(given, updates=4800, per_epoch=1600)
    rates = [schedule.learning_rate(update) for update in (0, 1010, 2020, 3030)]
    assert rates == pytest.approx([1e-6, 5e-7, 2.5e-7, 1.25e-7])
    flagged = schedule.early_reductions(per_epoch=1600)
    assert "1 of 3 of train.milestones fall into the first epoch" in flagged
    trained = [(0, 0.571), (1600, 0.504), (3200, 0.428), (4800, 0.389)]
    losses = [(0, 4.0), (1600, 3.9), (3200, 4.097), (4800, 4.2)]
    history = History([(update, {"loss": loss}) for update, loss in losses[:3]])
    assert history.warning(lambda: trained).startswith("validation loss rose by +0.197")
    history.rows.append((4800, {"loss": 4.2}))
    assert history.warning(lambda: trained).startswith("overfitting: the validation loss rose")
