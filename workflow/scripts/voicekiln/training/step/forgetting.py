"""Forgetting in further training: validation losses of the runs that a voice comes from."""

import logging
from collections.abc import Mapping, Sequence

from voicekiln.errors import UserError
from voicekiln.training.settings import TrainSettings
from voicekiln.training.step.objective import weighted
from voicekiln.training.step.validation import Validation

log = logging.getLogger("train")
WARN_RISE = 0.1  # of a loss above the base's, as a fraction


class Forgetting:
    """Losses on the clips of earlier runs, compared with update 0, which is their voice.

    Args:
        settings: `max_forgetting` is the rise that stops the training; None only warns.
        validations: on the clips of earlier runs, by the run's name.
    """

    def __init__(self, settings: TrainSettings, validations: Mapping[str, Validation]):
        self._settings, self._validations = settings, validations
        self._first: dict[str, float] = {}
        self._warned: set[str] = set()

    def restore(self, rows: Sequence[dict]) -> None:
        """Take the losses of update 0 from metrics.jsonl."""
        for row in rows:
            if row["kind"] == "earlier" and row["update"] == 0:
                self._first = {name: row[name] for name in self._validations if name in row}

    def losses(self, update: int) -> dict[str, float] | None:
        """Validation loss by run after `update` updates; None if a stop was requested."""
        found = {}
        for name, validation in self._validations.items():
            losses = validation.losses(update)
            if losses is None:
                return None
            found[name] = weighted(losses, self._settings.loss_weights)
        if update == 0:
            self._first = found
        return found

    def warnings(self, losses: Mapping[str, float]) -> list[str]:
        """Warnings about runs whose loss has risen since update 0, each once.

        Raises:
            UserError: one has risen above the limit.
        """
        warnings, limit = [], self._settings.max_forgetting
        for name, loss in losses.items():
            first = self._first.get(name)
            if first is None or loss <= first * (1 + WARN_RISE):
                self._warned.discard(name)
            elif name not in self._warned:
                self._warned.add(name)
                warnings.append(
                    f"the voice forgets run {name}: the loss on its validation clips rose from "
                    f"{first:.4g} to {loss:.4g} ({loss / first - 1:+.0%}): lower "
                    f"train.learning_rate or train.epochs, or add the corpora of {name} to this run"
                )
            if first is not None and limit is not None and loss > first * (1 + limit):
                raise UserError(
                    f"the loss on the validation clips of run {name} rose from {first:.4g} to "
                    f"{loss:.4g} ({loss / first - 1:+.0%}), above train.max_forgetting "
                    f"({limit:.0%}); the last checkpoint is kept. Raise the limit, lower "
                    "train.learning_rate, or end here: set train.epochs to the epochs done"
                )
        return warnings
