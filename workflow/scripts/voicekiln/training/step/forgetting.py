"""What a voice forgets in further training: validation losses of the runs that it comes from."""

import logging
from collections.abc import Mapping, Sequence

from voicekiln.errors import UserError
from voicekiln.training.step.objective import weighted
from voicekiln.training.step.validation import Validation

log = logging.getLogger("train")
WARN_SHARE = 0.1  # by which a loss has risen above the base's


class Earlier:
    """Validates on the clips of earlier runs and compares with update 0, which is their voice.

    Args:
        validations: by the run's name.
        weights: of the parts of the loss.
        limit: rise at which training stops, as a fraction; None only warns.
    """

    def __init__(
        self,
        validations: Mapping[str, Validation],
        weights: Mapping[str, float],
        limit: float | None,
    ):
        self._validations, self._weights, self._limit = validations, weights, limit
        self._first: dict[str, float] = {}
        self._warned: set[str] = set()

    def restore(self, rows: Sequence[dict]) -> None:
        """Takes the losses of update 0 from metrics.jsonl."""
        for row in rows:
            if row["kind"] == "earlier" and row["update"] == 0:
                self._first = {name: row[name] for name in self._validations if name in row}

    def losses(self, update: int) -> dict[str, float] | None:
        """Validation loss by run after so many updates; None if training is to stop."""
        found = {}
        for name, validation in self._validations.items():
            parts = validation.losses(update)
            if parts is None:
                return None
            found[name] = weighted(parts, self._weights)
        if update == 0:
            self._first = found
        return found

    def warnings(self, losses: Mapping[str, float]) -> list[str]:
        """Runs whose loss has risen much since update 0, each reported once.

        Raises:
            UserError: one has risen above the limit.
        """
        warnings = []
        for name, loss in losses.items():
            first = self._first.get(name)
            if first is None or loss <= first * (1 + WARN_SHARE):
                self._warned.discard(name)
            elif name not in self._warned:
                self._warned.add(name)
                warnings.append(
                    f"the voice forgets run {name}: the loss on its validation clips rose from "
                    f"{first:.4g} to {loss:.4g} ({loss / first - 1:+.0%}): lower "
                    f"train.learning_rate or train.epochs, or add the corpora of {name} to this run"
                )
            if first is not None and self._limit is not None and loss > first * (1 + self._limit):
                raise UserError(
                    f"the loss on the validation clips of run {name} rose from {first:.4g} to "
                    f"{loss:.4g} ({loss / first - 1:+.0%}), above train.max_forgetting "
                    f"({self._limit:.0%}); the last checkpoint is kept. Raise the limit, lower "
                    "train.learning_rate, or set train.epochs to the epochs done to end here"
                )
        return warnings
