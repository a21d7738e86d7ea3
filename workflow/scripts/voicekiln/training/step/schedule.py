"""The learning rate as a function of (update, validations so far); it has no state to save."""

import math
from collections.abc import Sequence

from voicekiln.errors import UserError
from voicekiln.training.settings import TrainSettings

BETTER = 1e-4  # fraction by which a loss must fall to count, as in torch's ReduceLROnPlateau


class Schedule:
    """From 0 to the peak over the warm-up, then by `schedule`; never below the floor.

    `linear` with floor 0 is what f5_tts's Trainer uses (upstream starts and ends at 1e-8 of the
    peak instead of 0). After the warm-up:

    linear, cosine    down to the floor at the end of the run
    cosine_restarts   down to the floor and back to the peak, in periods that grow by
                      `period_growth` (Loshchilov and Hutter 2017, SGDR)
    step              times `rate_factor` after each period
    exponential       the same, continuously
    multi_step        times `rate_factor` at each milestone, counted in updates from the run's start
    plateau           times `rate_factor` when more than `plateau_patience` validations in a row did
                      not improve by 0.01 % (torch's ReduceLROnPlateau)
    constant          the peak

    Args:
        settings: section `train`.
        updates: updates of the whole run.
        per_epoch: updates of an epoch.

    Attributes:
        kind: `schedule`.
        period: in updates; the default depends on the schedule.
    """

    def __init__(self, settings: TrainSettings, updates: int, per_epoch: int):
        s = self._settings = settings
        self.kind, self._updates = s.schedule, updates
        default = max(1, updates // 4) if self.kind == "cosine_restarts" else per_epoch
        self.period = s.period or default

    def learning_rate(self, update: int, losses: Sequence[float] = ()) -> float:
        """Learning rate of an update.

        Args:
            update: number of updates done before it: 0 for the first one.
            losses: validation losses so far; only `plateau` depends on them.
        """
        s = self._settings
        if update < s.warmup_updates:
            return s.learning_rate * update / s.warmup_updates
        after = update - s.warmup_updates
        # May be asked for one update more than the run has: stay at the floor.
        done = min(1.0, after / max(1, self._updates - s.warmup_updates))
        if self.kind == "constant":
            return s.learning_rate
        if self.kind == "linear":
            return s.learning_rate + (s.min_learning_rate - s.learning_rate) * done
        if self.kind == "cosine":
            return self._half_wave(done)
        if self.kind == "cosine_restarts":
            return self._half_wave(self._place_in_period(after))
        times = {
            "step": lambda: after // self.period,
            "exponential": lambda: after / self.period,
            "multi_step": lambda: sum(update >= milestone for milestone in s.milestones),
            "plateau": lambda: reductions(losses, s.plateau_patience),
        }
        if self.kind not in times:
            raise UserError(f"train.schedule: unknown schedule {self.kind!r}")
        return max(s.min_learning_rate, s.learning_rate * s.rate_factor ** times[self.kind]())

    def _half_wave(self, done):
        floor, peak = self._settings.min_learning_rate, self._settings.learning_rate
        return floor + (peak - floor) * (1 + math.cos(math.pi * done)) / 2

    def _place_in_period(self, after):
        length = self.period
        while after >= length:
            after -= length
            length *= self._settings.period_growth
        return after / length

    def early_reductions(self, per_epoch: int) -> str | None:
        """Warning about reductions within the first epoch, or None."""
        s = self._settings
        if self.kind == "multi_step":
            n = sum(milestone < per_epoch for milestone in s.milestones)
            what = f"{n} of {len(s.milestones)} of train.milestones"
        elif self.kind == "step":
            n = max(0, per_epoch - s.warmup_updates - 1) // self.period
            what = f"{n} reductions of the learning rate"
        else:
            return None
        if not n:
            return None
        left = max(s.learning_rate * s.rate_factor**n, s.min_learning_rate or 0)
        return (
            f"{what} fall into the first epoch ({per_epoch} updates): the learning rate is down to "
            f"{left:.3g} before every clip was seen once. Milestones and periods count updates"
        )


def reductions(losses: Sequence[float], patience: int) -> int:
    """Number of times that a plateau has lowered the learning rate after these validations."""
    best, bad, n = math.inf, 0, 0
    for loss in losses:
        if loss < best * (1 - BETTER):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            bad, n = 0, n + 1
    return n
