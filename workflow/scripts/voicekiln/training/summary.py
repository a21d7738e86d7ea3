"""What is said before the first update: where it runs, on what, how, and what it will take."""

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator

from voicekiln.training.data.clips import Row
from voicekiln.training.settings import TrainSettings
from voicekiln.training.state import checkpoints as states
from voicekiln.training.step import optimizers

if TYPE_CHECKING:
    from voicekiln.training.loop import Training

log = logging.getLogger("train")

STEEP = 5  # times the last learning rate: so much more is warned of
RECOMMENDED_GB = 12  # of 1024 MB; with less only small batches fit the released models
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# settings that say something with a schedule, beside the warm-up
SCHEDULE_PARAMETERS = {
    "linear": ("min_learning_rate",),
    "cosine": ("min_learning_rate",),
    "cosine_restarts": ("min_learning_rate", "period", "period_growth"),
    "step": ("min_learning_rate", "period", "rate_factor"),
    "exponential": ("min_learning_rate", "period", "rate_factor"),
    "multi_step": ("min_learning_rate", "milestones", "rate_factor"),
    "plateau": ("min_learning_rate", "plateau_patience", "rate_factor", "best_by"),
    "constant": (),
}
OPTIMIZER_PARAMETERS = {
    "adamw": ("weight_decay", "betas"),
    "adamw_8bit": ("weight_decay", "betas"),
    "adam": ("weight_decay", "betas"),
    "sgd": ("weight_decay", "momentum"),
    "rmsprop": ("weight_decay", "momentum"),
}


def log_summary(training: "Training", family: ModuleType) -> None:
    """Says it in the log."""
    s, device = training.settings, training.accelerator.device
    log.info("environment: %s", environment(training.accelerator, s.precision))
    if device.type == "cuda":
        free_mb, total_mb = (n / 2**20 for n in torch.cuda.mem_get_info())
        log.info("GPU memory: %s", gpu_memory(total_mb, free_mb))
        warn(below_recommended(total_mb))
    else:
        warn(unused_gpu(torch.version.cuda, NVIDIA_DRIVER.exists()))
    log.info(
        "data: %s to train, %s to validate",
        clips(training.train_rows, family),
        clips(training.validation.rows, family),
    )
    parameters = list(training.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    count = sum(p.numel() for p in parameters)
    log.info("model: %s parameters, %s of them trained", f"{count:,}", f"{trained:,}")
    log.info("configuration: %s", configuration(training))
    log.info("learning rate: %s", course(s, training.schedule.period))
    say_other_rate(training)
    warn(training.schedule.early(training.batches.updates_per_epoch))
    warn(long_warmup(s.warmup_updates, training.updates))
    said, warning = disk(
        checkpoint_bytes(training),
        most_checkpoints(training.updates, s.save_every, s.validate_every, s.keep)
        + bool(s.save_last_every),
        bytes_of(training.writer.folder),
        shutil.disk_usage(training.directory).free,
    )
    log.info("disk: %s", said)
    warn(warning)


def warn(text: str | None) -> None:
    """Says what there is to warn of."""
    if text:
        log.warning("%s", text)


def environment(accelerator: Accelerator, precision: str) -> str:
    """Versions, device, processes, threads, precision."""
    n, threads = accelerator.num_processes, torch.get_num_threads()
    if accelerator.device.type == "cuda":
        where = f"CUDA {torch.version.cuda}, {n} x {torch.cuda.get_device_name()}"
    else:
        where = f"on the CPU, {n} process{'es' if n > 1 else ''}"
    return (
        f"torch {torch.__version__}, {where}, {threads} CPU thread{'s' if threads > 1 else ''}"
        f"{' each' if n > 1 else ''}, precision {precision}"
    )


def gpu_memory(total_mb: float, free_mb: float) -> str:
    """Total, used and free, MB."""
    return f"total {total_mb:.0f} MB, used {total_mb - free_mb:.0f} MB, free {free_mb:.0f} MB"


def below_recommended(total_mb: float) -> str | None:
    """A warning where a GPU has less memory than is recommended, or None."""
    if total_mb >= RECOMMENDED_GB * 1024:
        return None
    return (
        f"the GPU has {math.floor(total_mb / 10.24) / 100:.2f} GB, less than the {RECOMMENDED_GB} "
        "GB that are recommended: try batch_frames: auto, precision: bf16, "
        "gradient_checkpointing: true"
    )


def unused_gpu(built_for: str | None, driver: bool) -> str | None:
    """A warning where a GPU seems to be there and is not used, or None.

    Args:
        built_for: CUDA version that torch was built for, None for none.
        driver: whether NVIDIA's driver is loaded.
    """
    if not driver:
        return None
    why = (
        f"its driver may be older than CUDA {built_for}, which torch was built for (nvidia-smi "
        "shows both), or CUDA_VISIBLE_DEVICES hides it"
        if built_for
        else "this torch was built without CUDA"
    )
    return f"an NVIDIA driver is loaded, and the training runs on the CPU: {why}"


def clips(rows: Sequence[Row], family: ModuleType) -> str:
    """How many, how long, in which languages."""
    hours = sum(row.n_frames for row in rows) * family.HOP / family.RATE_HZ / 3600
    length = f"{hours:.2f} h" if hours >= 1 else f"{60 * hours:.1f} min"
    languages = ", ".join(sorted({row.language for row in rows}))
    return f"{len(rows):,} clips ({length}, {languages})"


def configuration(training: "Training") -> str:
    """Epochs, batches and updates."""
    s, batches = training.settings, training.batches
    return (
        f"epochs {s.epochs}, {batches.updates_per_epoch} updates an epoch, {training.updates} in "
        f"all; {batches.per_epoch} batches an epoch of at most {s.batch_frames} frames, "
        f"{batches.per_update} an update; {100 * batches.padding_share:.1f} % padding"
    )


def course(settings: TrainSettings, period: int) -> str:
    """Rate, schedule and optimiser with the settings that say something with them.

    Args:
        period: what it is where none was given.
    """
    values = asdict(settings) | {"period": period}

    def named(names):
        return ", ".join(f"{name} {shown(values[name])}" for name in names)

    schedule, optimizer = values["schedule"], values["optimizer"]
    return (
        f"{values['learning_rate']:g}, schedule {schedule} "
        f"({named(('warmup_updates', *SCHEDULE_PARAMETERS[schedule]))}), optimizer {optimizer} "
        f"({named(OPTIMIZER_PARAMETERS[optimizer])})"
    )


def say_other_rate(training: "Training") -> None:
    """Says how the rate goes on where its course was changed, as by more epochs.

    A plateau has no course to be changed.
    """
    rows = [row for row in training.logger.metrics.read() if row["kind"] == "train"]
    if not rows or training.schedule.kind == "plateau":
        return
    update, rate = rows[-1]["update"], rows[-1]["lr"]
    if math.isclose(rate, training.rate_after(update - 1)):
        return
    s, now = training.settings, training.rate_after(training.update)
    said = (
        f"the learning rate was {rate:.3g} at update {update}, goes on at {now:.3g} and ends at "
        f"{training.rate_after(training.updates - 1):.3g} at update {training.updates}"
    )
    if training.update > s.warmup_updates and now >= STEEP * rate:
        warn(
            f"{said}. It rises {now / rate:.0f}x, as schedule {s.schedule} has it for "
            f"{training.updates} updates: that can undo what was learned last. To go on at the low "
            f"rate, set train.learning_rate: {s.learning_rate * rate / now:.1e} and "
            "train.on_rate_change: continue"
        )
    else:
        log.info("%s", said)


def shown(value) -> str:
    """A value as a user would write it."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def long_warmup(warmup: int, updates: int) -> str | None:
    """A warning where the rate never gets to its peak, or None."""
    if warmup < updates:
        return None
    return (
        f"train.warmup_updates ({warmup}) is not below the {updates} updates of the run: the "
        f"learning rate ends at {100 * updates / warmup:.0f} % of train.learning_rate"
    )


def checkpoint_bytes(training: "Training") -> int:
    """Bytes of a checkpoint: the weights, their average, what the optimiser remembers."""
    tensors = [*training.model.state_dict().values(), *training.ema.state().values()]
    remembered = optimizers.state_bytes(training.model, training.settings)
    return sum(t.numel() * t.element_size() for t in tensors) + remembered


def most_checkpoints(updates: int, save_every: int | None, validate_every: int, keep: int) -> int:
    """The most checkpoints that lie on the disk at one time, the one being written included.

    Saved are every `save_every` updates, each new best, and the last.
    """
    save_every = save_every or updates
    both = math.lcm(save_every, validate_every)
    saved = updates // save_every + updates // validate_every - updates // both
    saved += bool(updates % save_every and updates % validate_every)
    # the newest `keep` (at least the last), the best, and a new one before an old one goes
    return saved if keep < 0 else min(saved, max(keep, 1) + 2)


def bytes_of(folder: Path) -> int:
    """What the checkpoints in a folder take."""
    return sum(p.stat().st_size for one in states.found(folder) for p in one.iterdir())


def disk(one: int, most: int, there: int, free: int) -> tuple[str, str | None]:
    """What checkpoints will take, and a warning where that is more than there is.

    Args:
        one: bytes of a checkpoint.
        most: how many there can be.
        there: bytes of those that are there already.
        free: bytes that are free on their disk.
    """
    said = f"a checkpoint takes {size(one)}, at most {most} of them {size(most * one)}"
    free_said = f"{size(free)} are free"
    if most * one - there <= free:
        return f"{said}; {free_said}", None
    return f"{said}; {free_said}", (
        f"the checkpoints may take {size(most * one)}, and {free_said}: make room, or lower "
        "train.keep (at -1 all are kept), or raise train.save_every"
    )


def size(n: int) -> str:
    """Bytes in MB or GB (of 10^6 and 10^9)."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"
