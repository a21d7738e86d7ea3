"""The real launcher: torch.distributed.run, worker processes, signals, progress, outcome."""

import contextlib
import json
import logging
import os
import re
import signal
import threading
import time

import psutil
import pytest
import torch
from safetensors.torch import load_file
from training_setup import write_run
from voicekiln.store.files import read_json
from voicekiln.training import worker
from voicekiln.training.log.records import EXIT_ERROR, EXIT_STOPPED, EXIT_USER_ERROR
from voicekiln.training.process import agent, events
from voicekiln.training.process import launch as launching
from voicekiln.training.process.launch import finished_record, launch
from voicekiln.training.state import checkpoints

pytestmark = pytest.mark.slow

RUN = {"clips": 25, "epochs": 3}
PROGRESS = r"Epoch 1/400: \d+% \| .*s/update, .*update=\d+, [\d:]+ left in total\]"


def start(folder, processes=1, say=lambda line: None, **settings):
    path = write_run(folder, **(RUN | settings))
    return launch(path, folder / "training", processes, 1, say)


def is_progress(line):
    return line.startswith("Epoch")


def weights(folder):
    kept = folder / "training" / "checkpoints"
    return load_file(kept / checkpoints.pointed(kept, "last")["checkpoint"] / checkpoints.WEIGHTS)


def losses(folder, kind):
    lines = (folder / "training" / "metrics.jsonl").read_text().splitlines()
    return {r["update"]: r["loss"] for r in map(json.loads, lines) if r["kind"] == kind}


def test_stopped_by_a_signal_then_finished_then_nothing_to_do(tmp_path, capfd):
    lines = []

    def stop_at_once(line):
        if line.startswith("Epoch") and not any(map(is_progress, lines)):
            # to the launcher, which hands it on; the first counts
            for number in (signal.SIGUSR1, signal.SIGHUP, signal.SIGTERM):
                os.kill(os.getpid(), number)
        lines.append(line)

    outcome = start(tmp_path, say=stop_at_once, epochs=400, warmup_updates=1600)
    assert (outcome.exit_code, outcome.state) == (EXIT_STOPPED, "stopped")
    assert outcome.reason == "signal SIGUSR1"
    assert re.fullmatch(PROGRESS, next(filter(is_progress, lines)))
    said = [line for line in lines if not is_progress(line)]
    assert said[0].startswith("warning: train.warmup_updates (1600) is not below the 1600 updates")
    assert said[1].startswith("validation loss ") and said[1].endswith("at update 0")
    assert len(said) == len(set(said)), "nothing twice"
    assert not any("stopped" in line for line in said), "that is the last line's to say"
    stopped = json.loads((tmp_path / "training" / "status.json").read_text())
    assert stopped["update"] > 0
    assert outcome.summary_line(tmp_path / "training") == (
        f"stopped at update {stopped['update']} (signal SIGUSR1): the state is saved; the same"
        " command continues from here"
    )
    log = capfd.readouterr().err
    assert "WARNING train: stopped: signal SIGUSR1" in log
    assert "Traceback" not in log and "elastic" not in log and "ERROR" not in log

    lines.clear()
    outcome = start(
        tmp_path, say=lines.append, warmup_updates=1600, epochs=stopped["update"] // 4 + 2
    )
    assert (outcome.exit_code, outcome.state) == (0, "finished")
    assert f"resumed from checkpoint_{stopped['update']}" in lines
    record = finished_record(tmp_path / "training")
    assert record["update"] > stopped["update"] and len(record["last"]["sha256"]) == 64
    before = weights(tmp_path)
    assert start(tmp_path, warmup_updates=1600, epochs=record["epochs"]).exit_code == 0
    assert all(torch.equal(v, before[k]) for k, v in weights(tmp_path).items())


def test_a_signal_before_the_worker_listens_is_not_lost(tmp_path):
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    outcome = start(tmp_path, epochs=400)
    assert outcome.state == "stopped" and "SIGINT" in outcome.reason


def test_of_a_worker_that_was_killed_the_launcher_says_so(tmp_path, capfd):
    status = tmp_path / "training" / "status.json"

    def kill(line):
        if is_progress(line):
            os.kill(read_json(status)["pid"], signal.SIGKILL)

    outcome = start(tmp_path, say=kill, epochs=400)
    assert (outcome.exit_code, outcome.state) == (EXIT_ERROR, "failed")
    assert "without reporting a reason" in outcome.reason
    log = capfd.readouterr().err
    assert "process 0 ended with SIGKILL" in log and "Traceback" not in log
    said = read_json(status)
    assert (said["state"], said["exit_code"]) == ("failed", EXIT_ERROR)
    assert said["reason"] == outcome.reason and said["update"] >= 0
    assert said["warnings"] == [], "what was said is kept"


def test_what_the_user_can_mend_arrives_in_words(tmp_path, capfd):
    outcome = start(tmp_path, batch_s=0.21)
    assert outcome.exit_code == EXIT_USER_ERROR
    assert "longer than train.batch_s" in outcome.reason and "train-0" in outcome.reason
    log = capfd.readouterr().err
    assert (
        log.count("longer than train.batch_s") == 1
        and "Traceback" not in log
        and "elastic" not in log
    )
    assert outcome.summary_line(tmp_path / "training") == f"failed: {outcome.reason}"


def test_a_training_of_two_processes_goes_on_with_one(tmp_path):
    stopped = threading.Event()

    def stop_at_once(line):
        if is_progress(line) and not stopped.is_set():
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


def test_of_a_killed_process_that_wrote_the_status_the_other_tells(tmp_path):
    """The first of two is killed; status.json is not left at `running`."""

    def kill_the_first(line):
        status = json.loads((tmp_path / "training" / "status.json").read_text())
        with contextlib.suppress(ProcessLookupError):
            os.kill(status["pid"], signal.SIGKILL)

    outcome = start(tmp_path, 2, say=kill_the_first, epochs=400, accumulate=1)
    assert outcome.state == "failed" and "another process" in outcome.reason
    status = json.loads((tmp_path / "training" / "status.json").read_text())
    assert (status["state"], status["reason"]) == ("failed", outcome.reason)
    assert start(tmp_path, 2, epochs=1, accumulate=1).state == "finished"


def test_of_two_the_one_that_was_killed_is_named(tmp_path, capfd):
    status = tmp_path / "training" / "status.json"

    def kill_the_other(line):
        if is_progress(line):
            main = psutil.Process(read_json(status)["pid"])
            for other in main.parent().children():
                if other != main and "voicekiln.training.worker" in other.cmdline():
                    other.kill()

    outcome = start(tmp_path, 2, say=kill_the_other, epochs=400, accumulate=1)
    assert outcome.state == "failed" and "another process" in outcome.reason
    log = capfd.readouterr().err
    assert "process 1 ended with SIGKILL" in log and "process 0 ended" not in log
    assert "elastic" not in log


def test_events_are_whole_and_come_once(tmp_path, monkeypatch):
    reader = events.EventReader(tmp_path)
    assert reader.new() == []
    monkeypatch.setenv(events.EXCHANGE, str(tmp_path))
    log = logging.Logger("alone")
    log.addHandler(events.EventHandler())
    log.info("not for it")
    log.info("loss %.1f", 0.5, extra=events.ON_TERMINAL)
    log.warning("ə\nof two lines")
    log.warning("reported elsewhere", extra=events.LOG_ONLY)
    with open(tmp_path / events.FILE, "a") as file:
        file.write('{"event": "progress", ')
        file.flush()
        assert reader.new() == [
            {"event": "log", "text": "loss 0.5"},
            {"event": "log", "text": "warning: ə\nof two lines"},
        ]
        file.write('"text": "torn"}\n{"event": "lo\n')
    assert reader.new() == [{"event": "progress", "text": "torn"}], "the last one was cut short"
    assert reader.new() == []


def test_of_processes_that_end_together_all_report_the_first(tmp_path, monkeypatch):
    """Thirty processes report their end at the same moment; each must get the same outcome."""
    monkeypatch.setenv(events.EXCHANGE, str(tmp_path))
    n, start_at = 30, time.time() + 2
    pids = []
    for number in range(n):
        pid = os.fork()
        if pid == 0:
            time.sleep(max(0, start_at - time.time()))
            mine = {"exit_code": number, "state": "failed", "reason": "x" * 5000}
            os._exit(worker.report_end(mine)["exit_code"])
        pids.append(pid)
    codes = {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids}
    assert codes == {events.reported_end(tmp_path)["exit_code"]}
    assert len(events.EventReader(tmp_path).new()) == n


def ends(*states):
    return [{"exit_code": 0, "state": state, "reason": str(i)} for i, state in enumerate(states)]


@pytest.mark.parametrize(
    "states, decisive",
    [
        (("finished", "failed", "failed"), "1"),
        (("stopped", "failed"), "1"),
        (("finished", "stopped"), "1"),
        (("finished", "finished"), "0"),
    ],
)
def test_a_failure_overrides_the_end_of_another_process(states, decisive):
    assert events.outcome_of(ends(*states))["reason"] == decisive
    assert events.outcome_of([]) is None


def test_a_worker_that_ends_badly_after_finished_has_failed(tmp_path, monkeypatch):
    """Its agent returns an error although a process reported the end of the training."""
    script = tmp_path / "worker.py"
    script.write_text(
        "import json, os\n"
        f"with open(os.path.join(os.environ['{events.EXCHANGE}'], '{events.FILE}'), 'a') as file:\n"
        "    end = {'event': 'end', 'exit_code': 0, 'state': 'finished', 'reason': 'done'}\n"
        "    file.write(json.dumps(end) + '\\n')\n"
        "raise SystemExit(1)\n"
    )
    popen = launching.subprocess.Popen
    monkeypatch.setattr(
        launching.subprocess,
        "Popen",
        lambda command, **more: popen([command[0], str(script)], **more),
    )
    (tmp_path / "status.json").write_text('{"state": "finished", "update": 3}')
    outcome = launch(tmp_path / "settings.json", tmp_path, 1, 1, print)
    assert (outcome.exit_code, outcome.state) == (EXIT_ERROR, "failed")
    assert "exit code 1" in outcome.reason
    assert read_json(tmp_path / "status.json")["state"] == "failed"


def test_settings_that_cannot_be_read_are_reported(tmp_path, capfd):
    path = write_run(tmp_path)
    content = json.loads(path.read_text())
    content["settings"]["lerning_rate"] = 1
    path.write_text(json.dumps(content))
    outcome = launch(path, tmp_path / "training", 1, 1, print)
    assert outcome.exit_code == EXIT_USER_ERROR and "lerning_rate" in outcome.reason
    assert "lack of memory" not in outcome.reason and "Traceback" not in capfd.readouterr().err


def test_lack_of_memory_is_guessed_only_after_a_kill():
    assert "SIGKILL" in agent.death(1, -9) and "lack of memory" in agent.death(1, -9)
    assert "SIGSEGV" in agent.death(0, -11) and "memory" not in agent.death(0, -11)
    assert "exit code 3" in agent.death(0, 3) and "memory" not in agent.death(0, 3)
