import json

import pytest
import torch
from voicekiln.errors import UserError
from voicekiln.training.state import checkpoints
from voicekiln.voice import choice


@pytest.fixture
def kept(tmp_path):
    """Checkpoints of four updates; the third is damaged, the last not validated."""
    folder = tmp_path / "checkpoints"
    for update, loss in ((10, 2.0), (20, 1.5), (30, 1.0), (40, None)):
        meta = {"update": update, "epoch": 1, "validation_loss": loss}
        checkpoints.save(folder, {"w": torch.ones(3)}, {"model": {}}, meta)
    (folder / "checkpoint_30" / checkpoints.WEIGHTS).write_bytes(b"damaged")
    return folder


def test_the_best_last_or_a_named_checkpoint_is_chosen(kept):
    rows = choice.candidates(kept)
    assert [row["update"] for row in rows] == [10, 20, 40]
    course = {10: 2.0, 20: 1.5}
    assert choice.choose(rows, "best", "loss", course)[0]["update"] == 20
    assert choice.choose(rows, "last", "loss", course)[0]["update"] == 40
    assert choice.choose(rows, 10, "loss", course)[0]["checkpoint"] == "checkpoint_10"


def test_it_is_said_of_what_the_chosen_one_is_the_best(kept):
    rows = choice.candidates(kept)
    course = {5: 2.5, 10: 2.0, 15: 1.7, 20: 1.5, 25: 1.6}
    assert (
        choice.choose(rows, "best", "loss", course)[1] == "lowest validation loss of 5 validations"
    )
    best, why = choice.choose(rows, "best", "loss", course | {30: 1.0})
    assert best["update"] == 20
    assert why == (
        "lowest validation loss of the 2 checkpoints that remain; the loss at update 30 was lower "
        "(1.00000), but its checkpoint is missing or damaged"
    )


def test_the_course_is_that_of_the_loss_that_counts(tmp_path):
    rows = [
        {"kind": "validation", "update": 0, "loss": 9.0},
        {"kind": "train", "update": 1, "loss": 3.0},
        {"kind": "validation", "update": 10, "loss": 2.0, "loss_flow": 1.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert choice.course(tmp_path) == {10: 2.0}
    assert choice.course(tmp_path, "flow") == {10: 1.0}


def test_the_best_may_be_by_a_part_of_the_loss(tmp_path):
    course = [[0, {"loss": 9.0}]]
    for update, loss, mel in ((10, 2.0, 1.0), (20, 1.5, 1.2)):
        course.append([update, {"loss": loss, "mel_ce": mel}])
        meta = {"update": update, "epoch": 1, "validation_loss": loss, "validations": course}
        checkpoints.save(tmp_path, {"w": torch.ones(3)}, {"model": {}}, meta)
    assert choice.best_by(tmp_path) == "loss", "as it was before there was a choice"
    checkpoints.point(tmp_path, "best", tmp_path / "checkpoint_10", by="mel_ce")
    by = choice.best_by(tmp_path)
    best, why = choice.choose(choice.candidates(tmp_path, by), "best", by, {10: 1.0, 20: 1.2})
    assert best["update"] == 10 and best["validation_mel_ce"] == 1.0
    assert why == "lowest validation mel_ce of 2 validations"


@pytest.mark.parametrize("wanted", [30, 99])
def test_a_damaged_or_missing_one_is_told(kept, wanted):
    with pytest.raises(UserError, match=f"no checkpoint {wanted}; .* 10, 20, 40") as raised:
        choice.choose(choice.candidates(kept), wanted, "loss", {})
    # with the checkpoints there, the worker finds the last epoch done
    assert "delete the run's training/checkpoints and" in str(raised.value)


def test_no_checkpoint_at_all(tmp_path):
    with pytest.raises(UserError, match="none"):
        choice.choose(choice.candidates(tmp_path), "best", "loss", {})
