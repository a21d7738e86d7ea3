"""The best validation, early stopping, and what a course of losses gives warning of."""

import random

import pytest
from voicekiln.training.state.history import History


def history(*losses, every=10):
    return History([(every * i, {"loss": loss}) for i, loss in enumerate(losses)])


def by_mel(*pairs):
    """Validations with (text_ce, mel_ce), of which mel_ce counts."""
    losses = [{"loss": text + mel, "text_ce": text, "mel_ce": mel} for text, mel in pairs]
    return History([(10 * i, one) for i, one in enumerate(losses)], "mel_ce")


def test_the_base_is_never_the_best_and_of_equals_the_first_is():
    assert history().best is None and history(1.0).best is None
    assert history(1.0, 3.0, 2.0, 2.0).best == {"update": 20, "loss": 2.0}
    assert history(1.0, 3.0, 2.0, 2.0).without_best == 1


def test_the_training_ends_after_so_many_validations_without_a_better_one():
    assert history(4.5, 3.8, 3.5, 3.5).early_stop(patience=2) is None
    over = history(4.5, 3.8, 3.5, 3.5, 3.6).early_stop(patience=2)
    assert (
        "validation loss did not improve in 2 validations" in over
        and "3.50000 at update 20" in over
    )
    assert history(4.5, 3.8, 3.5, 3.5, 3.6).early_stop(patience=0) is None


def warnings(*losses, trained=list, by="loss"):
    """Warnings of a whole run by the update they come at; update 0 is the base."""
    rows = history(*losses).rows
    found = {}
    for n in range(1, len(rows) + 1):
        if said := History(rows[:n], by).warning(trained):
            found[rows[n - 1][0]] = said
    return found


def test_a_rise_is_reported_with_its_size():
    assert warnings(5.0, 4.0) == {}
    said = warnings(5.0, 4.0, 4.206)
    assert list(said) == [20] and "validation loss rose by +0.206" in said[20]
    assert "4.00000 at update 10, is kept" in said[20]
    assert warnings(5.0, 4.0, 4.039) == {}, "1 % is noise"


def test_overfitting_is_named_once():
    """S4-44: training goes down while validation goes up."""
    falling = [(u, 3.0 - u / 50) for u in range(0, 50, 2)]
    said = warnings(3.5, 2.7, 2.8, 2.9, 3.0, trained=lambda: falling)
    assert list(said) == [20, 30] and "rose by" in said[20]
    assert said[30].startswith("overfitting") and "2.7 at update 10 to 2.9" in said[30]
    assert "train.weight_decay" in said[30]
    steady = warnings(3.5, 2.7, 2.8, 2.9, trained=lambda: [(u, 2.0) for u in range(50)])
    assert not any("overfitting" in line for line in steady.values())


@pytest.mark.parametrize(
    "losses, at, since",
    [
        ((3.5,) * 6, 30, "0, the base"),  # nothing is learned at all
        ((4.0, *(3.5,) * 6), 40, "10"),
        ((4.0, 3.0, 3.5, 3.4, 3.3, 3.2, 3.1), 40, "10"),  # falls, and never below the best
        ((3.0, 3.5, 3.4, 3.3, 3.2, 3.1), 30, "0, the base"),
        ((5.0, 4.5, 3.8, 3.5, 3.5, 3.6, 3.55), 60, "30"),  # S4-45
        ((4.0, 3.0, 2.9999, 2.9998, 2.9997, 2.9996), 40, "10"),  # gains of nothing
    ],
)
def test_a_plateau_is_reported_once(losses, at, since):
    """S4-30, S4-45, S4-49: no new best for several validations, risen or not."""
    found = warnings(*losses)
    plateaus = {update: said for update, said in found.items() if "no improvement" in said}
    assert list(plateaus) == [at]
    assert f"no improvement since update {since}" in plateaus[at]


def test_a_plateau_that_ends_and_comes_back_is_reported_again():
    found = warnings(4.0, 3.0, 3.01, 3.0, 3.01, 2.5, 2.51, 2.5, 2.51)
    assert list(found) == [40, 80] and "since update 50" in found[80]


def test_a_noisy_course_that_falls_is_not_reported():
    """S4-43, and 200 courses that fall by half with 1 % of noise."""
    assert warnings(4.0, 3.5, 3.2, 3.0, 2.8) == {}
    for seed in range(200):
        rng = random.Random(seed)
        falling = [4 * 0.94**n * (1 + rng.gauss(0, 0.005)) for n in range(12)]
        assert warnings(*falling, trained=lambda: [(u, 2.0) for u in range(200)]) == {}


def test_older_checkpoints_know_the_best_and_the_last():
    meta = {"best": {"update": 20, "loss": 1.0}, "validated": 30, "validation_loss": 1.5}
    assert History.of(meta, "loss").values == [(20, 1.0), (30, 1.5)]
    none = {"best": None, "validated": None, "validation_loss": None}
    assert History.of(none, "loss").rows == []
    assert History.of(meta | {"validations": [[0, 3.0]]}, "loss").values == [(0, 3.0)]


def test_a_plateau_counts_from_the_end_of_the_warm_up():
    assert history(1.0, 2.0, 1.9, 1.8).values_since(10) == [2.0, 1.9, 1.8]


def test_what_counts_may_be_a_part_of_the_loss():
    course = by_mel((9, 9), (5, 3.0), (4, 3.5), (3, 3.2), (1, 3.1))
    assert course.best == {"update": 10, "loss": 8.0, "mel_ce": 3.0}
    assert course.without_best == 3 and course.values_since(20) == [3.5, 3.2, 3.1]
    over = course.early_stop(patience=3)
    assert "validation mel_ce did not improve in 3 validations; the best is 3.00000" in over
    said = by_mel((9, 9), (5, 3.0), (4, 3.5)).warning(list)
    assert said.startswith("validation mel_ce rose by +0.5")


def test_validations_that_do_not_tell_what_counts_are_left_out():
    rows = [(0, {"loss": 4.0}), (10, {"loss": 1.0}), (20, {"loss": 3.0, "mel_ce": 2.0})]
    assert History(rows, "mel_ce").best == {"update": 20, "loss": 3.0, "mel_ce": 2.0}
    assert History(rows[:2], "mel_ce").best is None and History(rows[:2], "mel_ce").last == 10
