"""What a training's numbers give cause to say while it runs, in words and each once."""

import statistics
from collections import deque
from collections.abc import Sequence
from pathlib import Path

WAIT_SHARE = 0.2  # of the time that goes into waiting for batches
LOOKS = 20  # in a row in which memory never fell
GROWN_SHARE, GROWN_MB = 0.2, 500
FREE_MB = 500
# GPU memory in use, from one log line to the next; in the first lines it finds its level
RISE_SHARE, RISE_MB, SETTLED = 0.25, 1000, 3
BEFORE = 10  # logged losses that a resumed run is held against
SPIKE_DEVIATIONS, SPIKE_SHARE = 6.0, 0.25


class Signs:
    """Looks at each logged line of training.

    Args:
        workers: `train.workers`.
        before: losses logged before this process began.
    """

    def __init__(self, workers: int, before: Sequence[float]):
        self._workers = workers
        self._before = list(before)[-BEFORE:]
        self._host_mb: deque[float] = deque(maxlen=LOOKS)
        self._used_mb: deque[float] = deque(maxlen=SETTLED + 1)
        self._said: set[str] = set()

    def of(self, row: dict) -> list[str]:
        """What this line gives cause to say for the first time.

        Args:
            row: of metrics.jsonl, with `loss`, `seconds`, `wait_s` and, where they are known,
                `host_mb`, and `free_mb` and `used_mb` of the GPU.
        """
        found = {
            "wait": self._waiting(row),
            "host": self._growing(row),
            "gpu": self._little_left(row),
            "rise": self._rising(row),
            "spike": self._spike(row),
        }
        new = {name: text for name, text in found.items() if text and name not in self._said}
        self._said.update(new)
        return list(new.values())

    def _waiting(self, row):
        share = row["wait_s"] / row["seconds"] if row["seconds"] else 0.0
        if share <= WAIT_SHARE or row["wait_s"] < 1.0:
            return None
        return (
            f"{share:.0%} of the time goes into waiting for batches: raise train.workers (now "
            f"{self._workers}), or put results/ on a faster disk"
        )

    def _growing(self, row):
        if row.get("host_mb") is None:
            return None
        if self._host_mb and row["host_mb"] < self._host_mb[-1]:
            self._host_mb.clear()
        self._host_mb.append(row["host_mb"])
        first, last = self._host_mb[0], self._host_mb[-1]
        if len(self._host_mb) < LOOKS or last - first < max(GROWN_MB, GROWN_SHARE * first):
            return None
        return (
            f"the process's memory grew from {first:.0f} to {last:.0f} MB in the last {LOOKS} log "
            "lines and never fell: it may run out"
        )

    def _little_left(self, row):
        if row.get("free_mb") is None or row["free_mb"] >= FREE_MB:
            return None
        return (
            f"{row['free_mb']:.0f} MB of the GPU are free: a lower train.batch_frames leaves room, "
            "and something else on the GPU may take it"
        )

    def _rising(self, row):
        if row.get("used_mb") is None:
            return None
        self._used_mb.append(row["used_mb"])
        if len(self._used_mb) <= SETTLED:
            return None
        before, now = self._used_mb[-2], self._used_mb[-1]
        if now - before < max(RISE_MB, RISE_SHARE * before):
            return None
        return (
            f"the GPU's memory in use rose from {before:.0f} to {now:.0f} MB between two log lines:"
            " a longer batch than before, or something else on the GPU"
        )

    def _spike(self, row):
        before, self._before = self._before, []  # only the first line after a resume counts
        if len(before) < BEFORE:
            return None
        mean, spread = statistics.fmean(before), statistics.stdev(before)
        if row["loss"] <= mean + max(SPIKE_DEVIATIONS * spread, SPIKE_SHARE * mean):
            return None
        return (
            f"the loss is {row['loss']:.4g} after going on, and was {mean:.4g} +- {spread:.2g} "
            "before: look whether the rate or the data changed"
        )


def host_mb() -> float | None:
    """Resident memory of this process, MB; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return None
    return pages * 4096 / 1e6
