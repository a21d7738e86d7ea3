"""Content-addressed items: the expensive result of one step for one input.

An item is a record (see `records`) and, for some steps, payload files `KEY.<suffix>`. Its key holds
the input's content, the settings that matter and the step's VERSION; no path, id or speaker, so
equal inputs share one item. The record is written last and names the payload's size, so an item is
either whole or not there.
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
    """The items of one step under `root/<step>/`; `with` it, or `close` it, after writing.

    Attributes:
        used: keys of the items that were found or made; they go into the step's table, so that
            `gc` knows what is still in use.

    Args:
        root: folder of all stores, usually `STORE`.
        step: name of the step.
        basis: what every key of this store holds beside its input: settings and VERSION.
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
        """Finish what was written; a process that is killed before loses no item by that."""
        self._records.close()

    def key(self, **inputs: Any) -> str:
        """The key of the item made from `inputs` (digests and builtin values)."""
        whole = {"step": self.step, "basis": self.basis, "inputs": inputs}
        return sha256_json(whole)[:KEY_DIGITS]

    def path(self, key: str, suffix: str) -> Path:
        """Where the item's payload with that suffix (`.flac`) lies."""
        return self.folder / key[:2] / f"{key}{suffix}"

    def get(self, key: str) -> dict | None:
        """The item's record, or None where it is missing or not whole."""
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
                log.info("%s: %d bytes instead of %d; it is computed again", path, found, size)
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
            f"{self.folder}: item {key}: {why}. It will be made again: run snakemake again "
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
