"""What a voice forgets of the runs it comes from."""

import pytest
from training_setup import TRAIN
from voicekiln.errors import UserError
from voicekiln.training.settings import train_settings
from voicekiln.training.step.forgetting import Forgetting


class Course:
    """Losses of a run's validation clips, one after the other."""

    def __init__(self, *losses):
        self._losses = iter(losses)

    def losses(self, update):
        return next(self._losses)


def forgetting(course=None, limit=None):
    settings = train_settings(TRAIN | {"max_forgetting": limit}, "f5")
    return Forgetting(settings, {"first": course} if course else {})


def course(*losses, limit=None):
    earlier = forgetting(Course(*({"flow": loss} for loss in losses)), limit)
    for n in range(len(losses)):
        yield earlier.warnings(earlier.losses(10 * n))


def test_a_loss_that_rises_is_reported_once():
    said = list(course(1.0, 0.9, 1.05, 1.11, 1.3, 1.0, 1.2))
    assert [bool(lines) for lines in said] == [False, False, False, True, False, False, True]
    assert "forgets run first" in said[3][0] and "from 1 to 1.11 (+11%)" in said[3][0]
    assert "train.learning_rate" in said[3][0]


def test_above_the_limit_training_stops():
    steps = course(1.0, 1.19, 1.21, limit=0.2)
    assert next(steps) == [] and next(steps)
    with pytest.raises(UserError, match=r"run first rose from 1 to 1.21 .*max_forgetting \(20%\)"):
        next(steps)


def test_a_resumed_training_compares_with_the_same_start():
    earlier = forgetting(Course({"flow": 1.5}))
    earlier.restore(
        [{"kind": "train", "update": 0}, {"kind": "earlier", "update": 0, "first": 1.0}]
    )
    (said,) = earlier.warnings(earlier.losses(40))
    assert "from 1 to 1.5" in said


def test_nothing_is_said_while_training_is_to_stop():
    earlier = forgetting(Course(None))
    assert earlier.losses(10) is None
    assert forgetting().losses(10) == {}
