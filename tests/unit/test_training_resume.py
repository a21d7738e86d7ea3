"""Killed anywhere and started again, training ends with the weights of the uninterrupted run."""

import json
import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from training_children import (
    at_call,
    die,
    final,
    in_child,
    kill_in_torch_save,
    metrics,
    same,
    updates_saved,
)
from training_setup import tiny_run, write_rows
from voicekiln.errors import UserError
from voicekiln.training import loop
from voicekiln.training.log.health import HealthChecks
from voicekiln.training.log.records import EXIT_FINISHED, EXIT_STOPPED, EXIT_USER_ERROR
from voicekiln.training.run import Run
from voicekiln.training.settings import RunSettings
from voicekiln.training.state import checkpoints
from voicekiln.training.step.ema import Ema

# 4 updates of 2 batches an epoch, 12 updates; saved every 3, validated every 4; dropout 0.1.
RUN = {"clips": 25, "epochs": 3}
UPDATES = 12
KILLS = 25  # at random instants


def kill_before_pointing(name: str, update: int):
    """Killed when `<name>.json` is to name the checkpoint of an update."""

    def prepare():
        original = checkpoints.point

        def replaced(folder, which, checkpoint, **more):
            if (which, checkpoints.update_of(checkpoint)) == (name, update):
                die()
            original(folder, which, checkpoint, **more)

        checkpoints.point = replaced

    return prepare


def kill_in_last_prune():
    """Killed while an old checkpoint is removed behind the last one."""

    def prepare():
        original = checkpoints.shutil.rmtree

        def replaced(path, **more):
            written = checkpoints.found(Path(path).parent)
            if Path(path).name.endswith(checkpoints.GONE) and Path(path).exists():
                if written and checkpoints.update_of(written[0]) == UPDATES:
                    die()
            original(path, **more)

        checkpoints.shutil.rmtree = replaced

    return prepare


def kill_in_validation(n: int):
    def prepare():
        original, calls = Ema.in_place, 0

        @contextmanager
        def replaced(self):
            nonlocal calls
            calls += 1
            with original(self):
                if calls == n:
                    die()
                yield

        Ema.in_place = replaced

    return prepare


def kill_beside_the_writer(n: int):
    """Preparation: killed while the n-th checkpoint is written and an update more is done."""

    def prepare():
        save, update, calls, held = checkpoints.save, Ema.update, 0, threading.Event()

        def held_up(*args):
            nonlocal calls
            calls += 1
            if calls == n:
                held.set()
                time.sleep(60)
            return save(*args)

        def deadly(self):
            update(self)
            if held.is_set():
                die()

        checkpoints.save, Ema.update = held_up, deadly

    return prepare


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> RunSettings:
    settings = tiny_run(tmp_path_factory.mktemp("whole"), **RUN)
    assert in_child(settings) == EXIT_FINISHED
    assert final(settings)["update"] == UPDATES
    return settings


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(
            [at_call(loop.Training, "backward", 2)], id="between accumulated batches, 1st"
        ),
        pytest.param([at_call(loop.Training, "backward", 12)], id="between accumulated batches"),
        pytest.param([at_call(Ema, "update", 8)], id="after the optimiser, before the average"),
        pytest.param([at_call(checkpoints, "save", 3)], id="before a checkpoint"),
        pytest.param([kill_in_torch_save(2)], id="while a checkpoint is written"),
        pytest.param([kill_beside_the_writer(2)], id="while training goes on beside the writer"),
        pytest.param([at_call(checkpoints, "write_json", 2)], id="before meta.json"),
        pytest.param([at_call(Path, "rename", 2)], id="before a checkpoint's rename"),
        pytest.param([at_call(checkpoints, "point", 3)], id="after a checkpoint's rename"),
        pytest.param([at_call(checkpoints, "prune", 3)], id="before old ones are removed"),
        pytest.param([kill_before_pointing("last", UPDATES)], id="after the last one's rename"),
        pytest.param([kill_before_pointing("best", UPDATES)], id="before the last one is best"),
        pytest.param([kill_in_last_prune()], id="before the last removal"),
        pytest.param([kill_in_validation(1)], id="in the validation of the base"),
        pytest.param([kill_in_validation(2)], id="in a validation"),
        pytest.param([kill_in_validation(4)], id="in the last validation"),
        pytest.param(
            [
                at_call(loop.Training, "backward", 9),
                kill_in_torch_save(1),
                at_call(loop.Training, "backward", 3),
                at_call(checkpoints, "point", 2),
                kill_in_validation(1),
            ],
            id="five times in a row",
        ),
    ],
)
def test_killed_and_started_again_ends_bit_equal(kills, uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN, keep=1)
    for kill in kills:
        assert in_child(settings, kill) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))
    for name in ("best", "last"):
        expected = checkpoints.pointed(uninterrupted.directory / "checkpoints", name)
        assert checkpoints.pointed(settings.directory / "checkpoints", name) == expected
    hidden = [path.name for path in (settings.directory / "checkpoints").glob(".*")]
    assert hidden == [], "a checkpoint's size of leftovers"
    assert metrics(settings, "validation") == metrics(uninterrupted, "validation")
    assert metrics(settings, "train") == metrics(uninterrupted, "train")


@pytest.mark.slow
def test_killed_at_random_instants_ends_bit_equal(uninterrupted, tmp_path):
    began = time.monotonic()
    assert in_child(tiny_run(tmp_path / "timed", **RUN)) == EXIT_FINISHED
    whole_s = time.monotonic() - began
    rng, ends = random.Random(0), Counter()
    while ends[-signal.SIGKILL] < KILLS:
        settings = tiny_run(tmp_path / f"run-{ends[EXIT_FINISHED]}", **RUN, keep=2)
        ends[in_child(settings, kill_after_s=rng.uniform(0.05, 0.6) * whole_s)] += 1
    assert set(ends) <= {-signal.SIGKILL, EXIT_FINISHED}
    assert in_child(settings) == EXIT_FINISHED
    for folder in tmp_path.glob("run-*"):
        same(final(tiny_run(folder, **RUN, keep=2)), final(uninterrupted))


@pytest.mark.parametrize(
    "course, turns",
    [
        (
            {"schedule": "cosine_restarts", "period": 3, "period_growth": 2},
            lambda rate: [n for n in rate if n > 4 and rate[n] == 1e-3] == [7],
        ),
        (
            {"schedule": "plateau", "plateau_patience": 0, "learning_rate": 0.3}
            | {"validate_every": 1},
            lambda rate: min(rate[n] for n in rate if n > 4) <= 0.3 / 4,
        ),
    ],
    ids=["warm restarts", "plateau"],
)
def test_the_rate_takes_its_course_whatever_comes_between(course, turns, tmp_path):
    course = course | RUN | {"log_every": 1}
    alone, settings = tiny_run(tmp_path / "alone", **course), tiny_run(tmp_path / "cut", **course)
    assert in_child(alone) == EXIT_FINISHED
    for kill in (
        at_call(loop.Training, "backward", 13),
        kill_in_validation(2),
        at_call(checkpoints, "save", 1),
    ):
        assert in_child(settings, kill) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    rates = metrics(alone, "train", "lr")
    assert turns(rates), rates
    assert metrics(settings, "train", "lr") == rates
    same(final(settings), final(alone))


def test_with_loader_processes_bit_equal(uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN, workers=2)
    assert in_child(settings, at_call(loop.Training, "backward", 9)) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))


@pytest.mark.parametrize("name", [checkpoints.WEIGHTS, checkpoints.STATE, checkpoints.META])
def test_a_damaged_checkpoint_is_skipped(name, uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN)
    assert in_child(settings, at_call(loop.Training, "backward", 21)) == -signal.SIGKILL
    newest = checkpoints.found(settings.directory / "checkpoints")[0] / name
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 0xFF
    newest.write_bytes(data if name != checkpoints.META else data[:10])
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_saves_and_the_rest_is_bit_equal(number, uninterrupted, tmp_path):
    """The signal comes three times, as at the end of a SLURM job."""
    settings = tiny_run(tmp_path, **RUN)

    def signal_in_forward():
        original, calls = loop.Training.backward, 0

        def replaced(*args):
            nonlocal calls
            calls += 1
            if 9 <= calls <= 11:
                os.kill(os.getpid(), number)
            return original(*args)

        loop.Training.backward = replaced

    assert in_child(settings, signal_in_forward) == EXIT_STOPPED
    status = json.loads((settings.directory / "status.json").read_text())
    assert status["state"] == "stopped" and signal.Signals(number).name in status["reason"]
    # it came in the first batch of update 5, which is dropped
    assert status["update"] == 4 and status["exit_code"] == EXIT_STOPPED
    assert not (settings.directory / "lease.json").exists()
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))


def test_a_signal_in_a_validation_ends_it_and_it_is_made_later(uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN)

    def signal_in_second():
        original, calls = Ema.in_place, 0

        @contextmanager
        def replaced(self):
            nonlocal calls
            calls += 1
            if calls == 2:
                os.kill(os.getpid(), signal.SIGTERM)
            with original(self):
                yield

        Ema.in_place = replaced

    assert in_child(settings, signal_in_second) == EXIT_STOPPED
    assert 4 not in metrics(settings, "validation")
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))
    assert metrics(settings, "validation") == metrics(uninterrupted, "validation")


def test_the_time_limit_stops_and_says_so(tmp_path):
    settings = tiny_run(tmp_path, **RUN, stop_after_minutes=1e-6)
    assert in_child(settings) == EXIT_STOPPED
    status = json.loads((settings.directory / "status.json").read_text())
    assert "train.stop_after_minutes" in status["reason"]


def test_finished_is_left_alone_and_more_epochs_go_on(uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, clips=25, epochs=2)
    assert in_child(settings) == EXIT_FINISHED
    before = {p: p.stat().st_mtime_ns for p in settings.directory.rglob("checkpoint_*/*")}
    assert in_child(settings) == EXIT_FINISHED
    assert before == {p: p.stat().st_mtime_ns for p in settings.directory.rglob("checkpoint_*/*")}
    assert in_child(tiny_run(tmp_path, clips=25, epochs=1)) == EXIT_FINISHED
    assert before == {p: p.stat().st_mtime_ns for p in settings.directory.rglob("checkpoint_*/*")}
    longer = tiny_run(tmp_path, clips=25, epochs=3)
    assert in_child(longer) == EXIT_FINISHED
    assert final(longer)["update"] == UPDATES
    assert set(before) <= set(longer.directory.rglob("checkpoint_*/*"))
    assert sorted(metrics(longer, "validation")) == [0, 4, 8, 12]


def test_another_seed_is_another_run_and_the_old_state_is_kept_aside(tmp_path):
    settings = tiny_run(tmp_path, **RUN)
    assert in_child(settings) == EXIT_FINISHED
    old = final(settings)
    other = tiny_run(tmp_path, **RUN, seed=8)
    assert in_child(other) == EXIT_FINISHED
    name = next(iter(old))
    assert not torch.equal(final(other)[name], old[name])
    previous = settings.directory / "previous" / "1" / "checkpoints"
    assert checkpoints.pointed(previous, "last")["update"] == UPDATES
    kept = {p.name for p in checkpoints.found(previous)}
    assert kept == {checkpoints.pointed(previous, n)["checkpoint"] for n in ("best", "last")}


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_and_names_update_rate_and_clips(what, tmp_path):
    """And no checkpoint of it is kept, though its update (5) is one that saves."""
    settings = tiny_run(tmp_path, **RUN, log_every=10, save_every=5)

    def poison():
        original, calls = Run.loss_sums, 0

        def replaced(self, batch):
            nonlocal calls
            calls += self.model.training
            parts = original(self, batch)
            if not self.model.training:
                return parts
            if calls == 10 and what == "loss":
                return {k: v * float("nan") for k, v in parts.items()}
            if calls == 10:
                for value in parts.values():
                    value.register_hook(lambda grad: grad * float("nan"))
            return parts

        Run.loss_sums = replaced

    assert in_child(settings, poison) == EXIT_USER_ERROR
    status = json.loads((settings.directory / "status.json").read_text())
    assert status["state"] == "failed"
    assert "update 5 " in status["reason"] and "train-0" in status["reason"]
    assert "learning rate" in status["reason"]
    assert updates_saved(settings.directory) == [4]


def test_a_full_disk_ends_with_the_last_good_state(uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN)

    def small_files():
        import resource

        original, calls = checkpoints.save, 0

        def replaced(*args):
            nonlocal calls
            calls += 1
            if calls == 3:
                resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
            try:
                return original(*args)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))

        checkpoints.save = replaced

    assert in_child(settings, small_files) == EXIT_USER_ERROR
    status = json.loads((settings.directory / "status.json").read_text())
    assert "cannot be written" in status["reason"] and "train.keep" in status["reason"]
    assert not list((settings.directory / "checkpoints").glob(".*"))
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))


def test_metrics_and_pointers_say_what_was_reached(uninterrupted):
    validation = metrics(uninterrupted, "validation")
    assert sorted(validation) == [0, 4, 8, 12]  # the reset base first
    folder = uninterrupted.directory / "checkpoints"
    best = checkpoints.pointed(folder, "best")
    after = {u: v for u, v in validation.items() if u}
    assert best["update"] == min(after, key=after.get)
    assert best["validation_loss"] == after[best["update"]] < validation[0]
    assert sorted(metrics(uninterrupted, "train"))[-1] == UPDATES
    assert list((uninterrupted.directory / "tensorboard").iterdir())
    progress = json.loads((uninterrupted.directory / "progress.json").read_text())
    assert progress["line"].startswith("Epoch 3/3: 100% | 4/4 [") and progress["update"] == UPDATES


def test_what_was_said_of_the_run_is_in_its_status(tmp_path):
    """Also what was said before it was killed, and once."""
    settings = tiny_run(tmp_path, **RUN)

    def worried(*more):
        def prepare():
            HealthChecks.check = lambda self, row: (
                [f"look, {row['update']}"] if row["update"] < 9 else []
            )
            for each in more:
                each()

        return prepare

    def said():
        status = json.loads((settings.directory / "status.json").read_text())
        return status["state"], status["warnings"]

    kill = at_call(loop.Training, "backward", 15)
    assert in_child(settings, worried(kill)) == -signal.SIGKILL
    expected = [{"update": u, "message": f"look, {u}"} for u in (2, 3, 4, 6, 8)]
    assert said() == ("running", expected[:4])
    assert in_child(settings, worried()) == EXIT_FINISHED
    assert said() == ("finished", expected)
    assert in_child(settings) == EXIT_FINISHED
    assert said() == ("finished", expected), "there was nothing to do"


def test_activations_may_be_computed_twice(uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN, gradient_checkpointing=True)
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))


def test_intervals_may_be_told_in_epochs(uninterrupted, tmp_path):
    """4 updates an epoch, of which the other is saved every 3 and validated every 4."""
    settings = tiny_run(tmp_path, **RUN, save_every="2 epochs", validate_every="1 epoch")
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))
    assert metrics(settings, "validation") == metrics(uninterrupted, "validation")
    assert updates_saved(settings.directory) == [12, 8, 4], "every new best too"


def test_saving_at_intervals_can_be_switched_off(uninterrupted, tmp_path):
    """S2-14: the new bests and the end remain."""
    settings = tiny_run(tmp_path, **RUN, save_every=None, validate_every=8)
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))
    assert updates_saved(settings.directory) == [12, 8]


def test_states_for_resuming_only_are_saved_more_often(uninterrupted, tmp_path):
    """S0-17: every 6 updates a checkpoint that stays, every 2 one that the next replaces."""
    settings = tiny_run(tmp_path, **RUN, save_every=6, save_last_every=2, validate_every=100)
    assert in_child(settings, at_call(Ema, "update", 11)) < 0
    # the one of update 10 may not have been written to its end
    assert updates_saved(settings.directory) in ([8, 6], [10, 6], [10, 8, 6])
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))
    assert updates_saved(settings.directory) == [12, 6]


def test_a_plateau_lowers_the_learning_rate_and_logs_it(tmp_path, caplog):
    """S3-12: after two validations without progress, down to the floor."""
    run = RUN | {"schedule": "plateau", "plateau_patience": 0, "rate_factor": 0.1}
    run |= {"validate_every": 2, "learning_rate": 1e-6, "min_learning_rate": None}
    settings = tiny_run(tmp_path, **run, warmup_updates=0)
    assert settings.train.min_learning_rate == 1e-7
    assert in_child(settings) == EXIT_FINISHED
    assert metrics(settings, "learning_rate", "before") == {4: 1e-6}
    assert metrics(settings, "learning_rate", "now") == {4: pytest.approx(1e-7)}
    rates = metrics(settings, "train", "lr")
    assert [rates[update] for update in (2, 4, 6, 12)] == pytest.approx([1e-6, 1e-6, 1e-7, 1e-7])


def test_loss_weights_scale_gradients_and_losses(uninterrupted, tmp_path):
    """S4-41: of a single part, a weight is a scale; Adam does not see it, the loss does."""
    weighted = tiny_run(tmp_path / "a", **RUN, loss_weights={"flow": 2.0}, max_grad_norm=0)
    plain = tiny_run(tmp_path / "b", **RUN, max_grad_norm=0, loss_weights={"flow": 1.0})
    assert plain.train.loss_weights == tiny_run(tmp_path / "b", **RUN).train.loss_weights
    for settings in (weighted, plain):
        assert in_child(settings) == EXIT_FINISHED
    for kind, name in (("train", "loss"), ("train", "grad_norm"), ("validation", "loss")):
        twice = {n: 2 * value for n, value in metrics(plain, kind, name).items()}
        assert metrics(weighted, kind, name) == pytest.approx(twice, rel=1e-3)


def test_dropout_of_the_configuration_replaces_the_architectures(tmp_path):
    ours = tiny_run(tmp_path / "a", **RUN, dropout=0.0)
    theirs = tiny_run(tmp_path / "b", **RUN, model={"dropout": 0.0})
    for settings in (ours, theirs):
        assert in_child(settings) == EXIT_FINISHED
    same(final(ours), final(theirs))


def test_compiled_blocks_give_the_same_and_their_checkpoints_are_as_others(tmp_path):
    """What the compiler makes of the blocks is its own matter; here it makes nothing of them."""
    run = {"clips": 9, "epochs": 2, "model": {"dropout": 0.0, "depth": 1}}
    plain, compiled = tiny_run(tmp_path / "a", **run), tiny_run(tmp_path / "b", **run, compile=True)
    assert in_child(plain) == EXIT_FINISHED
    counted = tmp_path / "compiled"

    def prepare():
        original = torch.nn.Module.compile

        def traced_only(self, **options):
            with counted.open("a") as file:
                file.write(type(self).__name__ + "\n")
            original(self, backend="eager", **options)

        torch.nn.Module.compile = traced_only

    killed = at_call(Ema, "update", 4)
    assert in_child(compiled, lambda: (prepare(), killed())) < 0
    assert in_child(compiled, prepare) == EXIT_FINISHED
    assert counted.read_text().split() == ["DiTBlock"] * 2
    ours, theirs = final(compiled), final(plain)
    assert set(ours) == set(theirs)
    for name, value in theirs.items():
        if torch.is_tensor(value):
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-5, msg=name)


def test_a_full_disk_is_freed_of_what_would_go_anyway(uninterrupted, tmp_path):
    settings = tiny_run(tmp_path, **RUN, keep=2, validate_every=100)

    def full_for_two():
        original, held = checkpoints.save, []

        def replaced(folder, *args):
            held.append(len(checkpoints.found(folder)))
            if held[-1] >= 2:
                raise UserError(f"{folder}: cannot be written (No space left on device)")
            return original(folder, *args)

        checkpoints.save = replaced

    assert in_child(settings, full_for_two) == EXIT_FINISHED
    same(final(settings), final(uninterrupted))


def test_what_earlier_voices_lose_is_measured_reported_and_limited(uninterrupted, tmp_path):
    """N26: killed and resumed, the losses are compared with the same start."""
    rows = write_rows(tmp_path / "earlier.jsonl", 4, (10, 40), seed=9)
    run = RUN | {"earlier": {"first": str(rows)}}
    whole = tiny_run(tmp_path / "a", **run)
    assert in_child(whole, at_call(Ema, "update", 7)) < 0
    assert in_child(whole) == EXIT_FINISHED
    same(final(whole), final(uninterrupted))
    losses = metrics(whole, "earlier", "first")
    assert list(losses) == [0, 4, 8, 12] and losses[0] != metrics(whole, "validation")[0]
    limit = losses[12] / losses[0] - 1
    assert limit != 0
    if limit < 0:  # they are much alike: nothing is forgotten
        status = json.loads((whole.directory / "status.json").read_text())
        assert not any("forgets" in warning["message"] for warning in status["warnings"])
