"""Rows and batches of a data set."""

import json
import pickle
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from training_setup import tiny_run
from voicekiln import families
from voicekiln.errors import UserError
from voicekiln.features.packs import PackReader
from voicekiln.training.data.clips import BatchRequest, Clips, load, read_rows
from voicekiln.training.data.plan import Position, plan
from voicekiln.training.settings import divide_threads, loader_processes
from voicekiln.training.step import loader as feeding
from voicekiln.training.step.loader import BatchLoader
from voicekiln.training.step.out_of_memory import BatchSplitter


@pytest.fixture
def clips(tmp_path) -> Clips:
    run = tiny_run(tmp_path)
    family, rows = families.get("f5"), read_rows(run.train_rows)
    tokenizer = family.tokenizer(run.tokenizer)
    return Clips(family, rows, tokenizer, PackReader(), seed=1, train=True)


def test_a_batch_holds_its_clips_padded_with_their_own_draws(clips):
    batch = clips[BatchRequest((3, 5), 7)]
    for i, clip in enumerate((3, 5)):
        row = clips.rows[clip]
        features = PackReader().get(row.pack, row.feature)["mel"]
        assert torch.equal(batch["mel"][i, : row.n_steps], features)
        assert not batch["mel"][i, row.n_steps :].any()
        assert not batch["noise"][i, row.n_steps :].any()
        alone = clips[BatchRequest((clip,), 7)]
        assert torch.equal(batch["noise"][i, : row.n_steps], alone["noise"][0])
        assert torch.equal(batch["clips"][i], alone["clips"][0])


def test_loader_processes_of_any_kind_give_the_same(clips):
    requests = [BatchRequest((0, 1), 0), BatchRequest((2,), 0), BatchRequest((3, 4, 5), 1)]
    here = list(load(clips, requests, workers=0, prefetch=2, pin=False))
    copied = pickle.loads(pickle.dumps(clips))  # as a spawned process gets it
    for others in (
        load(clips, requests, workers=2, prefetch=1, pin=False),
        map(copied.__getitem__, requests),
    ):
        for a, b in zip(here, others, strict=True):
            assert torch.equal(a["noise"], b["noise"]) and torch.equal(a["clips"], b["clips"])


def test_no_more_is_made_ahead_than_prefetch_says(clips):
    asked = []

    def requests():
        for clip in range(10):
            asked.append(clip)
            yield BatchRequest((clip,), 0)

    batches = load(clips, requests(), workers=2, prefetch=2, pin=False)
    next(batches)
    assert len(asked) == 2 * 2 + 1, "what was ready, and one for the batch that was taken"
    batches.close()


def test_too_little_shared_memory_is_told_with_what_helps(clips, tmp_path, monkeypatch, caplog):
    settings = replace(tiny_run(tmp_path / "b", workers=2, prefetch=4).train)
    batches = plan(clips.n_steps, clips.ids, 120, 0, 1, 0, 93.75)
    accelerator = SimpleNamespace(
        num_processes=1, process_index=0, device=torch.device("cpu"), is_main_process=True
    )
    run = SimpleNamespace(settings=settings, accelerator=accelerator, device=accelerator.device)
    loader = BatchLoader(run, batches, clips, BatchSplitter(clips.n_steps))
    members = max(batches.members, key=batches.padded)
    largest = clips.batch(BatchRequest(members, 0))
    n_bytes = sum(t.nbytes for t in largest.values() if torch.is_tensor(t))
    monkeypatch.setattr(feeding, "SHARED_MEMORY", tmp_path)
    for free, told in ((10 * n_bytes, False), (10 * n_bytes - 1, True)):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(feeding.shutil, "disk_usage", lambda path, usage=usage: usage)
        updates = loader.updates_from(Position(0, 0))
        next(updates)
        updates.close()
        assert ("lower train.workers or train.prefetch" in caplog.text) == told


@pytest.mark.parametrize("workers", [0, 1])
def test_missing_and_wrong_features_are_one_line(clips, workers):
    clips.rows[0] = replace(clips.rows[0], feature="nobody")
    clips.rows[1] = replace(clips.rows[1], n_steps=999)
    clips.rows[2] = replace(clips.rows[2], pack="/nowhere/a.safetensors")
    for clip, words in ((0, "nobody"), (1, "expected 999 as in the data set"), (2, "/nowhere/a")):
        with pytest.raises(UserError, match=words) as raised:
            list(load(clips, [BatchRequest((clip,), 0)], workers, 2, pin=False))
        assert "run snakemake again" in str(raised.value) and "\n" not in str(raised.value)


def test_rows_come_by_id_and_mistakes_name_the_line(tmp_path):
    lines = (tiny_run(tmp_path).train_rows).read_text().splitlines()
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines[::-1]) + "\n")
    assert [r.id for r in read_rows(path)] == [json.loads(line)["id"] for line in lines]
    path.write_text("\n".join([lines[0], lines[0]]) + "\n")
    with pytest.raises(UserError, match="line 2: id 'train-000' occurs twice"):
        read_rows(path)
    path.write_text('{"id": "a"}\n')
    with pytest.raises(UserError, match="line 1: text, speaker"):
        read_rows(path)


@pytest.mark.parametrize(
    "workers, threads, gpu, processes",
    [("auto", 3, True, 2), ("auto", 2, True, 1), ("auto", 1, True, 0), ("auto", 3, False, 0)]
    + [(0, 3, True, 0), (4, 1, False, 4)],
)
def test_how_many_processes_load_batches(workers, threads, gpu, processes):
    assert loader_processes(workers, threads, gpu) == processes


@pytest.mark.parametrize(
    "workers, threads, processes, gpu, expected",
    [
        ("auto", 3, 1, True, (1, 2)),
        ("auto", 3, 1, False, (1, 0)),
        (4, 5, 1, True, (1, 4)),
        ("auto", 3, 2, True, (1, 0)),
        (4, 5, 2, True, (1, 1)),
        ("auto", 12, 4, True, (1, 2)),
        ("auto", 16, 4, True, (2, 2)),
        (0, 8, 4, True, (2, 0)),
    ],
)
def test_processes_share_the_threads_of_the_job(workers, threads, processes, gpu, expected):
    each, loaders = divide_threads(workers, threads, processes, gpu)
    assert (each, loaders) == expected and processes * (each + loaders) <= threads
