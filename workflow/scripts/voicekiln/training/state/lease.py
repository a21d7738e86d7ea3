"""One writer at a time: a lease on a training folder, renewed while its holder lives.

The holder renews `lease.json` every few seconds. A lease is taken over if its process is gone (on
the same machine) or if it was not renewed for a while (elsewhere); otherwise a second writer fails.
"""

import fcntl
import json
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from voicekiln.errors import UserError
from voicekiln.store.files import write_atomic

log = logging.getLogger("train")

FILE = "lease.json"


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds between two heartbeats, and without any after which a holder counts as dead."""

    beat_s: float = 5.0
    silent_s: float = 60.0


class Lease:
    """Held between `acquire` and `release`.

    Args:
        directory: of the training.
        times: the defaults suit shared disks; tests use shorter ones.
    """

    def __init__(self, directory: Path, times: LeaseTimes = LeaseTimes()):  # noqa: B008 (frozen)
        self.path = directory / FILE
        self.times = times
        self.token = secrets.token_hex(8)
        self.held = False
        self.lost = False  # another process took over, because we did not renew it in time
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lease, at the latest after `silent_s`.

        Raises:
            UserError: another process holds it and is alive.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + self.times.silent_s
        first: dict | None = None
        while not self.held:
            with self._alone():
                holder = self._read()
                silent = holder == first and time.monotonic() > deadline
                if holder is None or gone(holder) or silent:
                    if holder:
                        log.warning("took over from %s, which is gone", _name(holder))
                    self._write(beat=0)
                    self.held = True
                    break
            if holder["where"] == here() or first not in (None, holder):
                raise UserError(
                    f"{self.path.parent}: {_name(holder)} is training here; wait for it or "
                    "stop it, then run again"
                )
            first = holder
            time.sleep(min(1.0, self.times.beat_s / 2))
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Give up the lease; does nothing if another process has it."""
        self._ended.set()
        if self._thread:
            self._thread.join()
        with self._alone():
            if self._ours():
                self.path.unlink()
        self.held = False

    def _renew(self) -> None:
        beat = 0
        while not self._ended.wait(self.times.beat_s):
            beat += 1
            try:
                with self._alone():
                    if not self._ours():
                        self.lost, self.held = True, False
                        return
                    self._write(beat)
            except OSError as error:  # a full disk, or a network share that is gone for a moment
                log.warning("%s: cannot be renewed now (%s)", self.path, error)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process reads and then writes the lease inside the `with`."""
        with open(self.path.with_name(f".{FILE}.lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                # some network file systems have no locks; the token still shows who lost
                log.debug("%s: no locks here (%s)", self.path.parent, error)
            yield

    def _ours(self) -> bool:
        holder = self._read()
        return holder is not None and holder["token"] == self.token

    def _read(self) -> dict | None:
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _write(self, beat: int) -> None:
        record = {
            "token": self.token,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": started(os.getpid()),
            "where": here(),
            "job": os.environ.get("SLURM_JOB_ID", ""),
            "beat": beat,
        }
        write_atomic(self.path, json.dumps(record))


def here() -> str:
    """Name of the set of processes in which a process id is unique: boot and pid namespace.

    Read from /proc, because psutil has neither.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def started(pid: int) -> float | None:
    """Start of a process in seconds after boot; None if there is no such process.

    A difference of two clock times, so that setting the clock does not change it.
    """
    try:
        boot_s = psutil.boot_time()
        return round(psutil.Process(pid).create_time() - boot_s, 2)
    except psutil.NoSuchProcess:
        return None


def gone(holder: dict) -> bool:
    """Whether the holder ran among the processes visible from here and no longer does."""
    if holder["where"] != here():
        return False
    now = started(holder["pid"])
    # a lease of an earlier version has no `started`; then the process id has to do
    return now is None or holder.get("started", now) != now


def _name(holder: dict) -> str:
    job = f", job {holder['job']}" if holder["job"] else ""
    return f"process {holder['pid']} on {holder['host']}{job}"
