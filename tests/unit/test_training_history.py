"""The best validation, the end for want of a better one, and what a course of losses says."""

from voicekiln.training.history import History


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
    assert history(4.5, 3.8, 3.5, 3.5).over(patience=2) is None
    over = history(4.5, 3.8, 3.5, 3.5, 3.6).over(patience=2)
    assert "no better validation loss in 2 validations" in over and "3.50000 at update 20" in over
    assert history(4.5, 3.8, 3.5, 3.5, 3.6).over(patience=0) is None


def test_a_rise_is_told_with_its_size():
    assert history(5.0, 4.0).concern(list) is None
    assert history(5.0, 4.0, 4.206).concern(list) == "validation loss rose by +0.206"
    assert history(5.0, 4.0, 4.0039).concern(list) is None, "less than a thousandth"


def test_learning_by_heart_is_named():
    """Training goes down while validation goes up."""
    trained = [(u, 3.0 - u / 50) for u in range(0, 50, 2)]
    said = history(3.5, 2.7, 2.8, 2.9).concern(lambda: trained)
    assert "2. time in a row" in said and "by heart" in said and "since update 10" in said
    assert "by heart" not in history(3.5, 2.7, 2.8, 2.9).concern(
        lambda: [(u, 2.0) for u in range(50)]
    )


def test_a_peak_is_said_to_be_reached():
    said = history(4.5, 3.8, 3.5, 3.6, 3.55, 3.58).concern(list)
    assert "no better one in 3 validations" in said and "update 20 (3.50000)" in said


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
    over = course.over(patience=3)
    assert "no better validation mel_ce in 3 validations; the best is 3.00000" in over
    assert by_mel((9, 9), (5, 3.0), (4, 3.5)).concern(list) == "validation mel_ce rose by +0.5"


def test_validations_that_do_not_tell_what_counts_are_left_out():
    rows = [(0, {"loss": 4.0}), (10, {"loss": 1.0}), (20, {"loss": 3.0, "mel_ce": 2.0})]
    assert History(rows, "mel_ce").best == {"update": 20, "loss": 3.0, "mel_ce": 2.0}
    assert History(rows[:2], "mel_ce").best is None and History(rows[:2], "mel_ce").last == 10
