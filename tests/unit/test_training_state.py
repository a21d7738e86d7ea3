"""Checkpoint folders: pointers, keep-N, leftovers; and the records beside them."""

import json
import threading
from types import SimpleNamespace

import pytest
import torch
from voicekiln.errors import UserError
from voicekiln.training.log import progress
from voicekiln.training.log.records import Metrics
from voicekiln.training.process.events import EventWriter
from voicekiln.training.state import checkpoints, writer
from voicekiln.training.state.history import History
from voicekiln.training.state.writer import CheckpointWriter, snapshot


def save(folder, update, loss=1.0, **more):
    tensors = {"model": {"w": torch.full((3,), float(update))}, "ema_updates": update}
    meta = {"update": update, "epoch": 1, "validation_loss": loss, "fingerprint": "f"} | more
    return checkpoints.save(folder, {"w": torch.full((3,), float(update))}, tensors, meta)


def test_what_was_saved_comes_back(tmp_path):
    checkpoint = save(tmp_path, 12)
    weights, tensors = checkpoints.load(checkpoint)
    assert torch.equal(weights["w"], torch.full((3,), 12.0)) and tensors["ema_updates"] == 12
    ((found, meta),) = checkpoints.good(tmp_path)
    assert found == checkpoint and set(meta["sha256"]) == {checkpoints.WEIGHTS, checkpoints.STATE}
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint_12"]


def test_newest_first_by_number_and_the_damaged_one_is_named(tmp_path, caplog):
    for update in (9, 100, 20):
        save(tmp_path, update)
    (tmp_path / "checkpoint_100" / checkpoints.STATE).unlink()
    (tmp_path / "checkpoint_x").mkdir()
    assert [p.name for p, _ in checkpoints.good(tmp_path)] == ["checkpoint_20", "checkpoint_9"]
    assert "checkpoint_100: damaged" in caplog.text and checkpoints.STATE in caplog.text


@pytest.mark.parametrize(("keep", "left"), [(-1, [5, 4, 3, 2, 1]), (0, [5, 2]), (2, [5, 4, 2])])
def test_best_and_last_stay_whatever_keep_says(tmp_path, keep, left):
    """S2-6, S2-8."""
    for update in range(1, 6):
        save(tmp_path, update)
    checkpoints.point(tmp_path, "best", tmp_path / "checkpoint_2")
    checkpoints.point(tmp_path, "last", tmp_path / "checkpoint_5")
    (tmp_path / ".checkpoint_3.host-1-ab.part").mkdir()
    checkpoints.prune(tmp_path, keep)
    assert [checkpoints.update_of(p) for p in checkpoints.found(tmp_path)] == left
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(("keep", "left"), [(-1, [6, 5, 3, 1]), (0, [6, 3]), (1, [6, 5, 3])])
def test_states_for_resuming_only_do_not_count(tmp_path, keep, left):
    """S0-17: update 2, 4 and 6 are passed by the next; 6 is the newest."""
    for update in range(1, 7):
        save(tmp_path, update, replaceable=update % 2 == 0)
    checkpoints.point(tmp_path, "best", tmp_path / "checkpoint_3")
    checkpoints.point(tmp_path, "last", tmp_path / "checkpoint_6")
    checkpoints.prune(tmp_path, keep)
    assert [checkpoints.update_of(p) for p in checkpoints.found(tmp_path)] == left


def free_disk(monkeypatch, n_bytes):
    monkeypatch.setattr(writer.shutil, "disk_usage", lambda _: SimpleNamespace(free=n_bytes))


def make_writer(folder, keep, lease=None):
    settings = SimpleNamespace(keep=keep)
    return CheckpointWriter(SimpleNamespace(directory=folder, settings=settings, lease=lease))


def take(kept, update, n=250):
    meta = {"update": update, "epoch": 0, "validation_loss": None, "fingerprint": "f"}
    kept.take({"w": torch.zeros(n)}, {"model": {"w": torch.zeros(n)}}, meta, History())


def test_a_disk_that_fills_up_is_reported_once_before_it_is_full(tmp_path, monkeypatch):
    """S2-29: a checkpoint of 2000 bytes."""
    kept, said = make_writer(tmp_path, -1), []
    for update, free in enumerate([9000, 4001, 3999, 3000, 9000, 3000], 1):
        free_disk(monkeypatch, free)
        take(kept, update)
        said.append(bool(kept.low_disk()))
    assert said == [False, False, True, False, False, True]
    kept.wait()


def test_without_room_for_a_checkpoint_none_is_begun_and_the_last_one_stays(tmp_path, monkeypatch):
    kept = make_writer(tmp_path, -1)
    take(kept, 1)
    kept.wait()
    free_disk(monkeypatch, 1999)
    take(kept, 2)
    with pytest.raises(UserError, match="update 2 needs 0.00 GB.*newest checkpoint is of upd"):
        kept.wait()
    assert [path.name for path, _ in checkpoints.good(kept.folder)] == ["checkpoint_1"]
    assert not list(kept.folder.glob(".*"))


def test_what_is_logged_beside_training_goes_back_with_the_validations(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    for update in (4, 8):
        metrics.write("train", update=update)
        metrics.write("validation", update=update)
        metrics.write("learning_rate", update=update, before=2.0, now=1.0)
    metrics.cut_back(8, 4)
    kinds = [(row["kind"], row["update"]) for row in metrics.read()]
    assert kinds == [*[(k, 4) for k in ("train", "validation", "learning_rate")], ("train", 8)]


def test_a_pointer_carries_hash_and_loss(tmp_path):
    checkpoint = save(tmp_path, 7, loss=0.25)
    checkpoints.point(tmp_path, "best", checkpoint)
    meta = json.loads((checkpoint / checkpoints.META).read_text())
    assert checkpoints.pointed(tmp_path, "best") == {
        "checkpoint": "checkpoint_7",
        "update": 7,
        "epoch": 1,
        "validation_loss": 0.25,
        "sha256": meta["sha256"][checkpoints.WEIGHTS],
    }


def test_the_same_update_can_be_saved_again(tmp_path):
    save(tmp_path, 7, loss=None)
    save(tmp_path, 7, loss=0.5)
    ((_, meta),) = checkpoints.good(tmp_path)
    assert meta["validation_loss"] == 0.5


def test_metrics_are_cut_back_and_a_torn_line_does_no_harm(tmp_path):
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.write("validation", update=0, loss=3.0)
    for update in (1, 2, 3):
        metrics.write("train", update=update, loss=2.0)
    metrics.write("validation", update=2, loss=2.5)
    with open(metrics.path, "a") as file:
        file.write('{"kind": "train", "upd')
    metrics.cut_back(2, validated=0)
    kept = [(row["kind"], row["update"]) for row in metrics.read()]
    assert kept == [("validation", 0), ("train", 1), ("train", 2)]
    metrics.cut_back(0, validated=None)
    assert metrics.path.read_text() == ""


def test_the_progress_line_is_the_seeds():
    """S0-23."""
    assert progress.line(1, 10, 50, 452, 33 * 60 + 12, 37.02, ", loss=0.401, update=50") == (
        "Epoch 1/10: 11% | 50/452 [33:12<4:08:02, 37.02s/update, loss=0.401, update=50]"
    )
    assert progress.clock(7.4) == "00:07" and progress.clock(3599.6) == "1:00:00"


def test_progress_counts_within_the_epoch_and_leaves_pauses_out(tmp_path, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = progress.Progress(tmp_path, 2, 4, 2, EventWriter())
    now += 2
    shown.tick(3, 0.5)
    now += 50
    shown.pause()
    now += 4
    shown.tick(4, 0.5)
    first = json.loads((tmp_path / progress.FILE).read_text())
    assert first["line"] == (
        "Epoch 1/2: 100% | 4/4 [00:56<00:00, 4.00s/update, loss=0.500, update=4, "
        "00:16 left in total]"
    )
    assert first["left_s"] == 16
    now += 2
    shown.tick(5, None)
    second = json.loads((tmp_path / progress.FILE).read_text())
    assert second["line"] == (
        "Epoch 2/2: 25% | 1/4 [00:02<00:09, 3.00s/update, update=5, 00:09 left in total]"
    )


def test_a_snapshot_is_of_its_moment():
    w = torch.ones(2)
    live = {"model": {"w": w}, "groups": [{"lr": 0.1, "betas": (0.9, 0.99)}, [w]], "n": None}
    taken = snapshot(live)
    w += 1
    live["groups"][0]["lr"] = 9.0
    assert taken["model"]["w"].tolist() == [1, 1]
    assert taken["groups"][0] == {"lr": 0.1, "betas": (0.9, 0.99)} and taken["n"] is None
    assert taken["groups"][1][0].tolist() == [1, 1]


def test_the_next_snapshot_takes_the_room_of_the_last_where_it_fits():
    first = snapshot(({"a": torch.ones(2), "b": torch.ones(3)}, [torch.zeros(1), 5]))
    second = snapshot(({"a": torch.full((2,), 7.0), "b": torch.ones(4)}, [torch.ones(1), 6]), first)
    assert second[0]["a"] is first[0]["a"] and second[1][0] is first[1][0]
    assert second[0]["a"].tolist() == [7, 7] and second[0]["b"].shape == (4,)
    assert second[1] == [torch.ones(1), 6]
    third = snapshot({"a": torch.ones(2, dtype=torch.float64), "n": 1}, second[0])
    assert third["a"].dtype == torch.float64 and third["n"] == 1


def test_one_checkpoint_is_written_at_a_time_and_its_error_is_told(tmp_path, monkeypatch):
    kept, order, gate = make_writer(tmp_path, 1), [], threading.Event()

    def slow(folder, ema, tensors, meta):
        gate.wait(10)
        order.append(meta["update"])
        if meta["update"] == 2:
            raise UserError("the disk is full")
        return folder / f"checkpoint_{meta['update']}"

    monkeypatch.setattr(checkpoints, "save", slow)
    kept.take({}, {}, {"update": 1}, History())
    kept.check()
    assert order == [], "the caller does not wait for it"
    gate.set()
    kept.take({}, {}, {"update": 2}, History())
    assert order[0] == 1
    with pytest.raises(UserError, match="the disk is full"):
        kept.wait()
    kept.check()
    assert order == [1, 2]


def test_without_the_lease_nothing_of_the_others_is_touched(tmp_path):
    """It may be lost while a checkpoint is being written."""
    lease = SimpleNamespace(lost=False)
    kept = make_writer(tmp_path, 0, lease)
    meta = {"update": 1, "epoch": 0, "validation_loss": None}
    other = tmp_path / "checkpoints" / ".checkpoint_7.other-1-ab.part"
    other.mkdir(parents=True)
    lease.lost = True
    with pytest.raises(UserError, match="another process took over"):
        kept.write({}, {}, meta, History())
    with pytest.raises(UserError, match="another process took over"):
        kept.check()
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [other.name]


def test_one_that_made_way_for_another_that_never_came_is_there_again(tmp_path):
    """Killed between the two renames, there is none under the name."""
    save(tmp_path, 5)
    (tmp_path / "checkpoint_5").rename(tmp_path / ".checkpoint_5.host-1-ab.old")
    assert [path.name for path, _ in checkpoints.good(tmp_path)] == ["checkpoint_5"]
    save(tmp_path, 5, loss=0.5)
    ((_, meta),) = checkpoints.good(tmp_path)
    assert meta["validation_loss"] == 0.5


def test_a_state_that_an_earlier_version_marked_does_not_count(tmp_path):
    """Its meta has the name `passing` for `replaceable`."""
    for update in (1, 2, 3):
        save(tmp_path, update, passing=update == 2)
    checkpoints.prune(tmp_path, 9)
    assert [checkpoints.update_of(p) for p in checkpoints.found(tmp_path)] == [3, 1]


def test_a_folder_of_digits_is_no_checkpoint(tmp_path):
    (tmp_path / "123").mkdir()
    save(tmp_path, 5)
    assert [path.name for path in checkpoints.found(tmp_path)] == ["checkpoint_5"]
    checkpoints.prune(tmp_path, 0)
    assert (tmp_path / "123").is_dir()


@pytest.mark.parametrize("message", ["CUDA error: device-side assert triggered", ""])
def test_an_error_that_is_not_of_the_disk_is_raised_as_it_is(message, tmp_path, monkeypatch):
    """No good checkpoint is removed to make room for a retry."""
    kept = make_writer(tmp_path, 1)
    take(kept, 1)
    kept.wait()

    def broken(*_):
        raise RuntimeError(message)

    monkeypatch.setattr(checkpoints.torch, "save", broken)
    take(kept, 2)
    with pytest.raises(RuntimeError, match=message or "^$"):
        kept.wait()
    assert [path.name for path in kept.folder.glob("checkpoint_*")] == ["checkpoint_1"]
    assert not list(kept.folder.glob(".*"))


@pytest.mark.parametrize(
    "text", ["PytorchStreamWriter failed writing file data/0: file write failed", ""]
)
def test_a_failed_write_is_reported_whatever_its_message(text, tmp_path, monkeypatch):
    error = RuntimeError(text) if text else OSError()

    def broken(*_):
        raise error

    monkeypatch.setattr(checkpoints.torch, "save", broken)
    with pytest.raises(UserError, match="cannot be written.*Make room"):
        save(tmp_path, 1)


def test_a_checkpoint_is_hashed_once_per_process_unless_it_changes(tmp_path, monkeypatch):
    checkpoint = save(tmp_path, 5)
    read, hashed = checkpoints.sha256_file, []

    def counted(path):
        hashed.append(path.name)
        return read(path)

    monkeypatch.setattr(checkpoints, "sha256_file", counted)
    for _ in range(3):
        assert len(list(checkpoints.good(tmp_path))) == 1
    assert sorted(hashed) == [checkpoints.WEIGHTS, checkpoints.STATE]
    with open(checkpoint / checkpoints.STATE, "ab") as file:
        file.write(b"x")
    assert not list(checkpoints.good(tmp_path))
