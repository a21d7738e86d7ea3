"""Losses on their way from the device into metrics.jsonl and TensorBoard."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import reduce
from torch.utils.tensorboard import SummaryWriter

from voicekiln.errors import UserError
from voicekiln.training.data.plan import Batches, Position
from voicekiln.training.log.epochs import Epochs
from voicekiln.training.log.health import HealthChecks, host_mb
from voicekiln.training.log.records import Metrics
from voicekiln.training.process.terminal import SHOWN
from voicekiln.training.settings import TrainSettings
from voicekiln.training.step.objective import weighted

log = logging.getLogger("train")
MAX_WARNINGS = 100  # the newest are kept
NO_CURVE = ("update", "epoch", "updates", "seconds")


@dataclass(frozen=True)
class PendingUpdate:
    """An update that was done and not yet looked at.

    Attributes:
        position: where it began.
        losses: this process's part of its loss, by name, on the device.
        norm: of its gradients before clipping, on the device.
        rate: learning rate.
    """

    position: Position
    losses: dict[str, torch.Tensor]
    norm: torch.Tensor
    rate: float


class MetricsLogger:
    """Collects updates, and looks at them together, because each look waits for the device.

    Args:
        directory: of the training.
        batches: to tell frames and clips of an update.
        clip_id: id of a clip by its index.
        accelerator: its main process writes.
        rate_hz: of spoken samples.
        on_warning: called when there is a warning more.

    Attributes:
        warnings: `{"update", "message"}` of each in this run, also from before it was resumed.
    """

    def __init__(
        self,
        directory: Path,
        batches: Batches,
        clip_id: Callable[[int], str],
        accelerator: Accelerator,
        rate_hz: int,
        on_warning: Callable[[], None],
    ):
        self._rate_hz = rate_hz
        self.warnings: list[dict] = []
        self._on_warning = on_warning
        self.metrics = Metrics(directory / "metrics.jsonl")
        self.loss: float | None = None  # of the last look
        self.epochs = Epochs()
        self._batches, self._clip_id, self._accelerator = batches, clip_id, accelerator
        self._curves = directory / "tensorboard"
        self._writer: SummaryWriter | None = None
        self._health: HealthChecks | None = None
        self._weights: dict[str, float] = {}
        self._waited_s = self._saving_s = 0.0
        self._unseen: list[PendingUpdate] = []
        self._since_s = time.monotonic()

    def open(self, update: int, settings: TrainSettings) -> None:
        """Curves continue after `update`; what a killed process drew beyond it is hidden."""
        self._weights = settings.loss_weights
        if self._accelerator.is_main_process:
            self._writer = SummaryWriter(self._curves, purge_step=update + 1)
            rows = [row for row in self.metrics.read() if row["kind"] == "train"]
            self._health = HealthChecks(settings.workers, settings.warmup_updates, rows)
            self.epochs = Epochs.of(rows)

    def close(self) -> None:
        """Writes the curves out."""
        if self._writer:
            with _only_curves():
                self._writer.close()

    def add(self, done: PendingUpdate) -> None:
        """One update more."""
        self._unseen.append(done)

    def skip_time(self) -> None:
        """Time until here counts for no update."""
        self._since_s = time.monotonic()

    def waited(self, seconds: float) -> None:
        """So long an update had to wait for its batches."""
        self._waited_s += seconds

    def saved(self, seconds: float) -> None:
        """So long training stood still for a checkpoint; that counts for no update."""
        self._saving_s += seconds
        self._since_s += seconds

    def look(self) -> None:
        """Fetches the losses of the updates since the last look, checks and logs their mean.

        Raises:
            UserError: one is not finite.
        """
        if not self._unseen:
            return
        done, self._unseen = self._unseen, []
        names = sorted(done[0].losses)
        stacked = torch.stack([torch.stack([d.losses[n] for n in names]) for d in done])
        losses = reduce(stacked.double(), "sum")  # [updates, names]
        norms = [float(d.norm) for d in done]
        for one, values, norm in zip(done, losses.tolist(), norms, strict=True):
            # with a scaler (fp16) a step of such a gradient was left out, and its scale is less now
            finite = math.isfinite(norm) or self._accelerator.scaler is not None
            if not all(map(math.isfinite, values)) or not finite:
                found = dict(zip(names, values, strict=True)) | {"gradient norm": norm}
                raise UserError(self._not_finite(one, found))
        parts = dict(zip(names, losses.mean(0).tolist(), strict=True))
        self.loss = weighted(parts, self._weights)
        now = time.monotonic()
        row = {
            "update": self._batches.update(done[-1].position) + 1,
            "epoch": done[-1].position.epoch + 1,
            "loss": self.loss,
            "lr": done[-1].rate,
            "updates": len(done),
            "frames": sum(self._batches.frames_of(d.position) for d in done),
            "seconds": round(now - self._since_s, 4),
            "wait_s": round(self._waited_s, 4),
            "save_s": round(self._saving_s, 4),
            "host_mb": host_mb(),
        }
        self._waited_s = self._saving_s = 0.0
        if norms := [norm for norm in norms if math.isfinite(norm)]:
            row["grad_norm"] = max(norms)
        if self._accelerator.device.type == "cuda":
            row["memory_mb"] = torch.cuda.max_memory_allocated() >> 20
            free, total = torch.cuda.mem_get_info()
            row["free_mb"], row["used_mb"] = free >> 20, (total - free) >> 20
        self._since_s = now
        self.write("train", row, parts)
        self.epochs.add(row)
        for said in self._health.of(row) if self._health else []:
            self.warning(row["update"], said)

    def warning(self, update: int, said: str) -> None:
        """Says what gives cause for warning, and keeps it."""
        if not self._accelerator.is_main_process:
            return
        log.warning("%s", said)
        new = {"update": update, "message": said}
        # a resumed run does again what was done after its state, and says it again
        self.warnings = [*(c for c in self.warnings if c != new), new][-MAX_WARNINGS:]
        self._on_warning()

    def lowered(self, update: int, before: float, now: float) -> None:
        """The learning rate fell because the validations made no progress."""
        if self._writer:
            self.metrics.write("learning_rate", update=update, before=before, now=now)
        log.info(
            "learning rate %.3g -> %.3g from update %d on: the validation loss is on a plateau",
            before,
            now,
            update,
            extra=SHOWN,
        )

    def trained(self) -> list[tuple[int, float]]:
        """(update, loss) of all logged lines of training."""
        rows = self.metrics.read()
        return [(row["update"], row["loss"]) for row in rows if row["kind"] == "train"]

    def write(self, kind: str, row: dict, parts: dict[str, float]) -> None:
        """One row of metrics, with the parts of the loss where there are several."""
        if not self._writer:
            return
        if len(parts) > 1:
            row = row | {f"loss_{name}": value for name, value in parts.items()}
        self.metrics.write(kind, **row)
        with _only_curves():
            for name, value in row.items():
                if name not in NO_CURVE:
                    self._writer.add_scalar(f"{kind}/{name}", value, row["update"])

    def show(
        self, update: int, number: int, text: str, samples: np.ndarray, picture: np.ndarray
    ) -> None:
        """A spoken sample, for TensorBoard.

        Args:
            update: updates done.
            number: of the sample.
            text: what is said.
            samples: float32 at the family's rate.
            picture: `[H, W]` uint8.
        """
        audio = torch.from_numpy(samples.clip(-1, 1))[None]
        self._writer.add_audio(f"sample_{number}/speech", audio, update, self._rate_hz)
        self._writer.add_image(f"sample_{number}/mel", picture, update, dataformats="HW")
        self._writer.add_text(f"sample_{number}/text", text, update)

    def _not_finite(self, done: PendingUpdate, values: dict[str, float]) -> str:
        clips = [self._clip_id(i) for batch in self._batches.at(done.position) for i in batch]
        found = ", ".join(f"{name} {value}" for name, value in values.items())
        return (
            "the loss or its gradient is not finite at update"
            f" {self._batches.update(done.position) + 1} ({found}; learning rate {done.rate:.3g};"
            f" clips {', '.join(clips)}). The last checkpoint is intact. Lower train.learning_rate,"
            " choose another train.precision, or look at these clips"
        )


@contextmanager
def _only_curves() -> Iterator[None]:
    """A curve that cannot be drawn is no reason to end a training."""
    try:
        yield
    except OSError as error:
        log.warning("TensorBoard: %s", error)
