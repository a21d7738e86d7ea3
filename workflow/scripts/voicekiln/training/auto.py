"""Settings that are `auto`: values by hours of training audio, from the family's table.

They are resolved when a training starts, and kept in fingerprint.json: a training that continues
has the same ones, whatever the table of a later version says.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from voicekiln.errors import UserError
from voicekiln.families.facts import Auto
from voicekiln.training.settings import AUTO, TrainSettings, with_floor

FAR = 3.0  # factor between a learning rate and the table's from which a warning is logged


@dataclass(frozen=True)
class Resolved:
    """Settings without `auto`.

    Attributes:
        settings: section `train`.
        values: what `auto` stands for, by key; for fingerprint.json.
        notices: one sentence for each of them, with the rule and its source.
    """

    settings: TrainSettings
    values: dict[str, Any]
    notices: tuple[str, ...]


def resolve(
    settings: TrainSettings, hours: float, table: Auto, stored: Mapping[str, Any]
) -> Resolved:
    """Replace each `auto` by the value of an earlier start, or else by the table's.

    Args:
        settings: section `train`.
        hours: length of the training audio.
        table: the family's.
        stored: values that earlier starts of the same training resolved, by key.

    Raises:
        UserError: `min_learning_rate` is above the learning rate.
    """
    span, row = table.row(hours)
    values, notices = {}, []
    for key in table.keys:
        if getattr(settings, key) != AUTO:
            continue
        if key in stored:
            values[key] = stored[key]
            notices.append(f"train.{key}: auto is {stored[key]}, as when this training started")
        else:
            values[key] = row[key]
            notices.append(
                f"train.{key}: auto is {row[key]}, for {hours:.2f} h of training audio ({span}; "
                f"{table.source})"
            )
    as_settings = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    settings = with_floor(replace(settings, **as_settings))
    if settings.min_learning_rate > settings.learning_rate:
        raise UserError(
            f"train.min_learning_rate ({settings.min_learning_rate:g}) must not be above the "
            f"learning rate ({settings.learning_rate:g}, from train.learning_rate: auto); lower it"
        )
    return Resolved(settings, values, tuple(notices))


def unusual(settings: TrainSettings, hours: float, table: Auto) -> Iterator[str]:
    """Warnings about configured values that are far from the table's.

    Args:
        settings: section `train`, without `auto`.
        hours: length of the training audio.
        table: the family's; it may be empty.
    """
    if not table.rows:
        return
    span, row = table.row(hours)
    usual, rate = row.get("learning_rate"), settings.learning_rate
    if usual and not usual / FAR < rate < usual * FAR:
        ratio, how = (usual / rate, "low") if rate < usual else (rate / usual, "high")
        yield (
            f"train.learning_rate: {rate:g} is {ratio:.3g}x too {how} for {hours:.1f} h of "
            f"training audio: {usual:g} is usual ({span}; {table.source}). "
            + (
                "The training may hardly learn"
                if how == "low"
                else "The training may become unstable"
            )
            + "; set train.learning_rate: auto"
        )
    small = any(other.get("freeze") for other in table.rows)
    if settings.freeze and small and not row.get("freeze"):
        yield (
            f"train.freeze: [{', '.join(settings.freeze)}] with {hours:.1f} h of training audio: "
            f"freezing layers is for small data sets ({table.source}); set train.freeze: auto"
        )
