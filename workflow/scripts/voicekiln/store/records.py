"""Small records in few files: each writer appends to its own pack, and an index finds the records.

A pack is a text file with one record per line, `CRC32 KEY JSON`. One process appends to it. A
writer that ends normally leaves an index next to its pack; the pack of a killed writer is read line
by line, without an incomplete last line. Only the record being written can be lost, and writers on
different hosts never share a file.
"""

import logging
import mmap
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from voicekiln.store.files import unique_name, write_atomic

log = logging.getLogger("store")
PACK, INDEX = ".pack", ".index"
KEY_DIGITS = 32  # 128 bits of SHA-256: collisions are not to be expected
# the two halves of the key, the offset of its line in the pack, and the length of the line
ENTRY = np.dtype([("high", "<u8"), ("low", "<u8"), ("offset", "<u8"), ("length", "<u4")])
N_MAPPED = 32  # packs mapped at once


class Records:
    """The records in one folder of packs, by key.

    Args:
        folder: of the packs; created with the first record.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._packs: list[Path] = []
        self._entries: np.ndarray | None = None  # of all packs, sorted by the key's first half
        self._high: np.ndarray | None = None  # the first halves of the keys
        self._pack_of: np.ndarray | None = None  # index in `_packs` of each entry
        self._own: dict[str, tuple[int, int]] = {}  # offset and length in our own pack
        self._own_path: Path | None = None
        self._handle = None
        self._mapped = lru_cache(N_MAPPED)(_map)

    def get(self, key: str) -> str | None:
        """JSON text of the record; None if it is missing or damaged."""
        if key in self._own:
            offset, length = self._own[key]
            with open(self._own_path, "rb") as file:
                file.seek(offset)
                return _checked(file.read(length), key)
        if self._entries is None:
            self._load()
        high, low = halves(key)
        for i in range(int(self._high.searchsorted(np.uint64(high))), len(self._high)):
            found_high, found_low, offset, length = self._entries[i].item()
            if found_high != high:
                break
            if found_low == low:
                path = self._packs[self._pack_of[i]]
                text = _checked(self._mapped(path)[offset : offset + length], key)
                if text is not None:
                    return text
                log.info("%s: record %s is damaged and is computed again", path, key)
        return None

    def put(self, key: str, text: str) -> None:
        """Append a record; if the process is killed afterwards, the record is kept."""
        if self._handle is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own_path = self.folder / (unique_name() + PACK)
            self._handle = open(self._own_path, "xb", buffering=0)
        line = _line(key, text)
        offset = self._handle.tell()
        written = self._handle.write(line)
        while written < len(line):
            written += self._handle.write(line[written:])
        self._own[key] = (offset, len(line))

    def close(self) -> None:
        """Write the index of the pack, so that readers need not scan the pack."""
        if self._handle is None:
            return
        self._handle.close()
        self._handle = None
        entries = [(*halves(key), *place) for key, place in self._own.items()]
        write_index(self._own_path, np.array(entries, ENTRY))
        self._own, self._own_path, self._entries = {}, None, None

    def keys(self) -> list[str]:
        """Keys of all records, sorted, including damaged ones."""
        self.close()
        self._load()
        return sorted({f"{int(e['high']):016x}{int(e['low']):016x}" for e in self._entries})

    def _load(self):
        self._packs = sorted(self.folder.glob(f"*{PACK}")) if self.folder.is_dir() else []
        parts = [read_index(path) for path in self._packs]
        entries = np.concatenate([np.empty(0, ENTRY), *parts])
        pack_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        order = np.argsort(entries["high"], kind="stable")
        self._entries, self._pack_of = entries[order], pack_of[order]
        self._high = np.ascontiguousarray(self._entries["high"])


def _map(pack: Path) -> mmap.mmap | bytes:
    try:
        with open(pack, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (FileNotFoundError, ValueError):  # removed since the index was read, or empty
        return b""


def write_index(pack: Path, entries: np.ndarray) -> None:
    """Write the index of a finished pack: its size, then one `ENTRY` per record."""
    size = np.array([pack.stat().st_size], "<u8")
    write_atomic(pack.with_suffix(INDEX), size.tobytes() + np.sort(entries).tobytes())


def read_index(pack: Path) -> np.ndarray:
    """`ENTRY` of each record of a pack, from its index, or from the pack if the index is stale."""
    try:
        content = pack.with_suffix(INDEX).read_bytes()
        if len(content) >= 8 and (len(content) - 8) % ENTRY.itemsize == 0:
            if int.from_bytes(content[:8], "little") == pack.stat().st_size:
                return np.frombuffer(content, ENTRY, offset=8)
    except FileNotFoundError:
        pass
    entries = [(*halves(key), *place) for key, *place in scan(pack)]
    return np.array(entries, ENTRY)


def scan(pack: Path) -> Iterator[tuple[str, int, int]]:
    """Key, offset and length of each complete record of a pack, read line by line."""
    try:
        with open(pack, "rb") as file:
            offset = 0
            for line in file:
                key = line[9 : 9 + KEY_DIGITS].decode("ascii", "replace")
                if _checked(line, key) is not None:
                    yield key, offset, len(line)
                offset += len(line)
    except FileNotFoundError:
        return


def _line(key: str, text: str) -> bytes:
    body = f"{key} {text}\n".encode()
    return b"%08x " % zlib.crc32(body) + body


def _checked(line: bytes, key: str) -> str | None:
    """JSON text of a record's line; None if it is incomplete, changed, or has another key."""
    body = line[9:]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % zlib.crc32(body):
        return None
    found, _, text = body.decode().partition(" ")
    return text[:-1] if found == key else None


def halves(key: str) -> tuple[int, int]:
    """A key as the two numbers of an index entry (`ENTRY`)."""
    return int(key[:16], 16), int(key[16:], 16)
