"""Choice of the checkpoint that becomes the voice."""

from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.training.log.records import Metrics
from voicekiln.training.state import checkpoints as states
from voicekiln.training.state.history import TOTAL, History


def best_by(folder: Path) -> str:
    """Loss by which the best checkpoint was chosen, from the training's folder `checkpoints`."""
    return (states.pointed(folder, "best") or {}).get("by", TOTAL)


def candidates(folder: Path, by: str = TOTAL) -> list[dict[str, Any]]:
    """Undamaged checkpoints in a training's folder `checkpoints`, by update.

    Each has its name as `checkpoint`, `update`, `epoch`, `validation_loss`, and the loss `by` as
    `validation_<by>` (None if it was not validated).
    """
    rows = []
    for path, meta in states.good(folder):
        row = {
            "checkpoint": path.name,
            "update": meta["update"],
            "epoch": meta["epoch"],
            "validation_loss": meta["validation_loss"],
        }
        if by != TOTAL:
            row[f"validation_{by}"] = dict(History.of(meta, by).values).get(meta["update"])
        rows.append(row)
    return sorted(rows, key=lambda row: row["update"])


def course(training: Path, by: str = TOTAL) -> dict[int, float]:
    """The loss `by` of each validation after update 0, by update."""
    key = "loss" if by == TOTAL else f"loss_{by}"
    return {
        row["update"]: row.get(key, row["loss"])  # with one loss part, its loss is the total
        for row in metrics(training)
        if row["kind"] == "validation" and row["update"] > 0
    }


def choose(
    rows: list[dict[str, Any]], wanted: str | int, by: str, course: dict[int, float]
) -> tuple[dict[str, Any], str]:
    """The checkpoint to export, and the reason for the choice.

    Args:
        rows: from `candidates`.
        wanted: `best` (lowest validation loss), `last`, or the number of an update.
        by: the loss to compare.
        course: its value at every validation, also those whose checkpoints were not kept.

    Raises:
        UserError: there is no such checkpoint.
    """
    key = f"validation_{by}"
    validated = [row for row in rows if row[key] is not None]
    if wanted == "best" and validated:
        best = min(validated, key=lambda row: (row[key], row["update"]))
        lowest = min(course, key=course.get, default=best["update"])
        if course.get(lowest, best[key]) < course.get(best["update"], best[key]):
            there = "checkpoint" if len(validated) == 1 else f"{len(validated)} checkpoints"
            return best, (
                f"lowest validation {by} of the {there} that remain; the loss at update {lowest} "
                f"was lower ({course[lowest]:.5f}), but its checkpoint is missing or damaged"
            )
        n = max(len(course), len(validated))
        return best, f"lowest validation {by} of {n} validation{'s' if n > 1 else ''}"
    if wanted == "last" and rows:
        return rows[-1], "the last checkpoint, as evaluate.checkpoint asks"
    for row in rows:
        if row["update"] == wanted:
            return row, f"update {wanted}, as evaluate.checkpoint asks"
    there = ", ".join(str(row["update"]) for row in rows) or "none"
    raise UserError(
        f"evaluate.checkpoint: there is no checkpoint {wanted!r}; the undamaged ones are of the "
        f"updates {there}. Name one of them; or train again from update 0, with a larger "
        "train.keep or another train.save_every: delete the run's training/checkpoints and "
        "training/finished.json"
    )


def base_loss(training: Path) -> float | None:
    """Validation loss of the base before the first update."""
    for row in metrics(training):
        if row["kind"] == "validation" and row["update"] == 0:
            return row["loss"]
    return None


def metrics(training: Path) -> list[dict[str, Any]]:
    """Rows of a training's metrics.jsonl."""
    return Metrics(training / "metrics.jsonl").read()
