"""One writer at a time: a lease on a training folder, renewed while its holder lives.

The holder renews `lease.json` every few seconds. A lease is taken over when its process is gone (on
the same machine) or when it was not renewed for a while (elsewhere); a live one refuses the second.
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

from voicekiln.errors import UserError

log = logging.getLogger("train")

FILE = "lease.json"


@dataclass(frozen=True)
class LeaseTimes:
    """Seconds between two signs of life, and of silence after which a holder counts as dead."""

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
        self.lost = False  # taken over by another while we were silent
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> None:
        """Takes the lease, at the latest after `silent_s`.

        Raises:
            UserError: somebody else holds it and is alive.
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
                        log.warning("took over from %s, which is gone", _who(holder))
                    self._write(beat=0)
                    self.held = True
                    break
            if holder["where"] == here() or first not in (None, holder):
                raise UserError(
                    f"{self.path.parent}: {_who(holder)} is training here; wait for it to end or"
                    " stop it, then run again"
                )
            first = holder
            time.sleep(min(1.0, self.times.beat_s / 2))
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Gives the lease back; does nothing when another has it."""
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
            except OSError as error:  # a full disk, or a network share that is away for a moment
                log.warning("%s: cannot be renewed now (%s)", self.path, error)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process reads and then writes the lease inside the `with`."""
        with open(self.path.with_name(f".{FILE}.lock"), "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError as error:
                # Some network file systems have no locks; the token still tells who has lost.
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
            "began": started(os.getpid()),
            "where": here(),
            "job": os.environ.get("SLURM_JOB_ID", ""),
            "beat": beat,
        }
        temporary = self.path.with_name(f".{FILE}.{self.token}.part")
        temporary.write_text(json.dumps(record), encoding="utf-8")
        os.replace(temporary, self.path)


def here() -> str:
    """Names the set of processes in which a process id means something: boot and pid namespace."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def started(pid: int) -> str:
    """When a process began, in ticks since boot; empty where it is gone or unknown."""
    try:
        # Field 22 of proc(5) stat; the name in field 2 may hold spaces but ends with the last ')'.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""


def gone(holder: dict) -> bool:
    """True when the holder ran among the processes seen from here and no longer does."""
    if holder["where"] != here():
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return bool(holder["began"]) and started(holder["pid"]) != holder["began"]


def _who(holder: dict) -> str:
    job = f", job {holder['job']}" if holder["job"] else ""
    return f"process {holder['pid']} on {holder['host']}{job}"
