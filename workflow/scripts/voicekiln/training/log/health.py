"""Health checks on logged metrics; each warning is raised once."""

import statistics
from collections import deque
from collections.abc import Sequence

import psutil

from voicekiln.training.log import trends

QUIET = 100  # lines without its cause after which a warning is raised again
WAITING = 0.2  # fraction of the time spent waiting for batches
WINDOWS = (20, 40, 80, 160)  # lines in which memory grows
GROWTH_MB, GROWTH = 500, 0.1  # of the host's memory; MB, and as a fraction
GPU_GROWTH_MB, GPU_GROWTH = 250, 0.03  # of the GPU's
FREE_MB = 500
# GPU memory in use, from one log line to the next; it settles in the first lines
RISE, RISE_MB, SETTLED = 0.25, 1000, 3
BEFORE, MIN_BEFORE = 50, 20  # logged losses that a spike is compared with
SPIKE_DEVIATIONS, SPIKE_RISE = 7.0, 0.25
FIRST_CHECK = 90  # lines after the warm-up; the next checks come at twice as many each
FLAT = 0.05  # the loss fell by less than this fraction, with two standard errors to spare
NOISE_LINES, MAX_NOISE = 50, 0.4
NOISE_GROWTH, MIN_NOISE = 3.0, 0.15  # or a multiple of the initial noise
SLOW_LINES, SLOW_TIMES, SLOW_S = 20, 1.5, 2.0  # lines shorter than SLOW_S are ignored


class HealthChecks:
    """Checks each logged line of training.

    Args:
        workers: processes that load batches.
        warmup: updates of the warm-up.
        before: rows of metrics.jsonl that were logged before this process started.
    """

    def __init__(self, workers: int, warmup: int, before: Sequence[dict]):
        self._workers, self._warmup = workers, warmup
        self._host_mb: deque[float] = deque(maxlen=WINDOWS[-1])
        self._used_mb: deque[float] = deque(maxlen=WINDOWS[-1])
        self._pace: deque[tuple[float, float]] = deque(maxlen=SLOW_LINES)
        self._best_pace: tuple[float, float] | None = None  # median of a window, and its updates' s
        self._losses: list[float] = []  # after the warm-up
        self._recent: deque[float] = deque(maxlen=BEFORE)
        self._resumed = False
        self._first_noise: float | None = None
        self._n_lines = 0
        self._seen: dict[str, int] = {}  # warning -> the last line that caused it
        for row in before:
            self._take(row)
        self._resumed = bool(before)

    def check(self, row: dict) -> list[str]:
        """Warnings that this line causes and the lines before it did not.

        Args:
            row: of metrics.jsonl, with `update`, `updates`, `loss`, `seconds`, `steps`, `wait_s`
                and, if known, `host_mb`, and `free_mb` and `used_mb` of the GPU.
        """
        found = {"spike": self._spike(row)}
        self._take(row)
        found |= {
            "flat": self._flat(),
            "noise": self._noisy(),
            "wait": self._waiting(row),
            "slow": self._slow(row),
            "host": self._growing(row),
            "creep": self._creeping(row),
            "free": self._little_left(row),
            "rise": self._rising(row),
        }
        self._resumed = False
        new = [
            text
            for name, text in found.items()
            if text and self._n_lines - self._seen.get(name, -QUIET) >= QUIET
        ]
        self._seen |= {name: self._n_lines for name, text in found.items() if text}
        return new

    def _take(self, row):
        self._n_lines += 1
        self._recent.append(row["loss"])
        if row["update"] > self._warmup:
            self._losses.append(row["loss"])

    def _spike(self, row):
        before = list(self._recent)
        if len(before) < MIN_BEFORE or not trends.spike(
            before, row["loss"], SPIKE_DEVIATIONS, SPIKE_RISE
        ):
            return None
        when = " right after resuming" if self._resumed else ""
        remedy = (
            "check whether the learning rate or the data changed"
            if self._resumed
            else "if it does not fall back within some lines, stop, lower train.learning_rate and "
            "continue from the last checkpoint"
        )
        return (
            f"the training loss jumped to {row['loss']:.4g}{when}; the median of the {len(before)} "
            f"log lines before is {statistics.median(before):.4g}: {remedy}"
        )

    def _flat(self):
        n = len(self._losses)
        if n < FIRST_CHECK or n % FIRST_CHECK or (n // FIRST_CHECK).bit_count() != 1:
            return None
        first, last, rise, error = trends.change(self._losses)
        if rise - 2 * error > 0:
            return (
                f"the training loss rises: {first:.4g} in the first third of the log lines after "
                f"the warm-up, {last:.4g} in the last third: lower train.learning_rate"
            )
        if -rise + 2 * error >= FLAT:
            return None
        return (
            f"the training loss hardly falls: {first:.4g} in the first third of the log lines "
            f"after the warm-up, {last:.4g} in the last third: if the validation loss does not "
            "fall either, raise train.learning_rate or check that texts and audio match"
        )

    def _noisy(self):
        if len(self._losses) < NOISE_LINES:
            return None
        noise = trends.noise(self._losses[-NOISE_LINES:])
        if self._first_noise is None:
            self._first_noise = trends.noise(self._losses[:NOISE_LINES])
        grown = noise > max(NOISE_GROWTH * self._first_noise, MIN_NOISE)
        if noise <= MAX_NOISE and not grown:
            return None
        before = f", {self._first_noise:.0%} at first" if grown else ""
        return (
            f"the training loss fluctuates by {noise:.0%} from one log line to the next{before}: "
            "raise train.accumulate for larger updates, or lower train.learning_rate"
        )

    def _waiting(self, row):
        fraction = row["wait_s"] / row["seconds"] if row["seconds"] else 0.0
        if fraction <= WAITING or row["wait_s"] < 1.0:
            return None
        return (
            f"{fraction:.0%} of the time is spent waiting for batches: raise train.workers (now "
            f"{self._workers}), or put results/ on a faster disk"
        )

    def _slow(self, row):
        if row["seconds"] < SLOW_S:
            return None
        self._pace.append(
            (
                row["seconds"] / max(1, row.get("steps") or row["frames"]),
                row["seconds"] / row["updates"],
            )
        )
        if len(self._pace) < SLOW_LINES:
            return None
        now, update_s = (statistics.median(values) for values in zip(*self._pace, strict=True))
        if self._best_pace is None or now < self._best_pace[0]:
            self._best_pace = (now, update_s)
        best, best_s = self._best_pace
        if now <= SLOW_TIMES * best:
            return None
        return (
            f"updates take {now / best:.1f} times as long as they did ({best_s:.2f} s then, "
            f"{update_s:.2f} s now): check for other programs on the GPU and the CPU, for a GPU "
            "that throttles (nvidia-smi) and for a slow disk"
        )

    def _growing(self, row):
        if row.get("host_mb") is None:
            return None
        self._host_mb.append(row["host_mb"])
        values = list(self._host_mb)
        n = trends.creep(values, GROWTH_MB, GROWTH, WINDOWS)
        if not n:
            return None
        return (
            f"the memory of the training process grew from {values[-n]:.0f} to {values[-1]:.0f} MB "
            f"over the last {n} log lines and did not fall: if it nears the memory of the machine, "
            "stop and start again, training continues from its checkpoint"
        )

    def _creeping(self, row):
        if row.get("used_mb") is None:
            return None
        self._used_mb.append(row["used_mb"])
        values = list(self._used_mb)
        n = trends.creep(values[SETTLED:], GPU_GROWTH_MB, GPU_GROWTH, WINDOWS)
        if not n:
            return None
        return (
            f"the GPU memory in use grew from {values[-n]:.0f} to {values[-1]:.0f} MB over the "
            f"last {n} log lines and did not fall: check for other programs on the GPU "
            "(nvidia-smi); if there are none, stop and start again, training continues from its "
            "checkpoint"
        )

    def _little_left(self, row):
        if row.get("free_mb") is None or row["free_mb"] >= FREE_MB:
            return None
        return (
            f"{row['free_mb']:.0f} MB of GPU memory are free: lower train.batch_s, or keep "
            "other programs off the GPU"
        )

    def _rising(self, row):
        if row.get("used_mb") is None or len(self._used_mb) <= SETTLED:
            return None
        before, now = self._used_mb[-2], self._used_mb[-1]
        if now - before < max(RISE_MB, RISE * before):
            return None
        return (
            f"the GPU memory in use rose from {before:.0f} to {now:.0f} MB between two log lines: "
            "a longer batch than before, or another program on the GPU (nvidia-smi)"
        )


def resident_mb() -> float:
    """Resident memory of this process."""
    return psutil.Process().memory_info().rss / 1e6
