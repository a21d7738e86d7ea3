"""The validations of a run: which is the best, whether to stop, and what they say, in words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

WITHOUT_BEST = 3  # validations without a better one from which something is said
RISES = 2  # in a row, from which overtraining is said


@dataclass
class History:
    """Losses of the validations so far, by update; kept in every checkpoint.

    Update 0 is the base before any training: to compare with, and never the best.
    """

    rows: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def of(cls, meta: dict) -> "History":
        """That of a checkpoint; older ones know only the best and the last."""
        if "validations" in meta:
            return cls([tuple(row) for row in meta["validations"]])
        best, last = meta["best"], (meta["validated"], meta["validation_loss"])
        rows = [(best["update"], best["loss"])] if best else []
        if None not in last and last not in rows:
            rows.append(last)
        return cls(rows)

    def losses_since(self, update: int) -> list[float]:
        """Losses of the validations from an update on, in order."""
        return [loss for at, loss in self.rows if at >= update]

    @property
    def last(self) -> int | None:
        """Update of the last validation."""
        return self.rows[-1][0] if self.rows else None

    @property
    def best(self) -> dict | None:
        """`{"update", "loss"}` of the best validation after an update; the first of equals."""
        after = [row for row in self.rows if row[0] > 0]
        if not after:
            return None
        update, loss = min(after, key=lambda row: row[1])
        return {"update": update, "loss": loss}

    @property
    def without_best(self) -> int:
        """Validations since the best."""
        best = self.best
        return 0 if best is None else sum(update > best["update"] for update, _ in self.rows)

    def over(self, patience: int) -> str | None:
        """Why the training is to end early, or None.

        Args:
            patience: validations without a better one; 0 never ends it.
        """
        if not patience or self.without_best < patience:
            return None
        best = self.best
        return (
            f"ended early: no better validation loss in {self.without_best} validations; the best "
            f"is {best['loss']:.5f} at update {best['update']}"
        )

    def concern(self, trained: Callable[[], Sequence[tuple[int, float]]]) -> str | None:
        """What the last validation gives cause to say, or None.

        Args:
            trained: gives (update, training loss) as logged; asked only after a rise.
        """
        if len(self.rows) < 2 or self.rows[-1][1] <= self.rows[-2][1]:
            return None
        said = f"validation loss rose by {self.rows[-1][1] - self.rows[-2][1]:+.4g}"
        best = self.best
        rises = 0
        while rises + 1 < len(self.rows) and self.rows[-1 - rises][1] > self.rows[-2 - rises][1]:
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
                f"reached at update {best['update']} ({best['loss']:.5f}), whose checkpoint is kept"
            )
        return said

    def _fall(self, trained, since):
        """Mean training losses around `since` and of the end, where they fell."""
        after = [loss for update, loss in trained if update > since]
        before = [loss for update, loss in trained if update <= since]
        n = min(len(after), len(before), 20)
        if n == 0:
            return None
        early, late = sum(before[-n:]) / n, sum(after[-n:]) / n
        return (early, late) if late < early else None
