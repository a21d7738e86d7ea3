"""Startup summary of a training: hardware, data, settings, disk estimate."""

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from accelerate import Accelerator

from voicekiln.training.data.clips import Row, hours_of
from voicekiln.training.data.plan import BatchSize
from voicekiln.training.run import Run
from voicekiln.training.session import Session
from voicekiln.training.settings import TrainSettings
from voicekiln.training.state import checkpoints
from voicekiln.training.state.training_state import TrainingState
from voicekiln.training.step import optimizers

log = logging.getLogger("train")

STEEP = 5  # factor of the last learning rate from which a rise is warned about
RECOMMENDED_GB = 12  # of 1024 MB; with less, only small batches of the released models fit
NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
# settings that a schedule depends on, besides the warm-up
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


def log_summary(
    run: Run,
    state: TrainingState,
    session: Session,
    size: BatchSize,
    train: Sequence[Row],
    val: Sequence[Row],
) -> None:
    """Log the startup summary."""
    s = run.settings
    log.info("environment: %s", environment(run.accelerator, s.precision))
    if run.device.type == "cuda":
        free_mb, total_mb = (n / 2**20 for n in torch.cuda.mem_get_info())
        log.info("GPU memory: %s", gpu_memory(total_mb, free_mb))
        warn(below_recommended(total_mb))
    else:
        warn(unused_gpu(torch.version.cuda, NVIDIA_DRIVER.exists()))
    log.info("data: %s for training, %s held out", clips(train), clips(val))
    parameters = list(run.model.parameters())
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    count = sum(p.numel() for p in parameters)
    log.info("model: %s parameters, %s of them trained", f"{count:,}", f"{trained:,}")
    log.info("configuration: %s", configuration(state, size.steps / run.family.STEPS_PER_S))
    log.info("learning rate: %s", learning_rates(s, state.schedule.period))
    log_changed_schedule(state, session.logger.metrics.read())
    warn(state.schedule.early_reductions(state.batches.updates_per_epoch))
    warn(long_warmup(s.warmup_updates, state.updates))
    warn(impatient(s))
    estimate, warning = disk(
        checkpoint_bytes(state),
        max_checkpoints(state.updates, s.save_every, s.validate_every, s.keep)
        + bool(s.save_last_every),
        bytes_of(session.writer.folder),
        shutil.disk_usage(run.directory).free,
    )
    log.info("disk: %s", estimate)
    warn(warning)


def warn(text: str | None) -> None:
    """Log the warning, if any."""
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
    """Warning about a GPU with less memory than recommended, or None."""
    if total_mb >= RECOMMENDED_GB * 1024:
        return None
    return (
        f"the GPU has {math.floor(total_mb / 10.24) / 100:.2f} GB, less than the recommended "
        f"{RECOMMENDED_GB} GB: try batch_s: auto, precision: bf16, "
        "gradient_checkpointing: true"
    )


def unused_gpu(built_for: str | None, driver: bool) -> str | None:
    """Warning about a GPU that seems to be present but is not used, or None.

    Args:
        built_for: CUDA version that torch was built for, or None.
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


def clips(rows: Sequence[Row]) -> str:
    """Number, duration and languages of clips."""
    hours = hours_of(rows)
    length = f"{hours:.2f} h" if hours >= 1 else f"{60 * hours:.1f} min"
    languages = ", ".join(sorted({row.language for row in rows}))
    return f"{len(rows):,} clips ({length}, {languages})"


def configuration(state: TrainingState, batch_s: float) -> str:
    """Epochs, batches and updates."""
    batches = state.batches
    return (
        f"{state.run.settings.epochs} epochs, {batches.updates_per_epoch} updates per epoch, "
        f"{state.updates} in total; {batches.per_epoch} batches per epoch of at most {batch_s:.2f} "
        f"s, {batches.per_update} per update; {100 * batches.padding:.1f} % padding"
    )


def learning_rates(settings: TrainSettings, period: int) -> str:
    """Learning rate, schedule and optimiser, with the settings that they depend on.

    Args:
        period: the one in use, also if none was configured.
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


def log_changed_schedule(state: TrainingState, rows: Sequence[dict]) -> None:
    """Log how the learning rate continues if its schedule changed, as by more epochs.

    Args:
        rows: lines of metrics.jsonl.
    """
    rows = [row for row in rows if row["kind"] == "train"]
    if not rows or state.schedule.kind == "plateau":  # which has no schedule ahead
        return
    update, before = rows[-1]["update"], rows[-1]["lr"]
    if math.isclose(before, state.learning_rate(update - 1)):
        return
    s, now = state.run.settings, state.learning_rate(state.update)
    message = (
        f"the learning rate was {before:.3g} at update {update}, continues at {now:.3g} and ends "
        f"at {state.learning_rate(state.updates - 1):.3g} at update {state.updates}"
    )
    if state.update > s.warmup_updates and now >= STEEP * before:
        warn(
            f"{message}. It rises {now / before:.0f}x, because schedule {s.schedule} now spans "
            f"{state.updates} updates; that can undo recent progress. To continue at the low "
            f"rate, set train.learning_rate: {s.learning_rate * before / now:.1e} and "
            "train.on_rate_change: continue"
        )
    else:
        log.info("%s", message)


def shown(value) -> str:
    """A value as a user would write it."""
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def long_warmup(warmup: int, updates: int) -> str | None:
    """Warning about a learning rate that never reaches its peak, or None."""
    if warmup < updates:
        return None
    return (
        f"train.warmup_updates ({warmup}) is not below the {updates} updates of the run: the "
        f"learning rate ends at {100 * updates / warmup:.0f} % of train.learning_rate"
    )


def impatient(settings: TrainSettings) -> str | None:
    """Warning about an early stop that comes before any step of a plateau, or None."""
    s = settings
    if s.schedule != "plateau" or not 0 < s.patience <= s.plateau_patience:
        return None
    return (
        f"train.patience ({s.patience}) ends the training before a plateau lowers the learning "
        f"rate (after more than {s.plateau_patience} validations without an improvement): set it "
        "above train.plateau_patience, or to 0"
    )


def checkpoint_bytes(state: TrainingState) -> int:
    """Bytes of a checkpoint: weights, EMA weights, optimiser state."""
    model = state.run.model
    tensors = [*model.state_dict().values(), *state.ema.state().values()]
    optimizer = optimizers.state_bytes(model, state.run.settings)
    return sum(t.numel() * t.element_size() for t in tensors) + optimizer


def max_checkpoints(updates: int, save_every: int | None, validate_every: int, keep: int) -> int:
    """Maximum number of checkpoints on the disk at one time, including the one being written.

    Saved are every `save_every` updates, each new best, and the last.
    """
    save_every = save_every or updates
    both = math.lcm(save_every, validate_every)
    saved = updates // save_every + updates // validate_every - updates // both
    saved += bool(updates % save_every and updates % validate_every)
    # the newest `keep` (at least the last), the best, and a new one before an old one is removed
    return saved if keep < 0 else min(saved, max(keep, 1) + 2)


def bytes_of(folder: Path) -> int:
    """Bytes of the checkpoints in a folder."""
    return sum(p.stat().st_size for one in checkpoints.found(folder) for p in one.iterdir())


def disk(one: int, most: int, existing: int, free: int) -> tuple[str, str | None]:
    """Space that checkpoints will take, and a warning if there is not enough, or None.

    Args:
        one: bytes of a checkpoint.
        most: maximum number of checkpoints.
        existing: bytes of the existing ones.
        free: bytes free on their disk.
    """
    estimate = f"a checkpoint takes {size(one)}, at most {most} of them {size(most * one)}"
    available = f"{size(free)} are free"
    if most * one - existing <= free:
        return f"{estimate}; {available}", None
    return f"{estimate}; {available}", (
        f"the checkpoints may take {size(most * one)}, and {available}: make room, or lower "
        "train.keep (at -1 all are kept), or raise train.save_every"
    )


def size(n: int) -> str:
    """Bytes in MB or GB (of 10^6 and 10^9)."""
    return f"{n / 1e9:.1f} GB" if n >= 1e9 else f"{n / 1e6:.1f} MB"
