"""Reasons to stop."""

import os
import signal
import subprocess

import pytest
from voicekiln.training.process.events import EXCHANGE, LAUNCHER
from voicekiln.training.process.stop import STOP_FILE, Stop, handled_signals


@pytest.fixture
def restored():
    before = {number: signal.getsignal(number) for number in handled_signals()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_reason_counts(tmp_path, monkeypatch):
    monkeypatch.setenv(EXCHANGE, str(tmp_path))
    stop = Stop(after_minutes=60)
    assert stop.reason() is None
    (tmp_path / STOP_FILE).write_text("signal SIGTERM")
    assert stop.reason() == "signal SIGTERM"
    stop.request("another")
    assert stop.reason() == "signal SIGTERM"


def test_a_launcher_that_is_gone_is_one(monkeypatch):
    with subprocess.Popen(["sleep", "60"]) as launcher:
        monkeypatch.setenv(LAUNCHER, str(launcher.pid))
        stop = Stop()
        assert stop.reason() is None
        launcher.kill()
    assert stop.reason() == "the process that started the training is gone"


def test_under_nohup_a_hang_up_is_none(restored):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    stop = Stop()
    stop.on_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert stop.reason() is None
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    stop.on_signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert stop.reason() == "signal SIGHUP"
