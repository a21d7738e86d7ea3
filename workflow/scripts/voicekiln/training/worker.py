"""The process that trains; `launch` starts it under `torch.distributed.run`.

Needs no Snakemake. Exit codes: 0 the last epoch is done, 1 an error, 2 something the user can mend,
75 asked to stop, with the state saved: start again and it goes on.
"""

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator

from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.families import Family, Tokenizer
from voicekiln.features.packs import PackReader
from voicekiln.training.data.clips import Clips, Row, read_rows
from voicekiln.training.log.records import (
    EXIT_ERROR,
    EXIT_FINISHED,
    EXIT_STOPPED,
    EXIT_USER_ERROR,
    Metrics,
    read_json,
    read_warnings,
    write_json,
    write_status,
)
from voicekiln.training.loop import Training
from voicekiln.training.process.collectives import accelerator_for, is_peer_failure
from voicekiln.training.process.stop import EXCHANGE, OUTCOME_FILE, Stop
from voicekiln.training.process.terminal import HIDDEN, ToTerminal
from voicekiln.training.settings import RunSettings, TrainSettings, in_updates, read
from voicekiln.training.state import checkpoints as states
from voicekiln.training.state import identity, previous
from voicekiln.training.state.history import History
from voicekiln.training.state.lease import Lease
from voicekiln.training.step import optimizers
from voicekiln.training.step import size as batch_size
from voicekiln.training.step.validation import require_part
from voicekiln.training.summary import log_summary
from voicekiln.weights import files as checkpoints

log = logging.getLogger("train")

# torch.distributed.run sets these for one process too; accelerate would wrap the model for them.
DISTRIBUTED = ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK")


def main(path: Path) -> int:
    """Trains as a settings file says; returns the exit code."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    if os.environ.get("WORLD_SIZE") == "1":
        for name in DISTRIBUTED:
            os.environ.pop(name, None)
    settings = read(path)
    stop = Stop(settings.train.stop_after_minutes)
    stop.on_signals()
    torch.set_num_threads(settings.threads)
    if settings.train.deterministic:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # as cuBLAS asks for it
        torch.use_deterministic_algorithms(True, warn_only=True)
    return run(settings, stop)


def run(settings: RunSettings, stop: Stop) -> int:
    """Trains to the end or to a stop; returns the exit code, the reason is in status.json."""
    code, state, reason = EXIT_ERROR, "failed", ""
    lease = None
    try:
        accelerator = accelerator_for(settings.train.precision)
        if accelerator.is_main_process:
            if folder := os.environ.get(EXCHANGE):
                log.addHandler(ToTerminal(Path(folder)))
            lease = Lease(settings.directory)
            lease.acquire()
        else:
            log.setLevel(logging.WARNING)  # all would say the same
        done, reason = train(settings, stop, accelerator, lease)
        if done:
            code, state = EXIT_FINISHED, "finished"
            log.info("%s", reason)
        else:
            code, state = EXIT_STOPPED, "stopped"
            log.warning("stopped: %s; run again to go on from here", reason, extra=HIDDEN)
    except UserError as error:
        code, reason = EXIT_USER_ERROR, str(error)
        log.error("%s", error)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        if is_peer_failure(error):
            reason = f"another process of this training is gone ({reason.splitlines()[0]})"
        log.exception("training failed")
    finally:
        outcome = tell({"exit_code": code, "state": state, "reason": reason})
        if lease is not None:
            record(settings.directory, lease, outcome)
            lease.release()
    return outcome["exit_code"]


def tell(outcome: dict) -> dict:
    """Tells the launcher how it ended, and returns what counts.

    Of several processes the first that ends knows why; the others may only miss it.
    """
    folder = os.environ.get(EXCHANGE)
    if not folder:
        return outcome
    path = Path(folder, OUTCOME_FILE)
    if (first := read_json(path)) is None:
        write_json(path, outcome)
    return first or outcome


def record(directory: Path, lease: Lease, outcome: dict) -> None:
    """Writes to status.json how it ended, if the training is ours."""
    if lease.held:
        checkpoints = directory / "checkpoints"
        last, best = states.pointed(checkpoints, "last"), states.pointed(checkpoints, "best")
        more = {"update": last["update"] if last else 0, "last": last, "best": best}
        more["warnings"] = read_warnings(directory)
        write_status(directory, **outcome, **more)


def train(
    settings: RunSettings, stop: Stop, accelerator: Accelerator, lease: Lease | None
) -> tuple[bool, str]:
    """Finds out what there is to go on from, and trains.

    Returns:
        whether the training has ended for good, and why it ended.
    """
    s, directory = settings.train, settings.directory
    family = families.get(settings.family)
    tokenizer = family.tokenizer(settings.tokenizer)
    train_clips, val_clips, earlier = read_clips(settings, family, tokenizer)
    require_part(s.best_by, val_clips)
    weights = family.read_weights(settings.checkpoint)
    model = build(settings, family, tokenizer.n_tokens).to(accelerator.device).train()

    fingerprint = partial(
        identity.fingerprint,
        train_clips.rows,
        val_clips.rows,
        tokenizer.sha256,
        checkpoints.state_sha256(weights),
        settings.family,
        family.LOSS_VERSION,
        settings.architecture,
        s,
        settings.code,
    )
    old = identity.read(directory)
    size = (
        batch_size.given(s, accelerator.num_processes)
        or identity.kept_size(old, s.update_frames, fingerprint)
        or batch_size.probe(family, model, train_clips, s, accelerator)
    )
    new = fingerprint(size)
    accelerator.wait_for_everyone()  # all have read what the first one writes now
    if accelerator.is_main_process:
        prepare_directory(directory, old, new, settings)
    accelerator.wait_for_everyone()
    if over := ended(directory, new["sha256"], s):
        log.info("there is nothing to do")
        return True, over

    model.load_state_dict(weights, strict=True)
    batches = batch_size.planned(train_clips, s, size)
    training = Training(
        family,
        model,
        train_clips,
        val_clips,
        batches,
        replace(
            s,
            batch_frames=size.frames,
            save_every=in_updates(s.save_every, batches.updates_per_epoch),
            save_last_every=in_updates(s.save_last_every, batches.updates_per_epoch),
            validate_every=in_updates(s.validate_every, batches.updates_per_epoch),
        ),
        directory,
        new["sha256"],
        accelerator,
        stop,
        lease,
        base_rows(settings, family, weights),
        tokenizer,
        lambda: family.decoder(settings.base_files, settings.vocoder, accelerator.device.type),
        earlier,
    )
    del weights
    if not training.resume() and accelerator.is_main_process:
        Metrics(directory / "metrics.jsonl").cut_back(0, None)
    if training.writes:
        log_summary(training, family)
    training.report("running", "training")
    return training.train()


def read_clips(
    settings: RunSettings, family: Family, tokenizer: Tokenizer
) -> tuple[Clips, Clips, dict[str, Clips]]:
    """Clips to train and to validate on, and those that earlier runs were validated on.

    Raises:
        UserError: rows or tokens that cannot be read, none to validate on.
    """
    packs = PackReader()

    def clips(rows, drops):
        tokens = [encode(tokenizer, row) for row in rows]
        return Clips(family, rows, tokens, packs, settings.train.seed, drops)

    train_rows, val_rows = read_rows(settings.train_rows), read_rows(settings.val_rows)
    if not val_rows:
        raise UserError(f"{settings.val_rows}: no clips to validate on; see split in the config")
    earlier = {name: clips(read_rows(rows), False) for name, rows in settings.earlier.items()}
    return clips(train_rows, True), clips(val_rows, False), earlier


def encode(tokenizer: Tokenizer, row: Row) -> torch.Tensor:
    """Token ids of a row's text, `[N]` int64; an error names the row."""
    try:
        return torch.tensor(tokenizer.encode(row.text, row.language), dtype=torch.int64)
    except UserError as error:
        raise UserError(f"{row.id}: {error}") from error


def base_rows(
    settings: RunSettings, family: Family, weights: Mapping[str, torch.Tensor]
) -> dict[str, int]:
    """How many rows of the base's tokens are not to move, by name of the tensor."""
    if not settings.train.freeze_base_tokens:
        return {}
    names = family.vocabulary_tensors(weights)
    return {name: len(weights[name]) - settings.added_tokens for name in names}


def build(settings: RunSettings, family: Family, n_tokens: int) -> torch.nn.Module:
    """The model with random weights, of which those that are not trained know it."""
    s = settings.train
    torch.manual_seed(s.seed)
    model = family.build(settings.architecture, n_tokens)
    if s.gradient_checkpointing:
        family.checkpoint_activations(model)
    if s.dropout is not None:
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = s.dropout
    if s.compile:
        family.compile_blocks(model)
    optimizers.freeze(model, s.freeze, family.freeze_presets(model))
    return model


def prepare_directory(directory: Path, old: dict | None, new: dict, settings: RunSettings) -> None:
    """Makes the folder ready: the state of another run goes aside, this run's own comes back."""
    previous.finish(directory)
    has_state = bool(states.found(directory / "checkpoints"))
    s = settings.train
    if old and old["code"] != new["code"] and ended(directory, new["sha256"], s):
        s = replace(s, on_code_change="continue")  # there is nothing that other code could do
    decision = identity.decide(old, new, has_state, s)
    for notice in decision.notices:
        log.warning("%s", notice)
    if decision.action == "restart":
        previous.move_aside(directory)
    if decision.action != "resume":
        take_back(directory, new, s)
    previous.tidy(directory)
    identity.write(directory, new)


def take_back(directory: Path, new: dict, settings: TrainSettings) -> None:
    """Continues from the state of an earlier run, if this is it again."""
    for earlier in previous.found(directory):
        old = identity.read(earlier)
        if old is None or old["sha256"] != new["sha256"]:
            continue
        decision = identity.decide(old, new, True, settings)
        if decision.action == "resume":
            previous.take_back(directory, earlier)
            for notice in decision.notices:
                log.warning("%s", notice)
        return


def ended(directory: Path, identity: str, settings: TrainSettings) -> str | None:
    """Why there is nothing left to train, by the newest checkpoint; None where there is."""
    for _, meta in states.good(directory / "checkpoints"):
        history = History.of(meta, settings.best_by)
        if meta["fingerprint"] != identity or history.last != meta["update"]:
            return None
        if meta["epoch"] >= settings.epochs:
            return "the last epoch is done"
        return history.over(settings.patience)
    return None


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
