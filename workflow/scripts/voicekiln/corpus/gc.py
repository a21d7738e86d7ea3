"""Find and delete items of the store that no table on disk uses.

A killed or failed job's work is in the store while no table refers to it. So what was written in
the last days is left alone.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from voicekiln.corpus.sources import listing
from voicekiln.errors import UserError
from voicekiln.store import tables
from voicekiln.store.files import unique_name
from voicekiln.store.records import ENTRY, INDEX, PACK, halves, scan, write_index

log = logging.getLogger("gc")
MAX_PACK_BYTES = 256 << 20


@dataclass
class Survey:
    """The store of one step.

    Attributes:
        live: items and packs of features that some table refers to.
        dead: keys of the items that none does.
        files: payloads, packs of features and left temporary files that may go, with their bytes.
        dead_bytes: of `files` and of the records of `dead`.
        packs: packs of records that hold anything dead, or are one of too many.
    """

    live: int = 0
    dead: set[str] = field(default_factory=set)
    files: dict[Path, int] = field(default_factory=dict)
    dead_bytes: int = 0
    packs: list[Path] = field(default_factory=list)


def in_use(results: Path) -> dict[str, set[str]]:
    """Keys of the items, by step, that tables below `results` refer to; packs by file name.

    Tables of shards that a corpus no longer has do not count.

    Raises:
        UserError: a table cannot be read, so that nobody knows what it refers to.
    """
    used: dict[str, set[str]] = defaultdict(set)
    shards = {
        folder.name: listed.shards
        for folder in results.glob("corpora/*")
        if (listed := listing.stored(folder))
    }
    for folder in ("corpora", "runs"):
        for path in sorted((results / folder).rglob("*.parquet")):
            if path.name.startswith(".") or _of_no_shard(path.relative_to(results), shards):
                continue
            try:
                for step, keys in tables.used_items(path).items():
                    used[step].update(keys)
                names = pq.read_schema(path).names
                for column, step in (("item", "normalize"), ("pack", "features")):
                    if column in names:
                        values = pq.read_table(path, columns=[column])[column].unique()
                        found = [value for value in values.to_pylist() if value]
                        used[step].update(Path(value).stem for value in found)
            except (OSError, ValueError) as error:
                raise UserError(
                    f"{path}: cannot be read, so what it refers to is not known ({error}). Run "
                    "snakemake to make it again, or remove it; nothing was deleted."
                ) from error
    return used


def _of_no_shard(path: Path, shards: Mapping[str, Sequence[str]]) -> bool:
    """Whether a table is that of a shard which its corpus no longer has."""
    match path.parts:
        case ("corpora", corpus, "shards", shard, _):
            return corpus in shards and shard not in shards[corpus]
    return False


def survey(folder: Path, used: set[str], keep_days: float) -> Survey:
    """Survey the store of one step: its items, and those that may be deleted.

    Args:
        folder: of the step, `results/store/<step>`.
        used: keys that are in use.
        keep_days: what was written since is kept all the same.
    """
    found = Survey()
    oldest = time.time() - keep_days * 86400
    keep = set(used)
    packs = sorted(folder.glob(f"records/*{PACK}"))
    held = {pack: list(scan(pack)) for pack in packs}
    for pack, entries in held.items():
        if pack.stat().st_mtime > oldest:
            keep.update(key for key, _, _ in entries)
    live = set()
    for pack, entries in held.items():
        gone = [entry for entry in entries if entry[0] not in keep]
        found.dead.update(key for key, _, _ in gone)
        found.dead_bytes += sum(length for _, _, length in gone)
        live.update(key for key, _, _ in entries if key in used)
        if gone:
            found.packs.append(pack)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.parent.name == "records" and not path.name.startswith("."):
            continue
        if path.parent == folder and not path.name.startswith("."):  # IDENTITY, BAD
            continue
        if path.stem in used:  # a pack of features; or a payload, whose key is known by now
            live.add(path.stem)
        stat = path.stat()
        if path.stem not in keep and stat.st_mtime < oldest:
            found.files[path] = stat.st_size
            found.dead_bytes += stat.st_size
    found.live = len(live)
    return found


def sweep(folder: Path, found: Survey) -> None:
    """Delete what `survey` found, and write the packs it touched anew without it."""
    survivors: dict[str, bytes] = {}
    for pack in found.packs:
        content = pack.read_bytes()
        for key, offset, length in scan(pack):
            if key not in found.dead:
                survivors[key] = content[offset : offset + length]
    _write_packs(folder / "records", survivors)
    for pack in found.packs:
        pack.unlink()
        pack.with_suffix(INDEX).unlink(missing_ok=True)
    for path in found.files:
        path.unlink(missing_ok=True)


def _write_packs(folder: Path, lines: Mapping[str, bytes]) -> None:
    for part in _parts(sorted(lines.items())):
        pack = folder / (unique_name() + PACK)
        offsets = np.cumsum([0, *(len(line) for _, line in part)])
        entries = [
            (*halves(key), offset, len(line))
            for (key, line), offset in zip(part, offsets, strict=False)
        ]
        pack.write_bytes(b"".join(line for _, line in part))
        write_index(pack, np.array(entries, ENTRY))


def _parts(items: Iterable[tuple[str, bytes]]) -> Iterable[list[tuple[str, bytes]]]:
    part: list[tuple[str, bytes]] = []
    size = 0
    for key, line in items:
        part.append((key, line))
        size += len(line)
        if size >= MAX_PACK_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part
