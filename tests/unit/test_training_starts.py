"""What each start of the worker makes of the state that is there, and what it leaves to be read."""

import logging
import os
import shutil
import signal
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from training_children import at_call, final, in_child, metrics, nothing, same, updates_saved
from training_setup import tiny_run
from voicekiln.errors import UserError
from voicekiln.store.files import read_json
from voicekiln.training import loop
from voicekiln.training.log.records import EXIT_ERROR, EXIT_FINISHED, EXIT_STOPPED, EXIT_USER_ERROR
from voicekiln.training.state import checkpoints, identity
from voicekiln.training.step.ema import Ema

# 4 updates of 2 batches an epoch, 12 updates
RUN = {"clips": 25, "epochs": 3, "log_every": 1}
UPDATES = 12


def before_loss(n: int, do):
    """Preparation of a child: something comes before its n-th batch."""

    def prepare():
        original, calls = loop.Training.backward, 0

        def replaced(*args):
            nonlocal calls
            calls += 1
            if calls == n:
                do()
            return original(*args)

        loop.Training.backward = replaced

    return prepare


def told_to_stop():
    os.kill(os.getpid(), signal.SIGTERM)


def fails(error):
    def do():
        raise error

    return do


def settings_in(folder: Path, code: str = "abc", **changes):
    return replace(tiny_run(folder, **RUN | changes), code=code)


def start(settings, prepare=nothing) -> tuple[int, str]:
    """Exit code and log of a start."""
    path = settings.directory.parent / "log.txt"

    def logged():
        logging.basicConfig(filename=path, filemode="w", level=logging.INFO, force=True)
        prepare()

    return in_child(settings, logged), path.read_text()


def status_of(settings) -> dict:
    return read_json(settings.directory / "status.json")


def files(settings) -> dict[Path, int]:
    """What a start that does nothing leaves untouched."""
    paths = (settings.directory / "checkpoints").rglob("*")
    return {path: path.stat().st_mtime_ns for path in paths if path.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training."""
    settings = settings_in(tmp_path_factory.mktemp("whole"))
    assert in_child(settings) == EXIT_FINISHED
    return settings


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A training that was stopped after 5 updates."""
    settings = settings_in(tmp_path_factory.mktemp("stopped"))
    assert in_child(settings, before_loss(11, told_to_stop)) == EXIT_STOPPED
    return settings


@pytest.fixture
def begun(stopped, tmp_path):
    """A folder with a copy of it."""
    shutil.copytree(stopped.directory, tmp_path / "training")
    return tmp_path


INTERVALS = {"patience": 9, "save_every": 2, "validate_every": 3, "keep": 1, "log_every": 2}
INTERVALS |= {"workers": 1, "gradient_checkpointing": True, "stop_after_minutes": 60.0}


@pytest.mark.parametrize(
    "change, says",
    [
        (INTERVALS, ""),
        ({"code": "xyz"}, "VoiceKiln's code changed"),
        ({"learning_rate": 4.9e-3}, "from 0.001 to 0.0049 (4.9x): training continues with it"),
        ({"learning_rate": 2.1e-4}, "(4.76x): training continues with it"),
        ({"learning_rate": 5e-3, "on_rate_change": "continue"}, "(5x): training continues with it"),
        ({"learning_rate": 2e-4, "on_rate_change": "continue"}, "(5x): training continues with it"),
    ],
)
def test_it_goes_on(change, says, begun, whole):
    """K-9, of the rate."""
    settings = settings_in(begun, **change)
    code, log = start(settings)
    assert code == EXIT_FINISHED
    assert "resumed from checkpoint_5" in log and says in log
    assert ("the learning rate was" in log) == ("learning_rate" in change)
    assert not (begun / "training" / "previous").exists()
    assert final(settings)["update"] == UPDATES
    if "learning_rate" not in change:
        same(final(settings), final(whole))


def other_vocabulary(settings):
    """Two letters change places."""
    vocab = settings.tokenizer / "vocab.txt"
    letters = vocab.read_text()
    vocab.write_text(letters.replace("a\nb\n", "b\na\n"))


@pytest.mark.parametrize(
    "change, edit, says",
    [
        ({"seed": 8}, None, "seed 7 -> 8"),
        ({"clips": 24}, None, "train data"),
        ({}, other_vocabulary, "vocabulary"),
        ({"learning_rate": 5e-3, "on_rate_change": "restart"}, None, "(5x): training starts again"),
        ({"learning_rate": 2e-4, "on_rate_change": "restart"}, None, "(5x): training starts again"),
    ],
    ids=["seed", "data", "vocabulary", "rate up", "rate down"],
)
def test_it_begins_again_and_the_old_state_is_moved_aside(
    change, edit, says, begun, stopped, tmp_path_factory
):
    """S0-10, K-9: best and last of the old one are kept, and nothing of it shows in the new."""
    made = []
    for folder in (begun, tmp_path_factory.mktemp("alone")):
        settings = settings_in(folder, **change)
        if edit:
            edit(settings)
        code, log = start(settings)
        assert code == EXIT_FINISHED
        assert (says in log) == (folder == begun)
        assert ("(5 updates) is kept in" in log) == (folder == begun)
        assert list(metrics(settings, "train")) == list(range(1, UPDATES + 1))
        made.append(final(settings))
    same(*made)
    previous = begun / "training" / "previous" / "1"
    assert identity.read(previous) == identity.read(stopped.directory)
    pointed = {n: checkpoints.pointed(previous / "checkpoints", n) for n in ("best", "last")}
    assert [pointed[n]["update"] for n in ("best", "last")] == [4, 5]
    assert [path.name for path, _ in checkpoints.good(previous / "checkpoints")] == [
        "checkpoint_5",
        "checkpoint_4",
    ]


@pytest.mark.parametrize("n", [1, 2, 6, 7, 8])
def test_killed_while_the_old_state_is_moved_aside(n, begun):
    settings = settings_in(begun, seed=8)
    assert in_child(settings, at_call(Path, "rename", n)) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    aside = begun / "training" / "previous"
    assert updates_saved(aside / "1") == [5, 4]
    assert identity.read(aside / "1")["identity"]["seed"] == 7
    # and the next time: of seeds 7 (5 updates) and 8 (12) the newest, which was trained longest
    assert in_child(settings_in(begun, seed=9)) == EXIT_FINISHED
    assert [path.name for path in aside.iterdir()] == ["2"]
    assert identity.read(aside / "2")["identity"]["seed"] == 8
    assert not list((begun / "training").glob(".previous*"))


def test_a_change_that_is_undone_continues_where_it_was(begun, whole):
    assert in_child(settings_in(begun, seed=8)) == EXIT_FINISHED
    settings = settings_in(begun)
    code, log = start(settings)
    assert code == EXIT_FINISHED
    assert (
        "previous/1 again: training continues from it" in log and "resumed from checkpoint_5" in log
    )
    same(final(settings), final(whole))
    (other,) = (begun / "training" / "previous").iterdir()
    assert identity.read(other)["identity"]["seed"] == 8
    # finished by now, it comes back as finished
    assert in_child(settings_in(begun, seed=8)) == EXIT_FINISHED
    assert final(settings)["update"] == UPDATES


@pytest.mark.parametrize("n", [1, 7, 9, 10, 13, 15])
def test_killed_while_an_earlier_state_comes_back(n, begun, whole):
    assert in_child(settings_in(begun, seed=8)) == EXIT_FINISHED
    settings = settings_in(begun)
    assert in_child(settings, at_call(Path, "rename", n)) == -signal.SIGKILL
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(whole))
    (other,) = (begun / "training" / "previous").iterdir()
    assert identity.read(other)["identity"]["seed"] == 8
    assert not list((begun / "training").glob(".previous*"))


def test_two_edits_do_not_lose_the_run_that_was_trained_longest(begun):
    assert in_child(settings_in(begun)) == EXIT_FINISHED  # 12 updates
    for seed in (8, 9, 10):
        settings = settings_in(begun, seed=seed)
        assert in_child(settings, at_call(Ema, "update", 4)) < 0  # 3 updates are saved
    kept = sorted((begun / "training" / "previous").iterdir())
    seeds = [identity.read(folder)["identity"]["seed"] for folder in kept]
    assert seeds == [7, 9]
    assert updates_saved(kept[0]) == [12]


@pytest.mark.parametrize(
    "change, says",
    [
        ({"learning_rate": 5e-3}, "train.on_rate_change: continue"),
        ({"learning_rate": 2e-4}, "train.on_rate_change: continue"),
        ({"code": "xyz", "on_code_change": "stop"}, "train.on_code_change is stop"),
    ],
)
def test_it_stops_and_asks_and_nothing_is_lost(change, says, begun, whole):
    before = files(settings_in(begun))
    settings = settings_in(begun, **change)
    code, log = start(settings)
    assert code == EXIT_USER_ERROR and says in log
    status = status_of(settings)
    assert (status["state"], status["exit_code"]) == ("failed", EXIT_USER_ERROR)
    assert says in status["reason"] and status["update"] == 5
    assert files(settings) == before
    settings = settings_in(begun)
    assert in_child(settings) == EXIT_FINISHED
    same(final(settings), final(whole))


@pytest.mark.parametrize("on_code_change", ["continue", "stop"])
def test_by_other_code_a_finished_training_stays_finished(on_code_change, whole, tmp_path):
    shutil.copytree(whole.directory, tmp_path / "training")
    settings = settings_in(tmp_path, code="xyz", on_code_change=on_code_change)
    before = files(settings)
    code, log = start(settings)
    assert code == EXIT_FINISHED and "nothing to do" in log
    assert files(settings) == before and status_of(settings)["state"] == "finished"


@pytest.mark.parametrize(
    "prepare, code, stands, reason, update",
    [
        (nothing, EXIT_FINISHED, "finished", "the last epoch is done", UPDATES),
        (before_loss(19, told_to_stop), EXIT_STOPPED, "stopped", "signal SIGTERM", 9),
        (before_loss(19, fails(RuntimeError("a bug"))), EXIT_ERROR, "failed", "RuntimeErr", 9),
        (before_loss(19, fails(UserError("a file"))), EXIT_USER_ERROR, "failed", "a file", 9),
    ],
    ids=["finished", "stopped", "an error", "what can be mended"],
)
def test_status_says_how_it_stands_and_how_it_ended(
    prepare, code, stands, reason, update, tmp_path
):
    settings = settings_in(tmp_path)

    def keep_status():
        prepare()
        copy = (settings.directory / "status.json", tmp_path / "running.json")
        before_loss(18, lambda: shutil.copy(*copy))()

    assert in_child(settings, keep_status) == code
    running = read_json(tmp_path / "running.json")
    assert (running["state"], running["exit_code"]) == ("running", None)
    assert (running["update"], running["updates"]) == (8, UPDATES)
    assert (running["epoch"], running["epochs"]) == (2, 3)
    ended = status_of(settings)
    assert (ended["state"], ended["exit_code"]) == (stands, code)
    assert ended["reason"].startswith(reason)
    assert ended["update"] == ended["last"]["update"] == update
    assert ended["best"]["update"] in (4, 8, 12) and len(ended["best"]["sha256"]) == 64
    assert not (settings.directory / "lease.json").exists()


def test_a_second_one_is_refused_with_the_name_of_the_first(whole, tmp_path):
    settings = settings_in(tmp_path)
    second = []

    def start_second():
        before = status_of(settings)
        second.append(in_child(settings))
        assert status_of(settings) == before and before["pid"] == os.getpid()
        (tmp_path / "codes.txt").write_text(f"{second} of {os.getpid()}")

    code, log = start(settings, before_loss(11, start_second))
    assert code == EXIT_FINISHED
    said, _, first = (tmp_path / "codes.txt").read_text().partition(" of ")
    assert said == f"[{EXIT_USER_ERROR}]"
    assert f"process {first} on {socket.gethostname()} is training here" in log
    same(final(settings), final(whole))


@pytest.mark.parametrize("epochs", [4, 2])
def test_of_another_length_it_says_where_its_rate_goes(epochs, begun):
    settings = settings_in(begun, epochs=epochs)
    code, log = start(settings)
    assert code == EXIT_FINISHED and f"train.epochs changed from 3 to {epochs}" in log
    total = 4 * epochs
    # linear, after 3 updates of warm-up; the rate of an update counts those before it
    was, now, end = 1e-3 * (12 - 4) / 9, *(1e-3 * left / (total - 3) for left in (total - 5, 1))
    assert (
        f"the learning rate was {was:.3g} at update 5, continues at {now:.3g}"
        f" and ends at {end:.3g} at update {total}"
    ) in log
    assert "It rises" not in log


def test_more_epochs_that_raise_the_rate_steeply_are_warned_of(whole, tmp_path):
    shutil.copytree(whole.directory, tmp_path / "training")
    code, log = start(settings_in(tmp_path, epochs=6))
    # the last update's rate was 1/9 of the peak; of 24 updates 12 are left then
    assert code == EXIT_FINISHED and log.count("It rises 5x") == 1
    assert "train.learning_rate: 1.9e-04 and train.on_rate_change: continue" in log


@pytest.mark.parametrize("epochs, warned", [(3, True), (9, False)])
def test_a_warm_up_longer_than_the_run_is_warned_of(epochs, warned, tmp_path):
    _, log = start(settings_in(tmp_path, epochs=epochs, warmup_updates=20))
    assert log.count("train.warmup_updates (20) is not below the 12 updates") == warned
