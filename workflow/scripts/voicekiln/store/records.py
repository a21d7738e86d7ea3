"""Small records in few files: each writer appends to a pack of its own, an index finds them all.

A pack is a text file with one record a line, `CRC32 KEY JSON`. It is only ever appended to, by one
process. A writer that ends well leaves an index beside its pack; of one that was killed the pack is
read line by line, and a torn last line does not count. So nothing is lost but the record that was
being written, and writers on any number of hosts never meet.
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
KEY_DIGITS = 32  # 128 bits of SHA-256: no collision among any number of clips people have
# the two halves of the key, where its line begins in the pack, and how long it is
ENTRY = np.dtype([("high", "<u8"), ("low", "<u8"), ("offset", "<u8"), ("length", "<u4")])
N_MAPPED = 32  # packs mapped at a time


class Records:
    """The records in one folder of packs, by key.

    Args:
        folder: where the packs are; made when the first record is written.
    """

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._packs: list[Path] = []
        self._entries: np.ndarray | None = None  # of all packs, sorted by the key's first half
        self._high: np.ndarray | None = None  # those first halves
        self._pack_of: np.ndarray | None = None  # which of `_packs` each entry is in
        self._own: dict[str, tuple[int, int]] = {}  # offset and length in our own pack
        self._own_path: Path | None = None
        self._handle = None
        self._mapped = lru_cache(N_MAPPED)(_map)

    def get(self, key: str) -> str | None:
        """The record's JSON text; None where there is none, or none that is whole."""
        if key in self._own:
            offset, length = self._own[key]
            with open(self._own_path, "rb") as file:
                file.seek(offset)
                return _checked(file.read(length), key)
        if self._entries is None:
            self._load()
        high, low = _halves(key)
        for i in range(int(self._high.searchsorted(np.uint64(high))), len(self._high)):
            found_high, found_low, offset, length = self._entries[i].item()
            if found_high != high:
                break
            if found_low == low:
                path = self._packs[self._pack_of[i]]
                text = _checked(self._mapped(path)[offset : offset + length], key)
                if text is not None:
                    return text
                log.info("%s: the record %s is damaged and is computed again", path, key)
        return None

    def put(self, key: str, text: str) -> None:
        """Append a record; from here on a killed process does not lose it."""
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
        """Leave an index beside what was written, so that nobody has to read the pack for it."""
        if self._handle is None:
            return
        self._handle.close()
        self._handle = None
        entries = [(*_halves(key), *place) for key, place in self._own.items()]
        write_index(self._own_path, np.array(entries, ENTRY))
        self._own, self._own_path, self._entries = {}, None, None

    def keys(self) -> list[str]:
        """Keys of all records, sorted; damaged ones among them."""
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
    except (FileNotFoundError, ValueError):  # tidied up since the index was read; or empty
        return b""


def write_index(pack: Path, entries: np.ndarray) -> None:
    """Write the index of a finished pack: its size, then `ENTRY` by `ENTRY`."""
    size = np.array([pack.stat().st_size], "<u8")
    write_atomic(pack.with_suffix(INDEX), size.tobytes() + np.sort(entries).tobytes())


def read_index(pack: Path) -> np.ndarray:
    """`ENTRY` of each record of a pack, from its index or, where that does not fit, from itself."""
    try:
        content = pack.with_suffix(INDEX).read_bytes()
        if len(content) >= 8 and (len(content) - 8) % ENTRY.itemsize == 0:
            if int.from_bytes(content[:8], "little") == pack.stat().st_size:
                return np.frombuffer(content, ENTRY, offset=8)
    except FileNotFoundError:
        pass
    entries = [(*_halves(key), *place) for key, *place in scan(pack)]
    return np.array(entries, ENTRY)


def scan(pack: Path) -> Iterator[tuple[str, int, int]]:
    """Key, offset and length of each whole record of a pack, read line by line."""
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
    """The JSON text of a record's line; None where it is torn, changed, or another's."""
    body = line[9:]
    if not line.endswith(b"\n") or line[:9] != b"%08x " % zlib.crc32(body):
        return None
    found, _, text = body.decode().partition(" ")
    return text[:-1] if found == key else None


def _halves(key: str) -> tuple[int, int]:
    return int(key[:16], 16), int(key[16:], 16)
