"""Work between updates: validation, audio samples, checkpoints, status, log lines."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from voicekiln.errors import UserError
from voicekiln.training.log.metrics import MetricsLogger
from voicekiln.training.log.progress import Progress
from voicekiln.training.log.records import read_warnings, write_status
from voicekiln.training.process.events import ON_TERMINAL, EventWriter
from voicekiln.training.run import Run
from voicekiln.training.state import checkpoints
from voicekiln.training.state.history import TOTAL
from voicekiln.training.state.training_state import TrainingState
from voicekiln.training.state.writer import CheckpointWriter
from voicekiln.training.step.forgetting import Forgetting
from voicekiln.training.step.objective import weighted
from voicekiln.training.step.samples import Samples
from voicekiln.training.step.validation import Validation

log = logging.getLogger("train")


class Session:
    """Everything around the updates of one training.

    Args:
        run: the training.
        state: where it stands.
        train_ids: ids of the training clips.
        validation: loss on the validation clips.
        earlier: losses on the validation clips of the runs that the base comes from, by run.
        samples: audio samples.
    """

    def __init__(
        self,
        run: Run,
        state: TrainingState,
        train_ids: list[str],
        validation: Validation,
        earlier: Mapping[str, Validation],
        samples: Samples,
    ):
        self.run, self.state, self.validation, self.samples = run, state, validation, samples
        self.forgetting = Forgetting(run.settings, earlier)
        self.writer = CheckpointWriter(run)
        self.logger = MetricsLogger(run, state.batches, train_ids)
        self.progress: Progress | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Open the logs; on exit, finish every pending write."""
        state, s = self.state, self.run.settings
        self.logger.open(state.update)
        self.progress = Progress(
            self.run.directory,
            s.epochs,
            state.batches.updates_per_epoch,
            state.update,
            EventWriter(),
        )
        try:
            yield
            self.writer.wait()
        finally:
            try:
                self.logger.close()
            finally:
                self.writer.finish()

    def between_updates(self) -> bool:
        """Validate and save what is due; False if a stop was requested in a validation."""
        if self.validation_due():
            improved = self.validate()
            if improved is None:
                return False
            if improved:
                self.save()
            self.samples.synthesise(self.state.update, self.logger)
            self.logger.skip_time()
            self.progress.pause()
        self.writer.check()
        for every, replaceable in (
            (self.run.settings.save_every, False),
            (self.run.settings.save_last_every, True),
        ):
            if self.save_due(every):
                self.save(replaceable)
                self.progress.pause()
        return True

    def after_update(self) -> None:
        """Log the update."""
        state, s = self.state, self.run.settings
        epoch_ended = state.position.batch == 0
        # at the end of an epoch too, so that no logged line belongs to two epochs
        if epoch_ended or state.update % s.log_every == 0:
            self.log_updates()
        if not self.run.writes:
            return
        if epoch_ended:
            log.info("%s", self.logger.epochs.line(state.position.epoch, s.epochs))
        self.progress.tick(state.update, self.logger.loss)

    def log_updates(self) -> None:
        """Write a line for the updates since the last one, with warnings that follow from it."""
        for update, message in self.logger.flush():
            self.warn(update, message)

    def warn(self, update: int, message: str) -> None:
        """Log a warning and keep it in status.json."""
        if self.run.writes:
            self.logger.warn(update, message)
            self.report("running", "training")

    def validation_due(self) -> bool:
        """Whether validation of this state is due and has not run yet."""
        state = self.state
        due = state.finished or state.update % self.run.settings.validate_every == 0
        return due and state.history.last != state.update

    def validate(self) -> bool | None:
        """Measure and record the loss of the EMA weights.

        Returns:
            whether it is the lowest so far, update 0 excluded; None if a stop was requested.

        Raises:
            UserError: the loss is not finite, or too high on the clips of an earlier run.
        """
        state, update = self.state, self.state.update
        self.log_updates()
        began = time.monotonic()
        losses = self.validation.losses(update)
        earlier = None if losses is None else self.forgetting.losses(update)
        if losses is None or earlier is None:
            return None
        loss = weighted(losses, self.run.settings.loss_weights)
        row = {"update": update, "epoch": state.position.epoch, "loss": loss}
        row["seconds"] = round(time.monotonic() - began, 3)
        self.logger.write("validation", row, losses)
        if not math.isfinite(loss):
            raise UserError(
                f"the validation loss at update {update} is {loss}; lower train.learning_rate or "
                "choose another train.precision. The last checkpoint is intact"
            )
        before = state.learning_rate(update)
        state.history.rows.append((update, {TOTAL: loss} | losses))
        now = state.learning_rate(update)
        if state.schedule.kind == "plateau" and now < before:
            self.logger.log_reduction(update, before, now)
        best = state.history.best
        improved = best is not None and best["update"] == update
        log.info(
            "validation loss %.5f at update %d%s%s",
            loss,
            update,
            f" ({', '.join(f'{k} {v:.5g}' for k, v in losses.items())})" if len(losses) > 1 else "",
            ", the best so far" if improved else "",
            extra=ON_TERMINAL,
        )
        self._log_voices(update)
        if self.run.writes and (warning := state.history.warning(self.logger.training_losses)):
            self.warn(update, warning)
        if earlier:
            self.logger.write("earlier", {"update": update} | earlier, {})
        for warning in self.forgetting.warnings(earlier):
            self.warn(update, warning)
        self.logger.skip_time()
        return improved

    def _log_voices(self, update: int) -> None:
        """Log the validation loss of each speaker, if there are several."""
        weights = self.run.settings.loss_weights
        losses = {name: weighted(one, weights) for name, one in self.validation.voices.items()}
        if losses:
            row = {f"loss_{name}": loss for name, loss in losses.items()}
            self.logger.write("voices", {"update": update} | row, {})
            shown = ", ".join(f"{name} {loss:.5f}" for name, loss in losses.items())
            log.info("validation loss by speaker: %s", shown)

    def save_due(self, every: int | None) -> bool:
        """Whether saving this state is due and has not happened yet.

        Args:
            every: interval in updates; None: only the last state is saved.
        """
        state = self.state
        due = state.finished or (every is not None and state.update % every == 0)
        return due and state.update > 0 and state.saved != state.current

    def save_last(self) -> None:
        """Save this state unless it is saved already."""
        if self.state.update and self.state.saved != self.state.current:
            self.save()

    def save(self, replaceable: bool = False) -> None:
        """Copy this state; it is written as a checkpoint while training continues.

        Args:
            replaceable: whether the next checkpoint replaces this one.

        Raises:
            UserError: a loss is not finite, another process took over the training, or the
                previous checkpoint could not be written.
        """
        state = self.state
        self.log_updates()
        state.saved = state.current
        if self.run.writes:
            began = time.monotonic()
            self.writer.take(
                state.ema.state(), state.tensors(), state.meta(replaceable), state.history
            )
            self.logger.add_save_time(time.monotonic() - began)
            if low := self.writer.low_disk():
                self.warn(state.update, low)
            self.report("running", "training")
        self.run.accelerator.wait_for_everyone()

    def resume(self) -> bool:
        """Continue from the newest undamaged checkpoint of this run; False if there is none."""
        for checkpoint, meta in checkpoints.good(self.writer.folder):
            if meta["fingerprint"] == self.run.identity:
                break
            log.warning("%s: belongs to another run, skipped", checkpoint)
        else:
            if self.run.writes:
                self.logger.metrics.cut_back(0, None)
            return False
        state = self.state
        state.load(checkpoint, meta)
        if self.run.writes:
            self.writer.point(checkpoint, state.history)
            self.logger.metrics.cut_back(state.update, state.history.last)
            self.logger.warnings = read_warnings(self.run.directory, state.update)
        self.forgetting.restore(self.logger.metrics.read())
        log.info("resumed from %s", checkpoint.name, extra=ON_TERMINAL)
        return True

    def report(self, status: str, reason: str) -> None:
        """Write status.json."""
        state = self.state
        if self.run.writes:
            write_status(
                self.run.directory,
                status,
                reason,
                exit_code=None,
                update=state.update,
                updates=state.updates,
                epoch=state.position.epoch,
                epochs=self.run.settings.epochs,
                best=state.history.best,
                loss=self.logger.loss,
                warnings=self.logger.warnings,
            )
