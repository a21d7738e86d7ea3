"""Trainings in forked processes that a test disturbs, and what they leave behind.

A disturbance is a function that the child calls before it trains; the test's process stays as it
is.
"""

import json
import os
import signal
import socket
import time
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from voicekiln.training import worker
from voicekiln.training.process import events
from voicekiln.training.process.stop import Stop
from voicekiln.training.run import Run
from voicekiln.training.settings import RunSettings
from voicekiln.training.state import checkpoints

ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    MemoryError(),
]


def nothing():
    pass


def in_child(settings: RunSettings, prepare=lambda: None, kill_after_s: float | None = None) -> int:
    """Trains in a forked process; returns its exit code, or minus the signal that ended it."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            torch.set_num_threads(1)
            # an accelerator of an earlier test, with another precision, is inherited by the fork
            AcceleratorState._reset_state(reset_partial_state=True)
            stop = Stop(settings.train.stop_after_minutes)
            stop.on_signals()
            prepare()
            code = worker.run(settings, stop)
        finally:
            os._exit(code)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner, name: str, n: int, what=die):
    """Preparation of a child: the n-th call (from 1) of `owner.name` becomes `what`."""

    def prepare():
        calls = 0
        original = getattr(owner, name)

        def replaced(*args, **kwargs):
            nonlocal calls
            calls += 1
            return (what if calls == n else original)(*args, **kwargs)

        setattr(owner, name, replaced)

    return prepare


def kill_in_torch_save(n: int):
    """Preparation: killed inside the n-th state.pt, half of it written."""

    def prepare():
        original, calls = torch.save, 0

        def replaced(content, file):
            nonlocal calls
            calls += 1
            original(content, file)
            if calls == n:
                file.truncate(1000)
                die()

        checkpoints.torch.save = replaced

    return prepare


def in_children(settings, *prepares) -> list[int]:
    """Trains in forked processes that know one another; their exit codes.

    As under torch.distributed.run: when one was killed the others are too, after a while.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    exchange = settings.directory.parent / "exchange"
    exchange.mkdir(exist_ok=True)
    (exchange / events.FILE).unlink(missing_ok=True)
    pids, died = {}, None
    for rank, prepare in enumerate(prepares):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                n = str(len(prepares))
                os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": n}
                os.environ |= {"LOCAL_WORLD_SIZE": n, "MASTER_ADDR": "127.0.0.1"}
                os.environ |= {"MASTER_PORT": str(port), events.EXCHANGE: str(exchange)}
                torch.set_num_threads(1)
                # earlier tests of this process may have made one for a single process
                AcceleratorState._reset_state(reset_partial_state=True)
                stop = Stop()
                stop.on_signals()
                prepare()
                code = worker.run(settings, stop)
            finally:
                os._exit(code)
        pids[pid] = rank
    codes = [0] * len(pids)
    while pids:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            codes[pids.pop(pid)] = code = os.waitstatus_to_exitcode(status)
            died = died or (code < 0 and time.monotonic())
        elif died and time.monotonic() - died > 10:
            for other in pids:
                os.kill(other, 9)
        time.sleep(0.02)
    return codes


def little_memory(fits, error=ERRORS[0], where=("train", "val"), array="mel"):
    """Preparation of a child: a batch with more clips than `fits` is out of memory."""

    def prepare():
        sums = Run.loss_sums

        def checked(self, batch):
            side = "train" if self.model.training else "val"
            if side in where and len(batch[array]) > fits:
                raise error
            return sums(self, batch)

        Run.loss_sums = checked

    return prepare


def final(settings: RunSettings) -> dict:
    """All that a finished training has in its last state: weights, average, optimiser."""
    last = checkpoints.pointed(settings.directory / "checkpoints", "last")
    folder = settings.directory / "checkpoints" / last["checkpoint"]
    tensors = torch.load(folder / checkpoints.STATE, weights_only=True)
    found = {f"ema {k}": v for k, v in load_file(folder / checkpoints.WEIGHTS).items()}
    found |= {f"model {k}": v for k, v in tensors["model"].items()}
    for i, values in tensors["optimizer"]["state"].items():
        found |= {f"optimizer {i} {k}": v for k, v in values.items()}
    return found | {"ema_updates": tensors["ema_updates"], "update": last["update"]}


def updates_saved(directory: Path) -> list[int]:
    """Updates of the checkpoints in the folder of a training, the newest first."""
    return [checkpoints.update_of(path) for path in checkpoints.found(directory / "checkpoints")]


def same(a: dict, b: dict) -> None:
    assert set(a) == set(b)
    for name, value in a.items():
        equal = torch.equal(value, b[name]) if torch.is_tensor(value) else value == b[name]
        assert equal, name


def metrics(settings: RunSettings, kind: str, name: str = "loss") -> dict[int, float]:
    lines = (settings.directory / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["kind"] == kind]
    assert len({row["update"] for row in rows}) == len(rows), "an update is logged twice"
    return {row["update"]: row[name] for row in rows}


def close(a: dict, b: dict, atol: float) -> None:
    assert set(a) == set(b)
    for name, value in a.items():
        if torch.is_tensor(value):
            torch.testing.assert_close(value, b[name], rtol=0, atol=atol, msg=name)
        else:
            assert value == b[name], name
