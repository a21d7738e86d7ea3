"""The packs of one kind of features in the store, and what they hold.

Beside each pack lies a record of its keys, written after it; a pack without a record, or of another
size than its record says, does not count and is made again.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from voicekiln.features.packs import PackedFeature, PackWriter
from voicekiln.provenance import to_json
from voicekiln.store.files import write_atomic
from voicekiln.store.items import Store

log = logging.getLogger("features")
MAX_PACK_BYTES = 64 << 20  # about 6 minutes of mel: what a killed job may lose


class PackStore:
    """Features by key under `root/features/`.

    Args:
        root: folder of all stores.
        basis: what every key holds beside its clip: family, settings, VERSION.
    """

    def __init__(self, root: Path, basis: Mapping[str, Any]):
        self.store = Store(root, "features", basis)
        self.folder = self.store.folder / self.store.key()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._rows: dict[str, PackedFeature] = {}
        self._writer = PackWriter(self.folder, MAX_PACK_BYTES)
        for record in sorted(self.folder.glob("*.json")):
            rows = [PackedFeature(**row) for row in json.loads(record.read_bytes())]
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

    def add(self, key: str, feature: torch.Tensor) -> None:
        """Take a clip's features; they are on disk after `close` at the latest."""
        self._writer.add(key, feature)
        self._record()

    def close(self) -> None:
        """Write what waits."""
        self._writer.close()
        self._record()

    def _record(self) -> None:
        new = [row for row in self._writer.rows if row.key not in self._rows]
        by_pack: dict[str, list[PackedFeature]] = {}
        for row in new:
            by_pack.setdefault(row.pack, []).append(row)
            self._rows[row.key] = row
        for pack, rows in by_pack.items():
            path = (self.folder / pack).with_suffix(".json")
            write_atomic(path, to_json([vars(row) for row in rows]))

    def find(self, key: str) -> dict[str, Any]:
        """Columns of the feature index (`tables.FEATURES`) for a key."""
        row = self._rows[key]
        return {
            "feature": key,
            "pack": (self.folder / row.pack).as_posix(),
            "pack_bytes": row.pack_bytes,
            "n_frames": row.n_frames,
        }


def check_packs(root: Path, packs: Mapping[str, int]) -> None:
    """Stop unless every pack (by path) is there in its recorded size.

    Raises:
        UserError: naming the first bad pack; it is taken out, so the next run makes it again.
    """
    for path, n_bytes in packs.items():
        pack = Path(path)
        if not pack.is_file() or pack.stat().st_size != n_bytes:
            pack.unlink(missing_ok=True)
            Store(root, "features").report(pack.stem, f"pack {pack} is missing or damaged")
