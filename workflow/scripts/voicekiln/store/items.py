"""Content-addressed items: the expensive result of one step for one input.

An item is a record `KEY.json` and, for some steps, payload files `KEY.<suffix>` beside it. Its key
holds the input's content, the settings that matter and the step's VERSION; no path, id or speaker,
so equal inputs share one item. The record is written last and names the payload's size, so an item
is either whole or not there.
"""

import json
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json, to_json

log = logging.getLogger("store")
KEY_DIGITS = 32  # 128 bits of SHA-256: no collision among any number of clips people have


def temporary(path: Path) -> Path:
    """A name beside `path` that no other writer on any host uses."""
    unique = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{unique}{path.suffix}")


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a small file so that a reader sees the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    part.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(part, path)


class Store:
    """The items of one step under `root/<step>/`.

    Args:
        root: folder of all stores, `results/store`.
        step: name of the step.
        basis: what every key of this store holds beside its input: settings and VERSION.
    """

    def __init__(self, root: Path, step: str, basis: Mapping[str, Any] | None = None):
        self.step = step
        self.folder = Path(root) / step
        self.basis = dict(basis or {})

    def key(self, **inputs: Any) -> str:
        """The key of the item made from `inputs` (digests and builtin values)."""
        whole = {"step": self.step, "basis": self.basis, "inputs": inputs}
        return sha256_json(whole)[:KEY_DIGITS]

    def path(self, key: str, suffix: str = ".json") -> Path:
        """Where the item's record (or its payload with that suffix) lies."""
        return self.folder / key[:2] / f"{key}{suffix}"

    def get(self, key: str) -> dict | None:
        """The item's record, or None where it is missing or not whole."""
        try:
            record = json.loads(self.path(key).read_bytes())
            sizes = record["files"]
            if all(self.path(key, s).stat().st_size == size for s, size in sizes.items()):
                return record["record"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, OSError) as error:
            log.warning("%s: damaged, will be made again (%s)", self.path(key), error)
            return None
        log.warning("%s: payload has the wrong size, will be made again", self.path(key))
        return None

    def put(self, key: str, record: Mapping[str, Any], **payload: Path) -> None:
        """Store an item; `payload` maps a suffix (without dot) to a finished temporary file."""
        sizes = {}
        for suffix, part in payload.items():
            target = self.path(key, f".{suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            sizes[f".{suffix}"] = part.stat().st_size
            os.replace(part, target)
        write_atomic(self.path(key), to_json({"files": sizes, "record": record}))

    def workfile(self, key: str, suffix: str) -> Path:
        """A temporary name on the store's own file system, for `put`."""
        target = self.path(key, f".{suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        return temporary(target)

    def require(self, key: str) -> dict:
        """The record of an item that an earlier step has made.

        Raises:
            UserError: it is missing or damaged; the item is reported, so that the next run of
                Snakemake makes exactly this one again.
        """
        record = self.get(key)
        if record is None:
            self.report(key, "missing or damaged")
        return record

    def report(self, key: str, why: str) -> None:
        """Take a bad item out of the store, note its key, and stop.

        The list of bad keys is a param of the rule that makes the items, so the next run enters
        that rule, finds the item gone and makes it again.
        """
        for path in self.folder.glob(f"{key[:2]}/{key}.*"):
            path.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "BAD", "a", encoding="utf-8") as file:
            file.write(f"{key} {secrets.token_hex(4)}\n")
        raise UserError(
            f"{self.path(key)}: {why}. It will be made again: run snakemake again "
            f"(nothing else of the store is touched)."
        )


def identity(root: Path, step: str) -> dict[str, str]:
    """What of a store enters its rule's params: which store it is, and its bad keys.

    A store that was deleted gets another identity, and so its rules run again.
    """
    folder = Path(root) / step
    mark = folder / "IDENTITY"
    if not mark.exists():
        write_atomic(mark, secrets.token_hex(8) + "\n")
    bad = folder / "BAD"
    return {
        "identity": mark.read_text().strip(),
        "bad": sha256_json(bad.read_text()) if bad.exists() else "",
    }
