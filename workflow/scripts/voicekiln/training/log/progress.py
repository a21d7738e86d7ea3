"""The progress line, for the terminal and for programs that look in."""

import json
import time
from collections import deque
from pathlib import Path

from voicekiln.store.files import write_atomic
from voicekiln.training.process.events import EventWriter

FILE = "progress.json"
WRITE_EVERY_S = 1.0
MEAN_OVER_UPDATES = 20  # the update time is the mean over this many


def line(
    epoch: int, epochs: int, done: int, per_epoch: int, elapsed_s: float, update_s: float, end: str
) -> str:
    """One line: `Epoch 1/10: 11% | 50/452 [33:12<4:08:02, 37.02s/update, loss=0.401, update=50]`.

    Args:
        epoch: from 1.
        epochs: in the run.
        done: updates of this epoch.
        per_epoch: updates in an epoch.
        elapsed_s: time in this epoch, or since the process started if that was later.
        update_s: seconds an update takes; the time left is that of this epoch.
        end: text to append.
    """
    left = clock((per_epoch - done) * update_s)
    return (
        f"Epoch {epoch}/{epochs}: {done * 100 // per_epoch}% | {done}/{per_epoch}"
        f" [{clock(elapsed_s)}<{left}, {update_s:.2f}s/update{end}]"
    )


def clock(seconds: float) -> str:
    """Duration as `MM:SS`, or `H:MM:SS` from an hour on."""
    minutes, s = divmod(int(seconds + 0.5), 60)
    h, m = divmod(minutes, 60)
    return f"{h}:{m:02d}:{s:02d}" if h else f"{m:02d}:{s:02d}"


class Progress:
    """Reports progress about once a second, as an event and in progress.json.

    Args:
        directory: of the training.
        epochs: in the run.
        per_epoch: updates in an epoch.
        update: updates done at the start of this process.
        events: to the launcher.
    """

    def __init__(
        self, directory: Path, epochs: int, per_epoch: int, update: int, events: EventWriter
    ):
        self.path = directory / FILE
        self.epochs, self.per_epoch, self._events = epochs, per_epoch, events
        now = time.monotonic()
        self._ends: deque[float] = deque([now], maxlen=MEAN_OVER_UPDATES + 1)
        self._epoch_start, self._epoch, self._written = now, update // per_epoch, 0.0

    def pause(self) -> None:
        """Exclude the time since the last update (validation, saving)."""
        self._ends.clear()
        self._ends.append(time.monotonic())

    def tick(self, update: int, loss: float | None) -> None:
        """Count one update, and report if due.

        Args:
            update: updates done.
            loss: the latest known.
        """
        now = time.monotonic()
        self._ends.append(now)
        # The update that ends an epoch still belongs to it.
        epoch = (update - 1) // self.per_epoch
        if epoch != self._epoch:
            self._epoch, self._epoch_start = epoch, self._ends[-2]
        if now - self._written < WRITE_EVERY_S and update < self.epochs * self.per_epoch:
            return
        self._written = now
        update_s = (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)
        left_s = update_s * (self.epochs * self.per_epoch - update)
        shown = "" if loss is None else f", loss={loss:.3f}"
        record = {
            "line": line(
                epoch + 1,
                self.epochs,
                update - epoch * self.per_epoch,
                self.per_epoch,
                now - self._epoch_start,
                update_s,
                f"{shown}, update={update}, {clock(left_s)} left in total",
            ),
            "update": update,
            "updates": self.epochs * self.per_epoch,
            "update_s": round(update_s, 4),
            "left_s": round(left_s, 1),
            "loss": loss,
        }
        # not synced to disk: it is only read while training runs
        self._events.write("progress", text=record["line"])
        write_atomic(self.path, json.dumps(record) + "\n")
