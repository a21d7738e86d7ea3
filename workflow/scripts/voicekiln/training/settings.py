"""Settings of a training: the worker's settings file, and the section `train` in it."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.families import Files, facts

AUTO = "auto"
AUTO_WORKERS = 2
# Below it an update changes nothing; schedules other than plateau end at 0, as f5_tts's does.
PLATEAU_FLOOR = 1e-7


@dataclass(frozen=True)
class TrainSettings:
    """Section `train` of a run; the schema has defaults and bounds.

    `auto.resolve` replaces each AUTO but that of `batch_s`; nothing else meets one.
    """

    epochs: int | str  # or AUTO
    learning_rate: float | str  # the peak; or AUTO
    warmup_updates: int
    schedule: str  # after the warm-up, see `schedule.Schedule`
    min_learning_rate: float | None  # after the warm-up; None only with AUTO, see `with_floor`
    period: int | None  # updates, for schedules with periods; None: depends on the schedule
    period_growth: (
        int  # cosine_restarts: each period is this many times as long as the previous one
    )
    milestones: tuple[int, ...]  # updates, for multi_step
    rate_factor: float  # for step, multi_step, exponential, plateau
    plateau_patience: int | str  # validations, or `5 epochs`, see `in_validations`
    optimizer: str  # adamw | adam | sgd | rmsprop | adamw_8bit
    weight_decay: float | str  # or AUTO
    decay: str  # all | matrices | upstream
    betas: tuple[float, float]  # for Adam and its variants
    momentum: float  # for sgd and rmsprop
    freeze: tuple[str, ...] | str  # patterns of parameter names, or presets of the family; or AUTO
    freeze_base_tokens: bool  # rows of the base's tokens stay as they are
    max_grad_norm: float  # 0: no clipping
    ema_decay: float  # 0: no EMA weights, the weights take their place
    ema_every: int  # updates between two steps of the EMA weights
    ema_follow_updates: int  # updates in which the EMA weights are a copy of the weights
    ema_power: float
    batch_s: float | str  # seconds of audio in a micro-batch, padding included; or AUTO, see `size`
    balance: str  # none | speaker
    batch_clips: int  # maximum clips in a micro-batch; 0: no limit
    accumulate: int  # micro-batches per update and process; not with AUTO
    update_s: float  # with AUTO: seconds of audio in an update, over all processes
    precision: str  # fp32 | bf16 | fp16
    gradient_checkpointing: bool  # recompute activations of the blocks instead of keeping them
    compile: bool  # torch.compile for the blocks
    dropout: float | None  # of the model's dropout layers; None: the architecture's
    deterministic: bool  # on a GPU, prefer operations that repeat bit by bit
    seed: int
    save_every: int | str | None  # updates, or `2 epochs`, see `in_updates`; None: no interval
    save_last_every: int | str | None  # likewise, for states that the next one replaces
    validate_every: int | str  # likewise
    loss_weights: dict[str, float]  # of all loss parts
    best_by: str  # `loss`, or one of its parts
    max_forgetting: float | None  # rise of an earlier run's loss that stops; None only warns
    samples: int  # synthesised at each validation, for TensorBoard
    patience: int  # validations without an improvement that end the training; 0: off
    keep: int  # newest checkpoints that stay besides the best: -1 all, 0 only the last
    log_every: int  # updates
    workers: int  # processes that load batches; 0: none
    prefetch: int  # batches that each of them keeps ready, in shared memory
    pin_memory: bool  # page-locked memory for batches that go to a GPU
    stop_after_minutes: float | None
    on_code_change: str  # continue | stop
    on_rate_change: str  # stop | continue | restart


@dataclass(frozen=True)
class RunSettings:
    """Everything the worker needs.

    Attributes:
        family: name in `voicekiln.families`.
        base_files: the run's base files.
        checkpoint: the reset base.
        architecture: from the family's `architecture`.
        tokenizer: the tokenizer folder.
        train_rows, val_rows: JSONL files, see `clips.Row`.
        directory: for checkpoints, metrics and status.
        train: section `train`.
        added_tokens: number of tokens that the base's vocabulary was extended by.
        threads: CPU threads of each process.
        code: digest of the code, or "".
        vocoder: its folder, for audio samples, or None.
        earlier: validation rows of the runs that the base comes from, by run.
    """

    family: str
    base_files: Files
    checkpoint: Path
    architecture: dict[str, Any]
    tokenizer: Path
    train_rows: Path
    val_rows: Path
    directory: Path
    train: TrainSettings
    added_tokens: int
    threads: int
    code: str
    vocoder: Path | None
    earlier: dict[str, Path]


def job_threads(workers: int | str) -> int:
    """Threads of a training job: one for training, and one per data loader process."""
    return 1 + (AUTO_WORKERS if workers == AUTO else workers)


def loader_processes(workers: int | str, threads: int, gpu: bool) -> int:
    """Number of processes that load batches; the batches do not depend on it.

    Args:
        workers: `train.workers`.
        threads: those available. With auto, one trains and the others load.
        gpu: whether there is one. On a CPU a batch takes far longer to train on than to load.
    """
    if workers != AUTO:
        return workers
    return min(AUTO_WORKERS, threads - 1) if gpu else 0


def divide_threads(workers: int | str, threads: int, processes: int, gpu: bool) -> tuple[int, int]:
    """Threads and loader processes of each training process.

    Those of several processes together take no more than the job's threads, except that each
    process trains with at least one. A number set for a single process is used as it is.

    Args:
        workers: `train.workers`.
        threads: the job's.
        processes: training processes, one per GPU.
        gpu: whether there is one.
    """
    own = max(1, threads // processes)
    loaders = loader_processes(workers, own, gpu)
    if processes > 1:
        loaders = min(loaders, own - 1)
    return max(1, own - (job_threads(workers) - 1)), loaders


def in_updates(interval: int | str | None, per_epoch: int) -> int | None:
    """An interval in updates.

    Args:
        interval: updates, or text such as `1 epoch` or `2 epochs`; None stays None.
        per_epoch: updates in an epoch.
    """
    return int(interval.split()[0]) * per_epoch if isinstance(interval, str) else interval


def in_validations(patience: int | str, epochs: int, per_epoch: float) -> int:
    """A plateau's patience in validations.

    In a short run a patience of so many epochs would never be exhausted: of at most twice as many
    epochs, it counts validations.

    Args:
        patience: validations, or text such as `5 epochs`.
        epochs: of the run.
        per_epoch: validations in an epoch.
    """
    if not isinstance(patience, str):
        return patience
    n = int(patience.split()[0])
    return n if epochs <= 2 * n else max(1, round(n * per_epoch))


def train_settings(section: dict[str, Any], family: str) -> TrainSettings:
    """Settings from the section `train` of a run.

    Raises:
        UserError: a key is missing or unknown; a weight of no loss part.
    """
    train = dict(section)
    known = {field.name for field in fields(TrainSettings)}
    if wrong := sorted(known ^ set(train)):
        raise UserError(f"train: expected exactly the keys {sorted(known)}; these differ: {wrong}")
    lists = [name for name in ("betas", "milestones", "freeze") if train[name] != AUTO]
    train |= {name: tuple(train[name]) for name in lists}
    weights = facts.of(family).losses
    if unknown := sorted(set(train["loss_weights"]) - set(weights)):
        raise UserError(
            f"train.loss_weights: {', '.join(unknown)}: not a part of this family's loss; expected "
            f"{', '.join(weights)}"
        )
    train["loss_weights"] = {**weights, **train["loss_weights"]}
    settings = TrainSettings(**train)
    return settings if settings.learning_rate == AUTO else with_floor(settings)


def with_floor(settings: TrainSettings) -> TrainSettings:
    """The settings with a `min_learning_rate`; the default depends on the learning rate."""
    if settings.min_learning_rate is not None:
        return settings
    floor = min(PLATEAU_FLOOR, settings.learning_rate) if settings.schedule == "plateau" else 0.0
    return replace(settings, min_learning_rate=floor)


def from_json(content: dict[str, Any]) -> RunSettings:
    """Settings from the content of a settings file.

    Raises:
        UserError: a key of the section `train` is missing or unknown.
    """
    return RunSettings(
        family=content["family"],
        base_files={name: Path(path) for name, path in content["base_files"].items()},
        checkpoint=Path(content["base"]["checkpoint"]),
        architecture=content["base"]["architecture"],
        tokenizer=Path(content["tokenizer"]),
        train_rows=Path(content["train_rows"]),
        val_rows=Path(content["val_rows"]),
        directory=Path(content["directory"]),
        train=train_settings(content["settings"], content["family"]),
        added_tokens=content["base"]["added_tokens"],
        threads=content["threads"],
        code=content["code"],
        vocoder=Path(content["vocoder"]) if content.get("vocoder") else None,
        earlier={name: Path(rows) for name, rows in content.get("earlier", {}).items()},
    )


def read(path: Path) -> RunSettings:
    """Settings from a file."""
    return from_json(json.loads(Path(path).read_text(encoding="utf-8")))
