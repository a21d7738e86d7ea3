"""One writer at a time; the dead make room."""

import json
import os
import subprocess
import sys
import threading
import time

import pytest
from voicekiln.errors import UserError
from voicekiln.training.state.lease import Lease, LeaseTimes, here, started

FAST = LeaseTimes(beat_s=0.05, silent_s=0.4)


def write(folder, **values):
    record = {
        "token": "other",
        "host": "node7",
        "pid": os.getpid(),
        "started": started(os.getpid()),
        "where": here(),
        "job": "",
        "beat": 0,
    }
    (folder / "lease.json").write_text(json.dumps(record | values))


def test_a_second_writer_refuses_until_the_first_has_ended(tmp_path):
    first = Lease(tmp_path, FAST)
    first.acquire()
    with pytest.raises(UserError, match=f"process {os.getpid()} on .* is training here"):
        Lease(tmp_path, FAST).acquire()
    first.release()
    second = Lease(tmp_path, FAST)
    second.acquire()
    assert second.held
    second.release()
    assert not (tmp_path / "lease.json").exists()


def test_a_process_that_is_gone_is_replaced_at_once(tmp_path, monkeypatch):
    pid = os.fork()
    if pid == 0:
        Lease(tmp_path).acquire()
        os._exit(0)
    os.waitpid(pid, 0)
    assert json.loads((tmp_path / "lease.json").read_text())["pid"] == pid
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("waited for the holder"))
    lease = Lease(tmp_path)
    lease.acquire()
    lease.release()


def test_a_reused_process_id_is_not_the_holder(tmp_path):
    write(tmp_path, started=1.0)
    lease = Lease(tmp_path)
    lease.acquire()
    lease.release()


def test_a_silent_holder_elsewhere_is_replaced_after_a_while(tmp_path):
    write(tmp_path, where="another machine")
    began = time.monotonic()
    lease = Lease(tmp_path, FAST)
    lease.acquire()
    assert time.monotonic() - began >= FAST.silent_s
    lease.release()


def test_a_live_holder_elsewhere_is_left_alone(tmp_path):
    write(tmp_path, where="another machine", job="4711")
    threading.Timer(0.1, write, (tmp_path,), {"where": "another machine", "beat": 1}).start()
    with pytest.raises(UserError, match="on node7.* is training here"):
        Lease(tmp_path, FAST).acquire()
    assert json.loads((tmp_path / "lease.json").read_text())["token"] == "other"


def test_of_many_that_want_it_one_gets_it(tmp_path):
    write(tmp_path, started=1.0)  # a dead one, which all of them see
    held, refused = [], []

    def want():
        lease = Lease(tmp_path)
        try:
            lease.acquire()
            held.append(lease)
        except UserError:
            refused.append(1)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(held) == 1 and len(refused) == 7
    assert json.loads((tmp_path / "lease.json").read_text())["token"] == held[0].token
    held[0].release()


def test_a_holder_that_was_replaced_notices(tmp_path):
    lease = Lease(tmp_path, FAST)
    lease.acquire()
    write(tmp_path)
    deadline = time.monotonic() + 5
    while not lease.lost and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lease.lost and not lease.held
    lease.release()
    assert json.loads((tmp_path / "lease.json").read_text())["token"] == "other"


def test_it_is_renewed(tmp_path):
    lease = Lease(tmp_path, FAST)
    lease.acquire()
    for _ in range(600):  # ends early; only a lease that is not renewed takes all of it
        if json.loads((tmp_path / "lease.json").read_text())["beat"] > 1:
            break
        time.sleep(0.1)
    else:
        pytest.fail("not renewed")
    lease.release()


def test_a_holder_of_an_earlier_version_that_is_gone_is_replaced_at_once(tmp_path):
    """Its lease has `began`, in another unit, instead of `started`."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write(tmp_path, pid=ended.pid, began="529953")
    record = json.loads((tmp_path / "lease.json").read_text())
    del record["started"]
    (tmp_path / "lease.json").write_text(json.dumps(record))
    lease = Lease(tmp_path, FAST)
    lease.acquire()
    lease.release()
    alive = record | {"pid": os.getpid()}
    (tmp_path / "lease.json").write_text(json.dumps(alive))
    with pytest.raises(UserError, match="is training here"):
        Lease(tmp_path, FAST).acquire()
