"""Losses on their way from the device into metrics.jsonl and TensorBoard."""

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from accelerate.utils import reduce
from torch.utils.tensorboard import SummaryWriter

from voicekiln.errors import UserError
from voicekiln.training.data.plan import Batches, Position
from voicekiln.training.log.epochs import Epochs
from voicekiln.training.log.health import HealthChecks, resident_mb
from voicekiln.training.log.records import Metrics
from voicekiln.training.process.events import ON_TERMINAL
from voicekiln.training.run import Run
from voicekiln.training.step.objective import weighted

log = logging.getLogger("train")
MAX_WARNINGS = 100  # the newest are kept
NO_CURVE = ("update", "epoch", "updates", "seconds")


@dataclass(frozen=True)
class PendingUpdate:
    """An update that was done and not logged yet.

    Attributes:
        position: where it started.
        losses: this process's part of each loss part, on the device.
        norm: norm of its gradients before clipping, on the device.
        learning_rate: learning rate.
    """

    position: Position
    losses: dict[str, torch.Tensor]
    norm: torch.Tensor
    learning_rate: float


class MetricsLogger:
    """Collects updates and logs several at once, because each look waits for the device.

    Args:
        run: the training; its main process writes.
        batches: those of all processes.
        ids: ids of the training clips.

    Attributes:
        warnings: `{"update", "message"}` of each in this run, also from before it was resumed.
        metrics: metrics.jsonl.
        loss: mean loss of the last logged line.
        epochs: mean losses of the epochs.
    """

    def __init__(self, run: Run, batches: Batches, ids: Sequence[str]):
        self._run, self._batches, self._ids = run, batches, ids
        self.warnings: list[dict] = []
        self.metrics = Metrics(run.directory / "metrics.jsonl")
        self.loss: float | None = None
        self.epochs = Epochs()
        self._board: SummaryWriter | None = None
        self._health: HealthChecks | None = None
        self._waited_s = self._saving_s = 0.0
        self._pending: list[PendingUpdate] = []
        self._since_s = time.monotonic()

    def open(self, update: int) -> None:
        """Continue the curves after `update`; what a killed process logged beyond it is hidden."""
        if self._run.writes:
            self._board = SummaryWriter(self._run.directory / "tensorboard", purge_step=update + 1)
            rows = [row for row in self.metrics.read() if row["kind"] == "train"]
            s = self._run.settings
            self._health = HealthChecks(s.workers, s.warmup_updates, rows)
            self.epochs = Epochs.of(rows)

    def close(self) -> None:
        """Write out the curves."""
        if self._board:
            with _tolerated():
                self._board.close()

    def add(self, pending: PendingUpdate) -> None:
        """Add one update."""
        self._pending.append(pending)

    def skip_time(self) -> None:
        """Count the time until now for no update."""
        self._since_s = time.monotonic()

    def add_wait(self, seconds: float) -> None:
        """Add time that an update waited for its batches."""
        self._waited_s += seconds

    def add_save_time(self, seconds: float) -> None:
        """Add time that training paused for a checkpoint; it counts for no update."""
        self._saving_s += seconds
        self._since_s += seconds

    def flush(self) -> list[tuple[int, str]]:
        """Fetch, check and log the mean losses of the updates since the last call.

        Returns:
            new warnings that follow from them, each with its update.

        Raises:
            UserError: one is not finite.
        """
        if not self._pending:
            return []
        done, self._pending = self._pending, []
        names = sorted(done[0].losses)
        stacked = torch.stack([torch.stack([d.losses[n] for n in names]) for d in done])
        values = reduce(stacked.double(), "sum")  # [updates, names]
        norms = [float(d.norm) for d in done]
        scaled = self._run.accelerator.scaler is not None
        for one, its_losses, norm in zip(done, values.tolist(), norms, strict=True):
            # with a scaler (fp16) a step with such gradients was skipped, and the scale reduced
            finite = math.isfinite(norm) or scaled
            if not all(map(math.isfinite, its_losses)) or not finite:
                found = dict(zip(names, its_losses, strict=True)) | {"gradient norm": norm}
                raise UserError(self._not_finite(one, found))
        losses = dict(zip(names, values.mean(0).tolist(), strict=True))
        self.loss = weighted(losses, self._run.settings.loss_weights)
        now = time.monotonic()
        row = {
            "update": self._batches.update(done[-1].position) + 1,
            "epoch": done[-1].position.epoch + 1,
            "loss": self.loss,
            "lr": done[-1].learning_rate,
            "updates": len(done),
            "steps": sum(self._batches.steps_of(d.position) for d in done),
            "seconds": round(now - self._since_s, 4),
            "wait_s": round(self._waited_s, 4),
            "save_s": round(self._saving_s, 4),
            "host_mb": resident_mb(),
        }
        self._waited_s = self._saving_s = 0.0
        if norms := [norm for norm in norms if math.isfinite(norm)]:
            row["grad_norm"] = max(norms)
        if self._run.device.type == "cuda":
            row["memory_mb"] = torch.cuda.max_memory_allocated() >> 20
            free, total = torch.cuda.mem_get_info()
            row["free_mb"], row["used_mb"] = free >> 20, (total - free) >> 20
        self._since_s = now
        self.write("train", row, losses)
        self.epochs.add(row)
        found = self._health.check(row) if self._health else []
        return [(row["update"], message) for message in found]

    def warn(self, update: int, message: str) -> None:
        """Log a warning and keep it."""
        log.warning("%s", message)
        new = {"update": update, "message": message}
        # a resumed run repeats what came after its state, and so its warnings
        self.warnings = [*(c for c in self.warnings if c != new), new][-MAX_WARNINGS:]

    def log_reduction(self, update: int, before: float, now: float) -> None:
        """Log that a plateau of the validation loss reduced the learning rate."""
        if self._board:
            self.metrics.write("learning_rate", update=update, before=before, now=now)
        log.info(
            "learning rate %.3g -> %.3g from update %d on: the validation loss is on a plateau",
            before,
            now,
            update,
            extra=ON_TERMINAL,
        )

    def training_losses(self) -> list[tuple[int, float]]:
        """(update, loss) of all logged lines of training."""
        rows = self.metrics.read()
        return [(row["update"], row["loss"]) for row in rows if row["kind"] == "train"]

    def write(self, kind: str, row: dict, losses: Mapping[str, float]) -> None:
        """Write one line of metrics, with the loss parts if there are several."""
        if not self._board:
            return
        if len(losses) > 1:
            row = row | {f"loss_{name}": value for name, value in losses.items()}
        self.metrics.write(kind, **row)
        with _tolerated():
            for name, value in row.items():
                if name not in NO_CURVE:
                    self._board.add_scalar(f"{kind}/{name}", value, row["update"])

    def log_sample(
        self, update: int, number: int, text: str, speech: np.ndarray, picture: np.ndarray | None
    ) -> None:
        """Log an audio sample to TensorBoard.

        Args:
            update: updates done.
            number: number of the sample.
            text: its text.
            speech: float32 samples at the family's SPEECH_HZ.
            picture: `[H, W]` uint8, or None.
        """
        audio, rate_hz = torch.from_numpy(speech.clip(-1, 1))[None], self._run.family.SPEECH_HZ
        self._board.add_audio(f"sample_{number}/speech", audio, update, rate_hz)
        if picture is not None:
            self._board.add_image(f"sample_{number}/mel", picture, update, dataformats="HW")
        self._board.add_text(f"sample_{number}/text", text, update)

    def _not_finite(self, done: PendingUpdate, values: dict[str, float]) -> str:
        clips = [self._ids[i] for batch in self._batches.at(done.position) for i in batch]
        found = ", ".join(f"{name} {value}" for name, value in values.items())
        return (
            "the loss or its gradient is not finite at update "
            f"{self._batches.update(done.position) + 1} ({found}; learning rate "
            f"{done.learning_rate:.3g}; clips {', '.join(clips)}). The last checkpoint is intact. "
            "Lower train.learning_rate, choose another train.precision, or check these clips"
        )


@contextmanager
def _tolerated() -> Iterator[None]:
    """A failure to write curves does not end a training."""
    try:
        yield
    except OSError as error:
        log.warning("TensorBoard: %s", error)
