"""Mean training loss and duration of each epoch."""

from collections.abc import Sequence

from voicekiln.training.log.progress import clock

MAX_SHOWN = 5  # losses of a trend: the first and the newest


class Epochs:
    """Sums of logged lines by epoch; no line spans two epochs."""

    def __init__(self):
        self._sums: dict[int, list[float]] = {}  # epoch from 1: loss x updates, updates, seconds

    @classmethod
    def of(cls, rows: Sequence[dict]) -> "Epochs":
        """From the lines of metrics.jsonl."""
        epochs = cls()
        for row in rows:
            if row["kind"] == "train":
                epochs.add(row)
        return epochs

    def add(self, row: dict) -> None:
        """Add one line of training, as in metrics.jsonl."""
        sums = self._sums.setdefault(row["epoch"], [0.0, 0, 0.0])
        sums[0] += row["loss"] * row["updates"]
        sums[1] += row["updates"]
        sums[2] += row["seconds"]

    @property
    def losses(self) -> list[float]:
        """Mean loss of each epoch, in order."""
        return [self._sums[epoch][0] / self._sums[epoch][1] for epoch in sorted(self._sums)]

    def line(self, epoch: int, epochs: int) -> str:
        """`epoch 3/10: loss 0.412 (0.571 -> 0.448 -> 0.412), 12:05`.

        Args:
            epoch: the one that ended, from 1.
            epochs: in the run.
        """
        losses = [f"{loss:.3f}" for loss in self.losses]
        trend = losses if len(losses) <= MAX_SHOWN else [losses[0], "...", *losses[1 - MAX_SHOWN :]]
        shown = f" ({' -> '.join(trend)})" if len(losses) > 1 else ""
        return f"epoch {epoch}/{epochs}: loss {losses[-1]}{shown}, {clock(self._sums[epoch][2])}"
