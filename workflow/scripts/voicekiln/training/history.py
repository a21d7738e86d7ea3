"""The validations of a run: which is the best, whether to stop, and what they say, in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

TOTAL = "loss"  # the sum of the parts
WITHOUT_BEST = 3  # validations without a better one from which something is said
RISES = 2  # in a row, from which overtraining is said
RISE_SHARE = 1e-3  # a single rise below it is not worth saying


@dataclass
class History:
    """Losses of the validations so far; kept in every checkpoint.

    Update 0 is the base before any training: to compare with, and never the best.

    Attributes:
        rows: update and losses by name, of which `loss` is the sum.
        by: name of the one that counts.
    """

    rows: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    by: str = TOTAL

    @classmethod
    def of(cls, meta: dict, by: str) -> "History":
        """That of a checkpoint; older ones know only the sums, or only the best and the last."""
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
        """Update and the loss that counts, of the validations that tell it."""
        return [(update, losses[self.by]) for update, losses in self.rows if self.by in losses]

    def values_since(self, update: int) -> list[float]:
        """Those of the validations from an update on, in order."""
        return [value for at, value in self.values if at >= update]

    @property
    def what(self) -> str:
        """The loss that counts, in words."""
        return f"validation {self.by}"

    @property
    def last(self) -> int | None:
        """Update of the last validation."""
        return self.rows[-1][0] if self.rows else None

    @property
    def best(self) -> dict | None:
        """`{"update", "loss"}` of the best validation after an update; the first of equals.

        With the loss that counts, where that is another.
        """
        after = [row for row in self.values if row[0] > 0]
        if not after:
            return None
        update, value = min(after, key=lambda row: row[1])
        return {"update": update, TOTAL: dict(self.rows)[update][TOTAL], self.by: value}

    @property
    def without_best(self) -> int:
        """Validations since the best."""
        best = self.best
        return 0 if best is None else sum(update > best["update"] for update, _ in self.values)

    def over(self, patience: int) -> str | None:
        """Why the training is to end early, or None.

        Args:
            patience: validations without a better one; 0 never ends it.
        """
        if not patience or self.without_best < patience:
            return None
        best = self.best
        return (
            f"ended early: no better {self.what} in {self.without_best} validations; the best "
            f"is {best[self.by]:.5f} at update {best['update']}"
        )

    def concern(self, trained: Callable[[], Sequence[tuple[int, float]]]) -> str | None:
        """What the last validation gives cause to say, or None.

        Args:
            trained: gives (update, training loss) as logged; asked only after a rise.
        """
        values = [value for _, value in self.values]
        if len(values) < 2 or values[-1] <= values[-2]:
            return None
        said = f"{self.what} rose by {values[-1] - values[-2]:+.4g}"
        best = self.best
        rises = 0
        while rises + 1 < len(values) and values[-1 - rises] > values[-2 - rises]:
            rises += 1
        fell = self._fall(trained(), best["update"])
        if rises >= RISES and fell is not None:
            before, now = fell
            return (
                f"{said}, the {rises}. time in a row, while the training loss fell from "
                f"{before:.4g} to {now:.4g} since update {best['update']}: the model learns the "
                "training clips by heart. The best checkpoint is kept; stop here, or train on more "
                "data, with a lower rate or more weight decay"
            )
        if self.without_best >= WITHOUT_BEST:
            return (
                f"{said}; no better one in {self.without_best} validations: the peak may have been "
                f"reached at update {best['update']} ({best[self.by]:.5f}), whose checkpoint is "
                "kept"
            )
        return said if values[-1] > values[-2] * (1 + RISE_SHARE) else None

    def _fall(self, trained, since):
        """Mean training losses around `since` and of the end, where they fell."""
        after = [loss for update, loss in trained if update > since]
        before = [loss for update, loss in trained if update <= since]
        n = min(len(after), len(before), 20)
        if n == 0:
            return None
        early, late = sum(before[-n:]) / n, sum(after[-n:]) / n
        return (early, late) if late < early else None
