"""Run identity, and what to do if it changed.

It is kept in fingerprint.json, next to the checkpoints. Training resumes only as the same run:

| changed                                             | what happens                              |
| --------------------------------------------------- | ----------------------------------------- |
| nothing                                             | resume; a finished run stays finished     |
| settings in FREE, such as epochs, intervals, keep   | continue                                  |
| learning rate, below 5x                             | continue with a notice                    |
| learning rate, 5x or more                           | stop and ask (`on_rate_change`)           |
| code only                                           | continue with a notice (`on_code_change`) |
| anything else: data, vocabulary, base, model, loss, | another run, see `previous`               |
| optimiser, schedule, batches, precision, seed       |                                           |
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.families import facts
from voicekiln.provenance import canonical, sha256_json
from voicekiln.store.files import read_json
from voicekiln.training.data.clips import Row
from voicekiln.training.data.plan import BatchSize
from voicekiln.training.log.records import write_json
from voicekiln.training.settings import TrainSettings

log = logging.getLogger("train")

FILE = "fingerprint.json"
NOTHING: Mapping[str, Any] = {}
LABELS = {"batch_frames": "batch_s in steps"}  # of entries, for messages
LARGE_CHANGE = 5.0  # factor of the learning rate
# Settings that may change from one start to the next; all others define the run.
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
    "learning_rate",  # has a rule of its own
    "batch_s",  # counts as the steps of a batch
    "accumulate",  # counts as batches per update
    "update_s",  # likewise
}


# Settings that only matter with certain values of another one; and defaults, which are left out so
# that a new setting does not change the identity of existing runs.
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
    "balance": "none",
    "loss_weights": {},
    "optimizer": "adamw",
    "decay": "all",
    "freeze": (),
    "freeze_base_tokens": False,
    "dropout": None,
}


@dataclass(frozen=True)
class Decision:
    """Decision about an existing state.

    Attributes:
        action: `fresh` (there is none), `resume`, or `restart` (move it aside first).
        notices: messages for the user, one sentence each.
    """

    action: str
    notices: tuple[str, ...]


def run_identity(
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
    update_steps: int,
    auto: Mapping[str, Any] = NOTHING,
) -> dict:
    """Content of fingerprint.json: what defines the run, and what may change, with its values.

    Args:
        settings: section `train`, without `auto`.
        size: of batches and updates.
        update_steps: steps of an update, as configured.
        auto: values that settings have because they are `auto`.
    """
    values = asdict(settings)
    defaults = facts.of(family).losses
    values["loss_weights"] = {
        part: weight
        for part, weight in settings.loss_weights.items()
        if weight != defaults.get(part)
    }
    identity = {
        "train data": sha256_json(_data(train)),
        "validation data": sha256_json(_data(val)),
        "vocabulary": vocabulary_sha256,
        "base tensors": base_sha256,
        "family": family,
        "loss version": loss_version,
        "architecture": architecture,
        **{name: value for name, value in values.items() if _defines(name, values)},
        # steps; named as in earlier versions, whose states resume
        "batch_frames": size.steps,
        "batches per update": size.per_update,
    }
    return canonical(
        {
            "identity": identity,
            "sha256": sha256_json(identity),
            "learning_rate": settings.learning_rate,
            "epochs": settings.epochs,
            "update_frames": update_steps,
            "code": code,
            **({"auto": dict(auto)} if auto else {}),
        }
    )


def _defines(name: str, values: dict[str, Any]) -> bool:
    """Whether a setting belongs to the identity."""
    if name in FREE or (name in NEUTRAL and values[name] == NEUTRAL[name]):
        return False
    other, relevant = ONLY_WITH.get(name, (None, None))
    return other is None or values[other] in relevant


def _data(rows: Sequence[Row]) -> list[list]:
    return sorted([r.id, r.text, r.speaker, r.language, r.n_steps, r.audio_sha256] for r in rows)


def stored_auto(old: dict | None, family: str, train: Sequence[Row]) -> dict[str, Any]:
    """Values that `auto` had when a training of the same clips started, by key.

    Args:
        old: identity of the existing state, or None.
        family: its name.
        train: training clips.
    """
    here = {"family": family, "train data": sha256_json(_data(train))}
    if old is None or any(old["identity"].get(name) != value for name, value in here.items()):
        return {}
    return old.get("auto", {})


def stored_size(
    old: dict | None, update_steps: int, identity_with: Callable[[BatchSize], dict]
) -> BatchSize | None:
    """Batch size that `auto` found when the run started; None if this is another run.

    Args:
        old: identity of the existing state, or None.
        update_steps: steps of an update, as configured now.
        identity_with: returns the identity of this start with such batches.
    """
    if old is None or old.get("update_frames") != update_steps:
        return None
    identity = old["identity"]
    size = BatchSize(identity["batch_frames"], identity["batches per update"])
    return size if identity_with(size)["identity"] == identity else None


def decide(old: dict | None, new: dict, has_state: bool, settings: TrainSettings) -> Decision:
    """Decide about an existing state by the difference of two identities.

    Args:
        old: identity of the existing state, or None.
        new: identity of this start.
        has_state: whether there are checkpoints.
        settings: section `train`.

    Raises:
        UserError: the learning rate or the code changed and the user has to choose.
    """
    if not has_state:
        return Decision("fresh", ())
    if old is None:
        return Decision("restart", (f"the existing checkpoints have no {FILE}",))
    if changed := differences(old["identity"], new["identity"]):
        what = ", ".join(changed)
        return Decision("restart", (f"the run differs from the existing state ({what})",))
    notices = []
    before, now = old["learning_rate"], new["learning_rate"]
    if before != now:
        factor = max(before, now) / min(before, now) if min(before, now) > 0 else float("inf")
        text = f"train.learning_rate changed from {before:g} to {now:g} ({factor:.3g}x)"
        if factor >= LARGE_CHANGE and settings.on_rate_change == "stop":
            raise UserError(
                f"{text}, and training has started with the old one. Set train.on_rate_change: "
                "continue to keep this state, or restart to start again at update 0 (the state is "
                "kept in training/previous/), or restore train.learning_rate"
            )
        if factor >= LARGE_CHANGE and settings.on_rate_change == "restart":
            return Decision("restart", (f"{text}: training starts again at update 0",))
        notices.append(f"{text}: training continues with it")
    if old["epochs"] != new["epochs"]:
        notices.append(f"train.epochs changed from {old['epochs']} to {new['epochs']}")
    if old["code"] != new["code"]:
        if settings.on_code_change == "stop":
            raise UserError(
                "VoiceKiln's code changed since this training started, and train.on_code_change is "
                "stop: set it to continue, or use the code it started with"
            )
        notices.append("VoiceKiln's code changed since this training started; it continues")
    return Decision("resume", tuple(notices))


def differences(old: dict, new: dict) -> list[str]:
    """Names of the entries that differ, with their values if these are short."""
    changed = []
    for name in sorted(set(old) | set(new)):
        a, b = old.get(name), new.get(name)
        if a != b:
            long = any(isinstance(v, dict | list) or len(str(v)) > 20 for v in (a, b))
            label = LABELS.get(name, name)
            changed.append(label if long else f"{label} {a} -> {b}")
    return changed


def read(directory: Path) -> dict | None:
    """Run identity of the state in a training folder, or None."""
    return read_json(directory / FILE)


def write(directory: Path, content: dict) -> None:
    """Write fingerprint.json."""
    write_json(directory / FILE, content)
