"""What defines a run, and what happens when it is not what it was when the run began.

fingerprint.json lies beside the checkpoints. A run goes on from its state only as the same run:

| what changed                                        | what happens                              |
| --------------------------------------------------- | ----------------------------------------- |
| nothing                                             | resume; a finished run is finished        |
| epochs, intervals, keep, workers, time limit        | continue                                  |
| learning rate, below 5x                             | continue with a notice                    |
| learning rate, 5x or more                           | stop and ask (`on_rate_change`)           |
| code only                                           | continue with a notice (`on_code_change`) |
| anything else: data, vocabulary, base, model, loss, | another run, see `previous`               |
| optimiser, schedule, batches, precision, seed       |                                           |
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.provenance import canonical, sha256_json
from voicekiln.training.data.clips import Row
from voicekiln.training.data.plan import BatchSize
from voicekiln.training.log.records import read_json, write_json
from voicekiln.training.settings import TrainSettings

log = logging.getLogger("train")

FILE = "fingerprint.json"
RATE_FACTOR = 5.0
# Settings that may change from one start to the next. All others make another run.
FREE = {
    "epochs",
    "save_every",
    "save_last_every",
    "validate_every",
    "patience",
    "samples",
    "max_forgetting",
    "keep",
    "log_every",
    "workers",
    "prefetch",
    "pin_memory",
    "deterministic",
    "gradient_checkpointing",
    "compile",
    "stop_after_minutes",
    "on_code_change",
    "on_rate_change",
    "learning_rate",  # by its own rule
    "accumulate",  # counts in batches per update
    "update_frames",  # likewise
}


# What makes a run another one only in some company; and values that say: as it always was.
ONLY_WITH = {
    "betas": ("optimizer", {"adamw", "adam", "adamw_8bit"}),
    "momentum": ("optimizer", {"sgd", "rmsprop"}),
    "period": ("schedule", {"cosine_restarts", "step", "exponential"}),
    "period_growth": ("schedule", {"cosine_restarts"}),
    "milestones": ("schedule", {"multi_step"}),
    "rate_factor": ("schedule", {"step", "multi_step", "exponential", "plateau"}),
    "plateau_patience": ("schedule", {"plateau"}),
    "best_by": ("schedule", {"plateau"}),
}
NEUTRAL = {
    "best_by": "loss",
    "loss_weights": {},
    "optimizer": "adamw",
    "decay": "all",
    "freeze": (),
    "freeze_base_tokens": False,
    "dropout": None,
}


@dataclass(frozen=True)
class Decision:
    """What to do with the state that is there.

    Attributes:
        action: `fresh` (none there), `resume`, or `restart` (move it aside first).
        notices: what the user should know, one sentence each.
    """

    action: str
    notices: tuple[str, ...]


def fingerprint(
    train: Sequence[Row],
    val: Sequence[Row],
    vocabulary_sha256: str,
    base_sha256: str,
    family: str,
    loss_version: int,
    architecture: dict[str, Any],
    settings: TrainSettings,
    code: str,
    size: BatchSize,
) -> dict:
    """What defines the run, with what may change beside it."""
    values = asdict(settings)
    identity = {
        "train data": sha256_json(_data(train)),
        "validation data": sha256_json(_data(val)),
        "vocabulary": vocabulary_sha256,
        "base tensors": base_sha256,
        "family": family,
        "loss version": loss_version,
        "architecture": architecture,
        **{name: value for name, value in values.items() if _defines(name, values)},
        "batch_frames": size.frames,
        "batches per update": size.per_update,
    }
    return canonical(
        {
            "identity": identity,
            "sha256": sha256_json(identity),
            "learning_rate": settings.learning_rate,
            "epochs": settings.epochs,
            "update_frames": settings.update_frames,
            "code": code,
        }
    )


def _defines(name: str, values: dict[str, Any]) -> bool:
    """Whether a setting is part of what the run is."""
    if name in FREE or (name in NEUTRAL and values[name] == NEUTRAL[name]):
        return False
    other, company = ONLY_WITH.get(name, (None, None))
    return other is None or values[other] in company


def _data(rows: Sequence[Row]) -> list[list]:
    return sorted([r.id, r.text, r.speaker, r.language, r.n_frames, r.audio_sha256] for r in rows)


def kept_size(
    old: dict | None, update_frames: int, fingerprint_of: Callable[[BatchSize], dict]
) -> BatchSize | None:
    """The batches that `auto` came to when the run began; None where it is another run.

    Args:
        old: fingerprint of the state that is there, or None.
        update_frames: of this start.
        fingerprint_of: of this start, with such batches.
    """
    if old is None or old.get("update_frames") != update_frames:
        return None
    identity = old["identity"]
    size = BatchSize(identity["batch_frames"], identity["batches per update"])
    return size if fingerprint_of(size)["identity"] == identity else None


def decide(old: dict | None, new: dict, has_state: bool, settings: TrainSettings) -> Decision:
    """What the difference between two fingerprints asks for.

    Args:
        old: of the state that is there, or None.
        new: of this start.
        has_state: whether there are checkpoints.
        settings: section `train`.

    Raises:
        UserError: the rate or the code changed and the user has to choose.
    """
    if not has_state:
        return Decision("fresh", ())
    if old is None:
        return Decision("restart", (f"the checkpoints that are there have no {FILE}",))
    if changed := differences(old["identity"], new["identity"]):
        what = ", ".join(changed)
        return Decision("restart", (f"this is another run than before ({what})",))
    notices = []
    before, now = old["learning_rate"], new["learning_rate"]
    if before != now:
        factor = max(before, now) / min(before, now) if min(before, now) > 0 else float("inf")
        text = f"train.learning_rate went from {before:g} to {now:g} ({factor:.3g}x)"
        if factor >= RATE_FACTOR and settings.on_rate_change == "stop":
            raise UserError(
                f"{text}, and training has started with the old one. Set train.on_rate_change:"
                " continue to keep this state, or restart to start again at update 0 (the state is"
                " kept in training/previous/), or set train.learning_rate back"
            )
        if factor >= RATE_FACTOR and settings.on_rate_change == "restart":
            return Decision("restart", (f"{text}: training starts again at update 0",))
        notices.append(f"{text}: continues with it")
    if old["epochs"] != new["epochs"]:
        notices.append(f"train.epochs went from {old['epochs']} to {new['epochs']}")
    if old["code"] != new["code"]:
        if settings.on_code_change == "stop":
            raise UserError(
                "the code of VoiceKiln changed since this training began and train.on_code_change"
                " is stop: set it to continue, or go back to the code it began with"
            )
        notices.append("the code of VoiceKiln changed since this training began; it goes on")
    return Decision("resume", tuple(notices))


def differences(old: dict, new: dict) -> list[str]:
    """Names of the parts that are not equal, with the values where they are short."""
    changed = []
    for name in sorted(set(old) | set(new)):
        a, b = old.get(name), new.get(name)
        if a != b:
            long = isinstance(a, dict) or len(str(a)) > 20
            changed.append(name if long else f"{name} {a} -> {b}")
    return changed


def read(directory: Path) -> dict | None:
    """The fingerprint of the state in a training folder."""
    return read_json(directory / FILE)


def write(directory: Path, content: dict) -> None:
    """Writes fingerprint.json."""
    write_json(directory / FILE, content)
