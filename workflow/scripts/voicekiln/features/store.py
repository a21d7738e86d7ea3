"""Packs of one kind of features in the store, and their content.

Beside each pack lies a record of its keys, written after it. A pack without a record, with a
damaged one, or of another size than its record has, is ignored and made again.
"""

import logging
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from voicekiln.families import Arrays
from voicekiln.features.packs import PackedFeature, PackWriter
from voicekiln.provenance import to_json
from voicekiln.store.files import atomic, read_json
from voicekiln.store.items import Store

log = logging.getLogger("features")
FIELDS = {field.name for field in fields(PackedFeature)}
MAX_PACK_BYTES = 64 << 20  # what a killed job may lose; about 30 minutes of speech as mel


def basis(family: str, version: int, settings: Mapping[str, Any], base: Mapping[str, str]) -> dict:
    """The part of a key that all clips share.

    Args:
        family: its name.
        version: its `FEATURES_VERSION`.
        settings: section `features`.
        base: its `feature_basis`; left out if empty, as in the keys of earlier versions.
    """
    found = {"family": family, "version": version, "settings": dict(settings)}
    return found | ({"base": dict(base)} if base else {})


class PackStore:
    """Features by key under `root/features/`.

    Args:
        root: folder of all stores.
        basis: from `basis`.
    """

    def __init__(self, root: Path, basis: Mapping[str, Any]):
        self.store = Store(root, "features", basis)
        self.folder = self.store.folder / self.store.key()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, PackedFeature] = {}
        self._writer = PackWriter(self.folder, MAX_PACK_BYTES)
        self._n_recorded = 0  # rows of the writer that have a record
        for record in sorted(self.folder.glob("*.json")):
            content = read_json(record)
            if not (isinstance(content, list) and content and isinstance(content[0], dict)):
                log.info("%s: empty or damaged, its features are computed again", record)
                continue
            if any(set(row) != FIELDS for row in content):
                log.info(
                    "%s: written by an earlier version, its features are computed again", record
                )
                continue
            rows = [PackedFeature(**row) for row in content]
            pack = self.folder / rows[0].pack
            if pack.is_file() and pack.stat().st_size == rows[0].pack_bytes:
                self._rows |= {row.key: row for row in rows}
            else:
                log.info("%s: missing or damaged, its features are computed again", pack)

    def key(self, **inputs: Any) -> str:
        """The key of a clip's features."""
        return self.store.key(**inputs)

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def add(self, key: str, arrays: Arrays, n_steps: int) -> None:
        """Take a clip's features; they are on disk after `close` at the latest."""
        self._writer.add(key, arrays, n_steps)
        self._record()

    def close(self) -> None:
        """Write pending features."""
        self._writer.close()
        self._record()

    def _record(self) -> None:
        new = [row for row in self._writer.rows[self._n_recorded :] if row.key not in self._rows]
        self._n_recorded = len(self._writer.rows)
        by_pack: dict[str, list[PackedFeature]] = {}
        for row in new:
            by_pack.setdefault(row.pack, []).append(row)
            self._rows[row.key] = row
        for pack, rows in by_pack.items():
            path = (self.folder / pack).with_suffix(".json")
            with atomic(path, sync=True) as part:
                part.write_text(to_json([vars(row) for row in rows]), encoding="utf-8")

    def find(self, key: str) -> dict[str, Any]:
        """Columns of the feature index (`tables.FEATURES`) for a key."""
        row = self._rows[key]
        return {
            "feature": key,
            "pack": (self.folder / row.pack).as_posix(),
            "pack_bytes": row.pack_bytes,
            "n_steps": row.n_steps,
        }


def check_packs(root: Path, packs: Mapping[str, int]) -> None:
    """Stop unless every pack (by path) is there in its recorded size.

    Raises:
        UserError: naming the first bad pack, which is removed so that the next run makes it again.
    """
    for path, n_bytes in packs.items():
        pack = Path(path)
        if not pack.is_file() or pack.stat().st_size != n_bytes:
            pack.unlink(missing_ok=True)
            Store(root, "features").report(pack.stem, f"pack {pack} is missing or damaged")
