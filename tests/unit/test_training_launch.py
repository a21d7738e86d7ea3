"""The real launcher: torch.distributed.run, worker processes, signals, progress, outcome."""

import json
import os
import signal
import threading
import time

import pytest
import torch
from safetensors.torch import load_file
from training_setup import write_run
from voicekiln.training import state
from voicekiln.training.launch import finished_record, launch
from voicekiln.training.status import EXIT_ERROR, EXIT_STOPPED, EXIT_USER_ERROR, read_json

pytestmark = pytest.mark.slow

RUN = {"clips": 25, "epochs": 3}


def start(folder, processes=1, say=lambda line: None, **settings):
    path = write_run(folder, **(RUN | settings))
    return launch(path, folder / "training", processes, 1, say)


def weights(folder):
    checkpoints = folder / "training" / "checkpoints"
    return load_file(checkpoints / state.pointed(checkpoints, "last")["checkpoint"] / state.WEIGHTS)


def losses(folder, kind):
    lines = (folder / "training" / "metrics.jsonl").read_text().splitlines()
    return {r["update"]: r["loss"] for r in map(json.loads, lines) if r["kind"] == kind}


def test_stopped_by_a_signal_then_finished_then_nothing_to_do(tmp_path):
    lines = []

    def stop_at_once(line):
        if not lines:
            # to the launcher, which hands it on; the first counts
            for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
        lines.append(line)

    began = time.monotonic()
    outcome = start(tmp_path, say=stop_at_once, epochs=400)
    assert (outcome.exit_code, outcome.state) == (EXIT_STOPPED, "stopped")
    assert outcome.reason == "signal SIGUSR1"
    assert time.monotonic() - began < 60
    assert lines[0].startswith("Epoch 1/400: ") and "s/update, " in lines[0]
    stopped = json.loads((tmp_path / "training" / "status.json").read_text())
    assert stopped["update"] > 0

    outcome = start(tmp_path, epochs=stopped["update"] // 4 + 2)
    assert (outcome.exit_code, outcome.state) == (0, "finished")
    record = finished_record(tmp_path / "training")
    assert record["update"] > stopped["update"] and len(record["last"]["sha256"]) == 64
    before = weights(tmp_path)
    assert start(tmp_path, epochs=record["epochs"]).exit_code == 0
    assert all(torch.equal(v, before[k]) for k, v in weights(tmp_path).items())


def test_a_signal_before_the_worker_listens_is_not_lost(tmp_path):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    outcome = start(tmp_path, epochs=400)
    assert outcome.state == "stopped" and "SIGINT" in outcome.reason


def test_of_a_worker_that_was_killed_the_launcher_says_so(tmp_path):
    status = tmp_path / "training" / "status.json"

    def kill(line):
        os.kill(read_json(status)["pid"], signal.SIGKILL)

    outcome = start(tmp_path, say=kill, epochs=400)
    assert (outcome.exit_code, outcome.state) == (EXIT_ERROR, "failed")
    assert "without a word" in outcome.reason
    said = read_json(status)
    assert (said["state"], said["exit_code"]) == ("failed", EXIT_ERROR)
    assert said["reason"] == outcome.reason and said["update"] >= 0
    assert said["concerns"] == [], "what was said is kept"


def test_what_the_user_can_mend_arrives_in_words(tmp_path):
    outcome = start(tmp_path, batch_frames=20)
    assert outcome.exit_code == EXIT_USER_ERROR
    assert "fit no batch" in outcome.reason and "train-0" in outcome.reason


def test_a_training_of_two_processes_goes_on_with_one(tmp_path):
    stopped = threading.Event()

    def stop_at_once(line):
        if not stopped.is_set():
            stopped.set()
            os.kill(os.getpid(), signal.SIGTERM)

    run = {"epochs": 40, "validate_every": 1000, "save_every": 1000}
    outcome = start(tmp_path / "a", 2, say=stop_at_once, accumulate=1, **run)
    assert outcome.state == "stopped"
    assert start(tmp_path / "a", 1, accumulate=2, **run).state == "finished"
    assert not (tmp_path / "a" / "training" / "previous").exists()
    assert start(tmp_path / "b", 1, accumulate=2, **run).state == "finished"
    expected = losses(tmp_path / "b", "validation")
    assert losses(tmp_path / "a", "validation") == pytest.approx(expected, rel=1e-4)
