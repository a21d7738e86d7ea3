"""The validations of a run: the best one, early stopping, warnings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

TOTAL = "loss"  # the weighted sum of the loss parts
PLATEAU = 3  # validations without an improvement
MIN_GAIN = 1e-3  # a smaller fraction below the best is not an improvement
RISES = 2  # rises in a row that are overfitting if the training loss falls
MIN_RISE = 0.02  # a smaller single rise is noise


@dataclass
class History:
    """Losses of the validations so far; kept in every checkpoint.

    Update 0 is the base before any training: a reference, never the best.

    Attributes:
        rows: update and losses by name; `loss` is their weighted sum.
        by: name of the loss that decides, `train.best_by`.
    """

    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    by: str = TOTAL

    @classmethod
    def of(cls, meta: dict, by: str) -> "History":
        """From a checkpoint's meta; older ones have only the sums, or the best and the last."""
        if "validations" in meta:
            rows = [tuple(row) for row in meta["validations"]]
        else:
            best, last = meta["best"], (meta["validated"], meta["validation_loss"])
            rows = [(best["update"], best["loss"])] if best else []
            if None not in last and last not in rows:
                rows.append(last)
        return cls([(at, one if isinstance(one, dict) else {TOTAL: one}) for at, one in rows], by)

    @property
    def values(self) -> list[tuple[int, float]]:
        """Update and deciding loss of the validations that have it."""
        return [(update, losses[self.by]) for update, losses in self.rows if self.by in losses]

    def values_since(self, update: int) -> list[float]:
        """Deciding losses of the validations from an update on, in order."""
        return [value for at, value in self.values if at >= update]

    @property
    def what(self) -> str:
        """Name of the deciding loss, for messages."""
        return f"validation {self.by}"

    @property
    def last(self) -> int | None:
        """Update of the last validation."""
        return self.rows[-1][0] if self.rows else None

    @property
    def best(self) -> dict | None:
        """`{"update", "loss"}` of the best validation after an update; the first of equals.

        With the deciding loss too, if it is another one.
        """
        after = [row for row in self.values if row[0] > 0]
        if not after:
            return None
        update, value = min(after, key=lambda row: row[1])
        return {"update": update, TOTAL: dict(self.rows)[update][TOTAL], self.by: value}

    @property
    def without_best(self) -> int:
        """Number of validations since the best."""
        best = self.best
        return 0 if best is None else sum(update > best["update"] for update, _ in self.values)

    def early_stop(self, patience: int) -> str | None:
        """Why training has to end early, or None.

        Args:
            patience: validations without an improvement; 0 never ends it.
        """
        if not patience or self.without_best < patience:
            return None
        best = self.best
        return (
            f"early stopping: {self.what} did not improve in {self.without_best} validations; the "
            f"best is {best[self.by]:.5f} at update {best['update']}"
        )

    def warning(self, trained: Callable[[], Sequence[tuple[int, float]]]) -> str | None:
        """Warning about the latest validation, or None; a condition is reported once.

        Args:
            trained: returns (update, training loss) as logged; called only after two rises.
        """
        values = self.values
        if len(values) < 2:
            return None
        now, before = _condition(values, trained), _condition(values[:-1], trained)
        if now is not None:
            return _message(self.what, *now) if before is None or before[:2] != now[:2] else None
        last, previous = values[-1][1], values[-2][1]
        if last <= previous * (1 + MIN_RISE):
            return None
        best = self.best
        kept = f"; the best, {best[self.by]:.5f} at update {best['update']}, is kept"
        return f"{self.what} rose by {last - previous:+.4g}{kept}"


# name of the condition, the update since which it holds, and figures for its message
Condition = tuple[str, int, tuple[float, ...]]


def _condition(
    values: Sequence[tuple[int, float]], trained: Callable[[], Sequence[tuple[int, float]]]
) -> Condition | None:
    """`overfitting` or `plateau`; None while the validations improve."""
    rises = 0
    while rises + 1 < len(values) and values[-1 - rises][1] > values[-2 - rises][1]:
        rises += 1
    if rises >= RISES:
        since, lowest = values[-1 - rises]
        until = values[-1][0]
        if fell := _fall([row for row in trained() if row[0] <= until], since):
            return "overfitting", since, (lowest, values[-1][1], *fell)
    (since, best), count = values[0], 0
    for update, value in values[1:]:
        if value < best * (1 - MIN_GAIN):
            since, best, count = update, value, 0
        else:
            count += 1
    return ("plateau", since, (best,)) if count >= PLATEAU else None


def _fall(trained: Sequence[tuple[int, float]], since: int) -> tuple[float, float] | None:
    """Mean training losses up to `since` and at the end, if they fell."""
    after = [loss for update, loss in trained if update > since]
    before = [loss for update, loss in trained if update <= since]
    n = min(len(after), len(before), 20)
    if n == 0:
        return None
    early, late = sum(before[-n:]) / n, sum(after[-n:]) / n
    return (early, late) if late < early else None


def _message(what: str, name: str, since: int, figures: tuple[float, ...]) -> str:
    """The warning about a condition, with what to do."""
    if name == "overfitting":
        lowest, last, early, late = figures
        return (
            f"overfitting: the {what} rose from {lowest:.4g} at update {since} to {last:.4g} while "
            f"the training loss fell from {early:.4g} to {late:.4g}; the best checkpoint is kept: "
            "stop here, or train on more data, with a lower train.learning_rate or more "
            "train.weight_decay"
        )
    if since == 0:
        return (
            f"no improvement since update 0, the base: no {what} is below its {figures[0]:.5f} "
            f"after {PLATEAU} validations: lower train.learning_rate, and check that texts "
            "and audio match"
        )
    return (
        f"no improvement since update {since}: no {what} is below {figures[0]:.5f} after "
        f"{PLATEAU} validations, which may be the peak; its checkpoint is kept: stop here, or "
        f"set train.patience: {PLATEAU} to end such a run automatically"
    )
