"""What a training is told: the file that the worker gets, and the `train` section in it."""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError

AUTO = "auto"
AUTO_WORKERS = 2
PLATEAU_FLOOR = (
    1e-7  # below it an update changes nothing; other schedules end at 0, as f5_tts's does
)


@dataclass(frozen=True)
class TrainSettings:
    """Section `train` of a run; the schema holds defaults and bounds."""

    epochs: int
    learning_rate: float  # the highest one
    warmup_updates: int
    schedule: str  # after the warm-up, see `schedule.Schedule`
    min_learning_rate: float  # no learning rate after the warm-up is lower
    period: int | None  # updates, of the schedules that have one; None: by the schedule
    period_growth: int  # of cosine_restarts: each period is so many times the one before
    milestones: tuple[int, ...]  # updates, of multi_step
    rate_factor: float  # of step, multi_step, exponential, plateau
    plateau_patience: int  # validations
    optimizer: str  # adamw | adam | sgd | rmsprop | adamw_8bit
    weight_decay: float
    decay: str  # all | matrices
    betas: tuple[float, float]  # of the adams
    momentum: float  # of sgd and rmsprop
    freeze: tuple[str, ...]  # patterns of parameters, or presets of the family
    freeze_base_tokens: bool  # rows of the base's tokens stay
    max_grad_norm: float  # 0: no clipping
    ema_decay: float
    ema_every: int  # updates between two steps of the average
    ema_follow_updates: int  # updates in which the average is a copy of the weights
    ema_power: float
    batch_frames: int | str  # most frames in a batch, with padding; or AUTO, see `batch_size`
    batch_clips: int  # most clips in a batch; 0: no limit
    accumulate: int  # batches an update, on each process; not with AUTO
    update_frames: int  # of AUTO, over all processes
    precision: str  # fp32 | bf16 | fp16
    gradient_checkpointing: bool  # activations are computed twice instead of kept
    compile: bool  # blocks by torch.compile
    dropout: float | None  # of the model's dropout layers; None: the architecture's
    deterministic: bool  # on a GPU only what torch can repeat to the last bit
    seed: int
    save_every: int | str | None  # updates, or `2 epochs`, see `in_updates`; None: no interval
    save_last_every: int | str | None  # likewise, of states that the next one replaces
    validate_every: int | str  # likewise
    loss_weights: dict[str, float]  # of the family's parts; those that are not 1
    best_by: str  # `loss`, or a part of the family's
    max_forgetting: float | None  # rise of an earlier run's loss that stops; None only warns
    samples: int  # spoken at each validation, for TensorBoard
    patience: int  # validations without a better one that end the training; 0: none
    keep: int  # newest checkpoints that stay, beside the best: -1 all, 0 the last alone
    log_every: int  # updates
    workers: int  # processes that load batches; 0: none
    prefetch: int  # batches that each of them has made ahead, in shared memory
    pin_memory: bool  # batches for a GPU in page-locked memory
    stop_after_minutes: float | None
    on_code_change: str  # continue | stop
    on_rate_change: str  # stop | continue | restart


@dataclass(frozen=True)
class RunSettings:
    """Everything the worker needs.

    Attributes:
        family: name in `voicekiln.families`.
        checkpoint: the reset base.
        architecture: what the family's `architecture` returned.
        base_files: of the original base, by their names in family.yaml.
        tokenizer: folder of the run's tokenizer.
        train_rows, val_rows: JSONL files, see `data.Row`.
        directory: where the training lives.
        train: section `train`.
        added_tokens: how many rows the base's vocabulary was extended by.
        threads: of the CPU, for each process.
        code: digest of the code, or an empty text.
        vocoder: its folder, for spoken samples; None: Griffin-Lim.
        earlier: rows of validation clips of the runs that the base comes from, by run.
    """

    family: str
    checkpoint: Path
    architecture: dict[str, Any]
    base_files: dict[str, Path]
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
    """Processes that load batches; the batches do not depend on how many there are.

    Args:
        workers: `train.workers`.
        threads: of the job. With auto one of them trains and the others load.
        gpu: whether there is one. On a CPU a batch takes far longer to train on than to load.
    """
    if workers != AUTO:
        return workers
    return min(AUTO_WORKERS, threads - 1) if gpu else 0


def in_updates(interval: int | str | None, per_epoch: int) -> int | None:
    """An interval in updates.

    Args:
        interval: updates, or a text such as `1 epoch`, `2 epochs`; None stays None.
        per_epoch: updates in an epoch.
    """
    return int(interval.split()[0]) * per_epoch if isinstance(interval, str) else interval


def from_json(content: dict[str, Any]) -> RunSettings:
    """Settings from what the script wrote.

    Raises:
        UserError: a key is missing or unknown.
    """
    train = dict(content["settings"])
    known = {field.name for field in fields(TrainSettings)}
    if wrong := sorted(known ^ set(train)):
        raise UserError(f"train: expected exactly the keys {sorted(known)}; these differ: {wrong}")
    train |= {name: tuple(train[name]) for name in ("betas", "milestones", "freeze")}
    if train["min_learning_rate"] is None:
        floor = min(PLATEAU_FLOOR, train["learning_rate"])
        train["min_learning_rate"] = floor if train["schedule"] == "plateau" else 0.0
    # a weight of 1 is no weight: saying so makes no other run
    train["loss_weights"] = {k: v for k, v in train["loss_weights"].items() if v != 1}
    return RunSettings(
        family=content["family"],
        checkpoint=Path(content["base"]["checkpoint"]),
        architecture=content["base"]["architecture"],
        base_files={name: Path(path) for name, path in content.get("base_files", {}).items()},
        tokenizer=Path(content["tokenizer"]),
        train_rows=Path(content["train_rows"]),
        val_rows=Path(content["val_rows"]),
        directory=Path(content["directory"]),
        train=TrainSettings(**train),
        added_tokens=content["base"]["added_tokens"],
        threads=content["threads"],
        code=content.get("fingerprint_parts", {}).get("code", ""),
        vocoder=Path(content["vocoder"]) if content.get("vocoder") else None,
        earlier={name: Path(rows) for name, rows in content.get("earlier", {}).items()},
    )


def read(path: Path) -> RunSettings:
    """Settings from a file."""
    return from_json(json.loads(Path(path).read_text(encoding="utf-8")))
