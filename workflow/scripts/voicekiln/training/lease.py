"""One writer at a time: a lease on a training folder, renewed while its holder lives.

The holder renews `lease.json` every few seconds. A lease is taken over when its process is gone (on
the same machine) or when it was not renewed for a while (elsewhere); a live one refuses the second.
"""

import json
import logging
import os
import secrets
import socket
import threading
import time
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
        first = self._read()
        while not self._create():
            holder = self._read()
            if holder is None:
                continue
            if gone(holder) or (holder == first and time.monotonic() > deadline):
                log.warning("lease of %s taken over, its holder is gone", _who(holder))
                self._remove(holder)
            elif holder != first and first is not None or holder["where"] == here():
                raise UserError(
                    f"{self.path.parent}: {_who(holder)} is training here; wait for it to end or"
                    " stop it, then run again"
                )
            else:
                first = first or holder
                time.sleep(min(1.0, self.times.beat_s / 2))
        self.held = True
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Gives the lease back; does nothing when another has it."""
        self._ended.set()
        if self._thread:
            self._thread.join()
        holder = self._read()
        if holder and holder["token"] == self.token:
            self.path.unlink(missing_ok=True)
        self.held = False

    def _renew(self) -> None:
        beat = 0
        while not self._ended.wait(self.times.beat_s):
            beat += 1
            holder = self._read()
            if holder is None or holder["token"] != self.token:
                self.lost, self.held = True, False
                return
            try:
                os.replace(self._write(beat), self.path)
            except OSError as error:  # a full disk or a network share that is away for a moment
                log.warning("%s: cannot be renewed now (%s)", self.path, error)

    def _create(self) -> bool:
        temporary = self._write(0)
        try:
            # A link fails where the name exists, on network file systems too.
            os.link(temporary, self.path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        return True

    def _write(self, beat: int) -> Path:
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
        return temporary

    def _read(self) -> dict | None:
        try:
            return json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None

    def _remove(self, holder: dict) -> None:
        """Removes a dead holder's lease, and no other that came in between."""
        aside = self.path.with_name(f".{FILE}.{self.token}.old")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        taken = json.loads(aside.read_text(encoding="utf-8"))
        if taken["token"] != holder["token"]:
            os.link(aside, self.path)
        aside.unlink()


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
