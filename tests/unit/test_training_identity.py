"""What defines a run, and what each change of it asks for."""

import re
from dataclasses import replace

import pytest
from conftest import ROOT
from training_setup import TRAIN
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json
from voicekiln.training.data.clips import Row
from voicekiln.training.data.plan import to_steps
from voicekiln.training.settings import train_settings
from voicekiln.training.state import identity, previous
from voicekiln.training.step.size import configured

SETTINGS = train_settings(TRAIN, "f5")
ROW = Row("a", "hello", "s", "en", 100, 1.07, "key", "pack", "00ff")


def made(settings=SETTINGS, processes=1, **values):
    parts = {
        "train": [ROW],
        "val": [ROW],
        "vocabulary_sha256": "vocabulary",
        "base_sha256": "base",
        "family": "f5",
        "loss_version": 1,
        "architecture": {"dim": 32},
        "settings": settings,
        "code": "abc",
        "size": configured(settings, processes, 93.75),
        "update_steps": to_steps(settings.update_s, 93.75),
    }
    return identity.run_identity(**(parts | values))


def decide(new, settings=SETTINGS, has_state=True):
    return identity.decide(made(), new, has_state, settings)


def test_no_state_begins_and_the_same_run_goes_on():
    assert decide(made(), has_state=False).action == "fresh"
    assert decide(made()) == identity.Decision("resume", ())
    # in another order, from another pack with the same clips
    rows = [replace(ROW, id=i) for i in "abc"]
    moved = [replace(r, pack="other", feature="new key") for r in rows[::-1]]
    assert made(train=rows)["sha256"] == made(train=moved)["sha256"]


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 99},
        {"save_every": 7},
        {"validate_every": 7},
        {"keep": 0},
        {"log_every": 9},
        {"workers": 3},
        {"prefetch": 9},
        {"pin_memory": False},
        {"deterministic": True},
        {"stop_after_minutes": 5.0},
        {"save_every": None},
        {"max_forgetting": 0.5},
        {"save_last_every": 2},
        {"patience": 3},
        {"samples": 3},
        {"gradient_checkpointing": True},
        {"compile": True},
        {"update_s": 68.2667},
        {"learning_rate": 4.9e-3},
        {"learning_rate": 2.1e-4},
    ],
)
def test_these_settings_go_on(change):
    new = made(replace(SETTINGS, **change))
    assert decide(new).action == "resume"
    assert new["sha256"] == made()["sha256"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"batch_s": 1.29067},
        {"batch_clips": 5},
        {"accumulate": 3},
        {"precision": "bf16"},
        {"schedule": "cosine"},
        {"warmup_updates": 4},
        {"min_learning_rate": 1e-6},
        {"optimizer": "sgd"},
        {"dropout": 0.2},
        {"freeze": ("blocks",)},
        {"freeze_base_tokens": True},
        {"weight_decay": 0.02},
        {"betas": (0.9, 0.99)},
        {"max_grad_norm": 2.0},
        {"ema_decay": 0.999},
        {"ema_every": 3},
        {"ema_follow_updates": 1},
        {"ema_power": 0.75},
        {"loss_weights": {"flow": 2.0}},
    ],
)
def test_these_settings_are_another_run(change):
    decision = decide(made(replace(SETTINGS, **change)))
    assert decision.action == "restart"
    name = "batches per update" if "accumulate" in change else next(iter(change))
    assert name in decision.notices[0]


@pytest.mark.parametrize(
    "change, company",
    [
        ({"momentum": 0.5}, {"optimizer": "sgd"}),
        ({"period": 9}, {"schedule": "step"}),
        ({"period_growth": 2}, {"schedule": "cosine_restarts"}),
        ({"milestones": (9,)}, {"schedule": "multi_step"}),
        ({"rate_factor": 0.3}, {"schedule": "plateau"}),
        ({"plateau_patience": 1}, {"schedule": "plateau"}),
        ({"best_by": "flow"}, {"schedule": "plateau"}),
    ],
)
def test_a_setting_counts_only_where_it_does_something(change, company):
    assert made(replace(SETTINGS, **change))["sha256"] == made()["sha256"]
    used = replace(SETTINGS, **company)
    assert made(replace(used, **change))["sha256"] != made(used)["sha256"]


def test_a_run_that_began_before_these_settings_goes_on():
    """As it always was: nothing of them is in what the run is."""
    assert not {"optimizer", "decay", "freeze", "momentum", "period"} & set(made()["identity"])
    assert "best_by" not in made(replace(SETTINGS, schedule="plateau"))["identity"]


def test_every_setting_is_in_one_of_the_tests_above():
    free = {"epochs", "save_every", "validate_every", "keep", "log_every", "workers"}
    free |= {"patience", "samples", "stop_after_minutes", "learning_rate", "accumulate"}
    free |= {"gradient_checkpointing", "batch_s", "update_s", "prefetch", "pin_memory"}
    free |= {"deterministic", "compile", "save_last_every", "max_forgetting"}
    assert identity.FREE == free | {"on_code_change", "on_rate_change"}


@pytest.mark.parametrize(
    "change",
    [
        {"train": [replace(ROW, text="hallo")]},
        {"train": [replace(ROW, audio_sha256="1")]},
        {"train": [replace(ROW, id="b")]},
        {"train": [ROW, replace(ROW, id="b")]},
        {"val": [replace(ROW, text="hallo")]},
        {"vocabulary_sha256": "longer"},
        {"base_sha256": "other"},
        {"family": "xtts"},
        {"loss_version": 2},
        {"architecture": {"dim": 64}},
        {"processes": 2},
    ],
)
def test_other_data_vocabulary_base_or_model_is_another_run(change):
    assert decide(made(**change)).action == "restart"


def test_two_processes_with_half_the_accumulation_are_the_same_run():
    four = made(replace(SETTINGS, accumulate=4))
    assert four["sha256"] == made(replace(SETTINGS, accumulate=2), processes=2)["sha256"]


@pytest.mark.parametrize("rate", [5e-3, 2e-4])
def test_a_rate_five_times_another_is_asked_about(rate):
    """K-9."""
    new = made(replace(SETTINGS, learning_rate=rate))
    with pytest.raises(UserError, match=r"train.learning_rate changed from 0.001 to .*\(5x\)"):
        decide(new)
    assert decide(new, replace(SETTINGS, on_rate_change="continue")).action == "resume"
    assert decide(new, replace(SETTINGS, on_rate_change="restart")).action == "restart"


def test_changed_code_goes_on_with_a_notice_or_stops():
    new = made(code="xyz")
    decision = decide(new)
    assert decision.action == "resume" and "VoiceKiln's code changed" in decision.notices[0]
    with pytest.raises(UserError, match="train.on_code_change is stop"):
        decide(new, replace(SETTINGS, on_code_change="stop"))


def test_checkpoints_of_an_unknown_run_are_moved_aside():
    assert identity.decide(None, made(), True, SETTINGS).action == "restart"


def test_moving_aside_can_be_cut_off_anywhere(tmp_path):
    """S0-10: nobody deletes folders by hand."""
    for broken_at in range(4):
        folder = tmp_path / str(broken_at)
        (folder / "checkpoints" / "checkpoint_3").mkdir(parents=True)
        (folder / previous.FOLDER / "4").mkdir(parents=True)
        (folder / previous.ASIDE).mkdir()
        (folder / "metrics.jsonl").write_text("{}\n")
        identity.write(folder, made())
        part = folder / previous.ASIDE
        for name in ("checkpoints", "metrics.jsonl", "fingerprint.json")[:broken_at]:
            (folder / name).rename(part / name)
        previous.finish(folder)
        assert [p.name for p in folder.iterdir()] == [previous.FOLDER]
        assert [p.name for p in previous.found(folder)] == ["5", "4"]
        assert identity.read(folder / "previous" / "5") == made()
        assert (folder / "previous" / "5" / "metrics.jsonl").exists()


def test_the_keys_that_may_change_are_those_of_the_documentation():
    # these count by their own rules
    by_own_rule = {"learning_rate", "accumulate", "batch_s", "update_s"}
    free = identity.FREE - by_own_rule
    documented = free | {"saving", "best_by"}  # a preset of two of them; not with plateau
    for page, first, last in (
        ("config/README.md", "These keys may change at any time", "A `learning_rate`"),
        ("docs/training.md", "| changed | what happens |", "but not with"),
    ):
        text = (ROOT / page).read_text(encoding="utf-8")
        start = text.index(first)
        found = re.findall(r"`(\w+)`", text[start : text.index(last, start)])
        assert set(found) - {"plateau"} == documented, page


def test_a_state_of_an_earlier_version_is_the_same_run():
    """The identity that version 0.1 before `batch_s` wrote for these settings, with 120 frames."""
    vocabulary = sha256_json([" ", "a"])
    assert made(vocabulary_sha256=vocabulary)["sha256"] == (
        "5cba8e8bc53d69b66fe5b4e693d6a0f05d812387b7614ec6b67226ceddbebc8b"
    )
    assert made(vocabulary_sha256=vocabulary)["identity"]["batch_frames"] == 120


def test_long_values_are_not_printed_in_a_difference():
    old, new = {"a": 1, "architecture": None}, {"a": 2, "architecture": {"dim": 1024}}
    assert identity.differences(old, new) == ["a 1 -> 2", "architecture"]
    assert identity.differences(new, old) == ["a 2 -> 1", "architecture"]
