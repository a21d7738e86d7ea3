"""The learning rate as a function of (update, total updates): there is nothing to save."""

import math

from voicekiln.errors import UserError

SCHEDULES = ("linear", "cosine", "constant")


def learning_rate(
    update: int, total: int, *, schedule: str, peak: float, floor: float, warmup: int
) -> float:
    """The rate of the update that follows `update` finished ones.

    `linear` with floor 0 is what f5_tts's Trainer uses: up from 0 to the peak over the warm-up,
    then down to 0 at the end (upstream starts and ends at 1e-8 of the peak instead of 0).

    Args:
        update: updates done, from 0.
        total: updates of the whole run.
        schedule: `linear`, `cosine` (half a period down) or `constant`, each after the warm-up.
        peak: the rate at the end of the warm-up.
        floor: the rate at the end of the run.
        warmup: updates over which the rate rises from 0 to the peak.
    """
    if update < warmup:
        return peak * update / warmup
    if schedule == "constant":
        return peak
    # A run may be asked beyond its end (one more update after the last): stay at the floor.
    done = min(1.0, (update - warmup) / max(1, total - warmup))
    if schedule == "linear":
        return peak + (floor - peak) * done
    if schedule == "cosine":
        return floor + (peak - floor) * (1 + math.cos(math.pi * done)) / 2
    raise UserError(f"train.schedule: expected one of {', '.join(SCHEDULES)}, got {schedule!r}")
