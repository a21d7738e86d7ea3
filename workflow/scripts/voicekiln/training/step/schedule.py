"""The learning rate as a function of (update, validations so far): there is nothing to save."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from voicekiln.errors import UserError
from voicekiln.training.settings import TrainSettings

BETTER = 1e-4  # share by which a loss has to be lower to count, as in torch's ReduceLROnPlateau


@dataclass(frozen=True)
class Schedule:
    """Up from 0 to the peak over the warm-up, then as `kind` says; never below the floor.

    `linear` with floor 0 is what f5_tts's Trainer uses (upstream starts and ends at 1e-8 of the
    peak instead of 0). After the warm-up:

    linear, cosine    down to the floor at the end of the run
    cosine_restarts   down to the floor and back to the peak, in periods that grow by `growth`
                      (Loshchilov and Hutter 2017, SGDR)
    step              times `factor` after each period
    exponential       the same, continuously
    multi_step        times `factor` at each milestone, counted in updates from the run's begin
    plateau           times `factor` when more than `patience` validations in a row were not better
                      by 0.01 % (torch's ReduceLROnPlateau)
    constant          the peak
    """

    kind: str
    peak: float
    floor: float
    warmup: int  # updates
    total: int  # updates of the whole run
    period: int  # updates
    growth: int
    factor: float
    milestones: tuple[int, ...]
    patience: int  # validations

    @classmethod
    def of(cls, s: TrainSettings, updates: int, per_epoch: int) -> "Schedule":
        """The schedule that the settings describe.

        Args:
            updates: of the whole run.
            per_epoch: updates of an epoch.
        """
        default = max(1, updates // 4) if s.schedule == "cosine_restarts" else per_epoch
        return cls(
            s.schedule,
            s.learning_rate,
            s.min_learning_rate,
            s.warmup_updates,
            updates,
            s.period or default,
            s.period_growth,
            s.rate_factor,
            s.milestones,
            s.plateau_patience,
        )

    def rate(self, update: int, losses: Sequence[float] = ()) -> float:
        """The rate of the update that follows `update` finished ones.

        Args:
            losses: of the validations until then; only `plateau` asks for them.
        """
        if update < self.warmup:
            return self.peak * update / self.warmup
        after = update - self.warmup
        # A run may be asked beyond its end (one more update after the last): stay at the floor.
        done = min(1.0, after / max(1, self.total - self.warmup))
        if self.kind == "constant":
            return self.peak
        if self.kind == "linear":
            return self.peak + (self.floor - self.peak) * done
        if self.kind == "cosine":
            return self._half_wave(done)
        if self.kind == "cosine_restarts":
            return self._half_wave(self._place_in_period(after))
        times = {
            "step": lambda: after // self.period,
            "exponential": lambda: after / self.period,
            "multi_step": lambda: sum(update >= milestone for milestone in self.milestones),
            "plateau": lambda: reductions(losses, self.patience),
        }
        if self.kind not in times:
            raise UserError(f"train.schedule: there is no {self.kind!r}")
        return max(self.floor, self.peak * self.factor ** times[self.kind]())

    def _half_wave(self, done):
        return self.floor + (self.peak - self.floor) * (1 + math.cos(math.pi * done)) / 2

    def _place_in_period(self, after):
        length = self.period
        while after >= length:
            after -= length
            length *= self.growth
        return after / length

    def early(self, per_epoch: int) -> str | None:
        """What is to be said of reductions that fall into the first epoch, or None."""
        if self.kind == "multi_step":
            cuts = [m for m in self.milestones if m < per_epoch]
            what = f"{len(cuts)} of {len(self.milestones)} of train.milestones"
        elif self.kind == "step":
            first_epoch = max(0, per_epoch - self.warmup - 1) // self.period
            cuts, what = [self.period] * first_epoch, f"{first_epoch} steps of the rate"
        else:
            return None
        if not cuts:
            return None
        left = self.peak * self.factor ** len(cuts)
        return (
            f"{what} fall into the first epoch ({per_epoch} updates): the rate is down to "
            f"{left:.3g} before every clip was seen once. They are counted in updates"
        )


def reductions(losses: Sequence[float], patience: int) -> int:
    """How often a plateau has lowered the rate after these validations."""
    best, bad, n = math.inf, 0, 0
    for loss in losses:
        if loss < best * (1 - BETTER):
            best, bad = loss, 0
        else:
            bad += 1
        if bad > patience:
            bad, n = 0, n + 1
    return n
