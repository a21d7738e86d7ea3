"""Content-addressed items: the expensive result of one step for one input.

An item is a record (see `records`) and, for some steps, payload files `KEY.<suffix>`. Its key holds
the input's content, the relevant settings and the step's VERSION; no path, id or speaker, so equal
inputs share one item. The record is written last and has the size of the payload, so an item is
either complete or missing.
"""

import json
import logging
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json, to_json
from voicekiln.store.files import temporary, write_atomic
from voicekiln.store.records import KEY_DIGITS, Records

log = logging.getLogger("store")

STORE = Path("results", "store")  # folder of all stores


class Store:
    """The items of one step under `root/<step>/`; use it in a `with` block, or `close` it.

    Attributes:
        used: keys of the items that were found or computed; the step's table records them, so that
            `gc` knows which items are in use.

    Args:
        root: folder of all stores, usually `STORE`.
        step: name of the step.
        basis: part of every key of this store: settings and VERSION.
    """

    def __init__(self, root: Path, step: str, basis: Mapping[str, Any] | None = None):
        self.step = step
        self.folder = Path(root) / step
        self.basis = dict(basis or {})
        self.used: set[str] = set()
        self._records = Records(self.folder / "records")

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Write the index; a process that is killed earlier loses no item."""
        self._records.close()

    def key(self, **inputs: Any) -> str:
        """Key of the item computed from `inputs` (digests and builtin values)."""
        whole = {"step": self.step, "basis": self.basis, "inputs": inputs}
        return sha256_json(whole)[:KEY_DIGITS]

    def path(self, key: str, suffix: str) -> Path:
        """Path of the item's payload with a suffix (`.flac`)."""
        return self.folder / key[:2] / f"{key}{suffix}"

    def get(self, key: str) -> dict | None:
        """Record of the item; None if it is missing or incomplete."""
        text = self._records.get(key)
        if text is None:
            return None
        whole = json.loads(text)
        for suffix, size in whole["files"].items():
            try:
                found = self.path(key, suffix).stat().st_size
            except FileNotFoundError:
                return None
            if found != size:
                path = self.path(key, suffix)
                log.info("%s: has %d bytes instead of %d and is computed again", path, found, size)
                return None
        self.used.add(key)
        return whole["record"]

    def put(self, key: str, record: Mapping[str, Any], **payload: Path) -> None:
        """Store an item; `payload` maps a suffix (without dot) to a finished temporary file."""
        sizes = {}
        for suffix, part in payload.items():
            target = self.path(key, f".{suffix}")
            target.parent.mkdir(parents=True, exist_ok=True)
            sizes[f".{suffix}"] = part.stat().st_size
            os.replace(part, target)
        self._records.put(key, to_json({"files": sizes, "record": record}))
        self.used.add(key)

    def workfile(self, key: str, suffix: str) -> Path:
        """A temporary name on the store's own file system, for `put`."""
        target = self.path(key, f".{suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        return temporary(target)

    def require(self, key: str) -> dict:
        """Record of an item that an earlier step computed.

        Raises:
            UserError: it is missing or damaged. The item is reported, so that the next run of
                Snakemake recomputes exactly this item.
        """
        record = self.get(key)
        if record is None:
            self.report(key, "missing or damaged")
        return record

    def report(self, key: str, why: str) -> None:
        """Remove a bad item from the store, record its key, and raise UserError.

        The list of bad keys is a param of the rule that computes the items, so the next run enters
        that rule, misses the item and recomputes it.
        """
        for path in self.folder.glob(f"{key[:2]}/{key}.*"):
            path.unlink(missing_ok=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "BAD", "a", encoding="utf-8") as file:
            file.write(f"{key} {secrets.token_hex(4)}\n")
        raise UserError(
            f"{self.folder}: item {key}: {why}; run snakemake again to recompute this item alone"
        )


def identity(root: Path, step: str) -> dict[str, str]:
    """Params of a store's rule: the identity of the store, and its bad keys.

    A store that was deleted gets a new identity, so its rules run again.
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
