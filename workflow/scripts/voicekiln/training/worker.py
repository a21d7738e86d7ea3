"""The process that trains; `launch` starts it under `torch.distributed.run`.

Needs no Snakemake. Exit codes: 0 training reached its end, 1 an error, 2 an error that the user can
fix, 75 asked to stop: the state is saved and the same command continues.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator

from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.families import Family, Tokenizer, facts
from voicekiln.features.packs import PackReader
from voicekiln.training import auto, summary
from voicekiln.training.data.clips import Clips, Row, hours_of, read_rows
from voicekiln.training.data.plan import to_steps
from voicekiln.training.log.records import (
    EXIT_ERROR,
    EXIT_FINISHED,
    EXIT_STOPPED,
    EXIT_USER_ERROR,
    read_warnings,
    write_status,
)
from voicekiln.training.loop import Training
from voicekiln.training.process.collectives import is_peer_failure, make_accelerator
from voicekiln.training.process.events import (
    LOG_ONLY,
    EventHandler,
    EventWriter,
    exchange,
    reported_end,
)
from voicekiln.training.process.stop import Stop
from voicekiln.training.run import Run
from voicekiln.training.session import Session
from voicekiln.training.settings import RunSettings, TrainSettings, in_updates, in_validations, read
from voicekiln.training.state import checkpoints, identity, previous
from voicekiln.training.state.history import History
from voicekiln.training.state.lease import Lease
from voicekiln.training.state.training_state import TrainingState
from voicekiln.training.state.writer import CheckpointWriter
from voicekiln.training.step import blocks, optimizers, size
from voicekiln.training.step.loader import BatchLoader
from voicekiln.training.step.out_of_memory import BatchSplitter
from voicekiln.training.step.samples import Samples
from voicekiln.training.step.validation import Validation, require_loss_part
from voicekiln.weights import files as weight_files

log = logging.getLogger("train")

# torch.distributed.run sets these for one process too; because of them accelerate
# would wrap the model.
DISTRIBUTED = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")


def main(path: Path) -> int:
    """Train with the settings of a file; returns the exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    if os.environ.get("WORLD_SIZE") == "1":
        for name in DISTRIBUTED:
            os.environ.pop(name, None)
    try:
        settings = read(path)
    except Exception as error:
        return report_end(failure(error))["exit_code"]
    stop = Stop(settings.train.stop_after_minutes)
    stop.on_signals()
    torch.set_num_threads(settings.threads)
    if settings.train.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # required by cuBLAS
        torch.use_deterministic_algorithms(True, warn_only=True)
    return run(settings, stop)


def run(settings: RunSettings, stop: Stop) -> int:
    """Train to the end or until a stop; returns the exit code, status.json has the reason."""
    outcome = {"exit_code": EXIT_ERROR, "state": "failed", "reason": ""}
    lease = None
    try:
        accelerator = make_accelerator(settings.train.precision)
        if accelerator.is_main_process:
            log.addHandler(EventHandler())
            lease = Lease(settings.directory)
            lease.acquire()
        else:
            log.setLevel(logging.WARNING)  # all processes would log the same
        done, reason = train(settings, stop, accelerator, lease)
        if done:
            code, state = EXIT_FINISHED, "finished"
            log.info("%s", reason)
        else:
            code, state = EXIT_STOPPED, "stopped"
            log.warning("stopped: %s; run again to continue from here", reason, extra=LOG_ONLY)
        outcome = {"exit_code": code, "state": state, "reason": reason}
    except Exception as error:
        outcome = failure(error)
    finally:
        outcome = report_end(outcome)
        if lease is not None:
            record_end(settings.directory, lease, outcome)
            lease.release()
    return outcome["exit_code"]


def failure(error: Exception) -> dict:
    """Log an error; returns the outcome of a process that ends with it."""
    if isinstance(error, UserError):
        log.error("%s", error)
        return {"exit_code": EXIT_USER_ERROR, "state": "failed", "reason": str(error)}
    reason = f"{type(error).__name__}: {error}"
    if is_peer_failure(error):
        reason = f"another process of this training died ({reason.splitlines()[0]})"
    log.error("training failed", exc_info=error)
    return {"exit_code": EXIT_ERROR, "state": "failed", "reason": reason}


def report_end(outcome: dict) -> dict:
    """Report the outcome to the launcher; returns the one that counts for all processes.

    A failure overrides the end of another process. Of several failures the first one counts: it
    has the reason; the other processes may only notice that one is gone.
    """
    folder = exchange()
    if folder is None:
        return outcome
    EventWriter().write("end", **outcome)
    return reported_end(folder) or outcome


def record_end(directory: Path, lease: Lease, outcome: dict) -> None:
    """Write the outcome to status.json, if this process still holds the training."""
    if lease.held:
        folder = directory / "checkpoints"
        last, best = checkpoints.pointed(folder, "last"), checkpoints.pointed(folder, "best")
        more = {"update": last["update"] if last else 0, "last": last, "best": best}
        more["warnings"] = read_warnings(directory)
        write_status(directory, **outcome, **more)


def train(
    settings: RunSettings, stop: Stop, accelerator: Accelerator, lease: Lease | None
) -> tuple[bool, str]:
    """Prepare the run, continue from its state if there is one, and train.

    Returns:
        whether the training has ended for good, and why it ended.
    """
    directory, family = settings.directory, families.get(settings.family)
    old = identity.read(directory)
    tokenizer = family.tokenizer(settings.tokenizer)
    require_loss_part(settings.train.best_by, list(facts.of(settings.family).losses))
    train_clips, val_clips, earlier = read_clips(settings, family, tokenizer)
    resolved = resolve_auto(settings, train_clips.rows, old)
    settings = replace(settings, train=resolved.settings)
    s = settings.train
    weights = family.read_weights(settings.checkpoint)
    model = build(settings, family, tokenizer.n_tokens).to(accelerator.device).train()
    run = Run(family, model, s, accelerator, directory, "", stop, lease)

    update_steps = to_steps(s.update_s, family.STEPS_PER_S)
    identity_with = partial(
        identity.run_identity,
        train_clips.rows,
        val_clips.rows,
        tokenizer.sha256,
        weight_files.state_sha256(weights),
        settings.family,
        family.LOSS_VERSION,
        settings.architecture,
        s,
        settings.code,
        update_steps=update_steps,
        auto=resolved.values,
    )
    batch_size = (
        size.configured(s, accelerator.num_processes, family.STEPS_PER_S)
        or identity.stored_size(old, update_steps, lambda found: identity_with(size=found))
        or size.probe(run, train_clips)
    )
    new = identity_with(size=batch_size)
    accelerator.wait_for_everyone()  # all have read what the main process writes now
    if run.writes:
        prepare_directory(directory, old, new, settings)
    accelerator.wait_for_everyone()
    if end := ended(directory, new["sha256"], s):
        if run.writes:
            # a kill may have come between the last checkpoint and what follows it
            CheckpointWriter(run).point(end.checkpoint, end.history)
            checkpoints.remove_leftovers(directory / "checkpoints")
        log.info("there is nothing to do")
        return True, end.reason

    model.load_state_dict(weights, strict=True)
    batches = size.planned(run, train_clips, batch_size)
    intervals = {
        name: in_updates(getattr(s, name), batches.updates_per_epoch)
        for name in ("save_every", "save_last_every", "validate_every")
    }
    per_epoch = batches.updates_per_epoch / intervals["validate_every"]
    patience = in_validations(s.plateau_patience, s.epochs, per_epoch)
    s = replace(s, **intervals, plateau_patience=patience)
    run = replace(run, settings=s, identity=new["sha256"])
    state = TrainingState(run, batches, train_clips.n_steps, val_clips.n_steps)

    def validation(clips, splitter):
        return Validation(run, state.ema, clips, batch_size.steps, splitter)

    session = Session(
        run,
        state,
        train_clips.ids,
        validation(val_clips, state.val_splitter),
        {name: validation(c, BatchSplitter(c.n_steps)) for name, c in earlier.items()},
        Samples(
            run,
            state.ema,
            val_clips,
            tokenizer,
            settings.base_files,
            settings.vocoder,
            facts.of(settings.family).samples,
        ),
    )
    loader = BatchLoader(run, batches, train_clips, state.splitter)
    training = Training(run, state, loader, session, base_rows(settings, family, weights))
    del weights
    session.resume()
    if run.writes:
        summary.log_summary(run, state, session, batch_size, train_clips.rows, val_clips.rows)
    session.report("running", "training")
    return training.train()


def resolve_auto(settings: RunSettings, rows: Sequence[Row], old: dict | None) -> auto.Resolved:
    """Settings without `auto`; logs where they come from, and what is unusual about others.

    Args:
        settings: the run's.
        rows: training clips.
        old: identity of the existing state, or None.
    """
    table, hours = facts.of(settings.family).auto, hours_of(rows)
    stored = identity.stored_auto(old, settings.family, rows)
    resolved = auto.resolve(settings.train, hours, table, stored)
    for notice in resolved.notices:
        log.info("%s", notice)
    for warning in auto.unusual(resolved.settings, hours, table):
        log.warning("%s", warning)
    return resolved


def read_clips(
    settings: RunSettings, family: Family, tokenizer: Tokenizer
) -> tuple[Clips, Clips, dict[str, Clips]]:
    """Training and validation clips, and the validation clips of earlier runs.

    Raises:
        UserError: unreadable rows, unknown tokens, no validation clips, clips without a prompt.
    """
    packs, seed = PackReader(), settings.train.seed

    def clips(path, train=False, prompts=None):
        return Clips(family, read_rows(path), tokenizer, packs, seed, train, prompts)

    train_clips = clips(settings.train_rows, train=True)
    val_clips = clips(settings.val_rows, prompts=train_clips)
    if not val_clips.rows:
        raise UserError(f"{settings.val_rows}: no validation clips; see split in the config")
    train_clips.require_prompts("training clips")
    val_clips.require_prompts("validation clips")
    earlier = {name: clips(rows) for name, rows in settings.earlier.items()}
    for name, its_clips in earlier.items():
        its_clips.require_prompts(f"validation clips of run {name}")
    return train_clips, val_clips, earlier


def base_rows(
    settings: RunSettings, family: Family, weights: Mapping[str, torch.Tensor]
) -> dict[str, int]:
    """Number of rows of base tokens that must not change, by name of the tensor."""
    if not settings.train.freeze_base_tokens:
        return {}
    names = family.vocabulary_tensors(weights)
    return {name: len(weights[name]) - settings.added_tokens for name in names}


def build(settings: RunSettings, family: Family, n_tokens: int) -> torch.nn.Module:
    """The model with random weights, as the settings ask for it; frozen parameters are marked."""
    s = settings.train
    torch.manual_seed(s.seed)
    model = family.build(settings.architecture, n_tokens)
    if s.gradient_checkpointing:
        blocks.checkpoint(family.blocks(model))
    if s.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = s.dropout
    if s.compile:
        blocks.compile(family.blocks(model))
    optimizers.freeze(model, s.freeze, family.freeze_presets(model))
    return model


def prepare_directory(directory: Path, old: dict | None, new: dict, settings: RunSettings) -> None:
    """Make the folder ready: the state of another run is moved aside, this run's is restored."""
    previous.finish(directory)
    has_state = bool(checkpoints.found(directory / "checkpoints"))
    s = settings.train
    if old and old["code"] != new["code"] and ended(directory, new["sha256"], s):
        s = replace(s, on_code_change="continue")  # nothing is left to do for the new code
    decision = identity.decide(old, new, has_state, s)
    for notice in decision.notices:
        log.warning("%s", notice)
    if decision.action == "restart":
        previous.move_aside(directory)
    if decision.action != "resume":
        restore_previous(directory, new, s)
    previous.tidy(directory)
    identity.write(directory, new)


def restore_previous(directory: Path, new: dict, settings: TrainSettings) -> None:
    """Continue from the state of an earlier run, if this is the same run again."""
    for earlier in previous.found(directory):
        old = identity.read(earlier)
        if old is None or old["sha256"] != new["sha256"]:
            continue
        decision = identity.decide(old, new, True, settings)
        if decision.action == "resume":
            previous.restore(directory, earlier)
            for notice in decision.notices:
                log.warning("%s", notice)
        return


@dataclass(frozen=True)
class End:
    """The checkpoint with which a training has ended, its validations, and why it ended."""

    checkpoint: Path
    history: History
    reason: str


def ended(directory: Path, sha256: str, settings: TrainSettings) -> End | None:
    """The end of the run, by its newest checkpoint; None if something is left to train."""
    for checkpoint, meta in checkpoints.good(directory / "checkpoints"):
        history = History.of(meta, settings.best_by)
        if meta["fingerprint"] != sha256 or history.last != meta["update"]:
            return None
        reason = history.early_stop(settings.patience)
        if meta["epoch"] >= settings.epochs:
            reason = "the last epoch is done"
        return End(checkpoint, history, reason) if reason else None
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
