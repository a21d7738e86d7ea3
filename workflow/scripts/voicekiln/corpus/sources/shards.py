"""The shards of a corpus: how many there are, and which recording is in which."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# a shard has seven jobs of a few seconds before they compute anything
FILES_PER_SHARD, BYTES_PER_SHARD, MOST_SHARDS = 1000, 256_000_000, 64


def shard_name(shard: int) -> str:
    """The name of the n-th shard."""
    return f"{shard:03d}"


def shard_of(path: str, shards: int) -> int:
    """The shard of a recording: a hash of its path relative to its root."""
    hashed = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(hashed[:8]) % shards


def n_shards(rows: Sequence[Mapping[str, Any]]) -> int:
    """The number of shards, if the configuration leaves it open.

    A power of two, by number and size of the files but not above their number: it changes only when
    a corpus doubles, because another number runs all jobs of a corpus again (from the store).
    """
    size = sum(max(0, row["bytes"]) for row in rows)
    wanted = max(len(rows) / FILES_PER_SHARD, size / BYTES_PER_SHARD)
    n = 1
    while n < min(wanted, MOST_SHARDS) and 2 * n <= len(rows):
        n *= 2
    return n


def assign(rows: Iterable[dict], shards: int) -> list[list[dict]]:
    """The rows of each shard."""
    assigned: list[list[dict]] = [[] for _ in range(shards)]
    for row in rows:
        assigned[shard_of(row["path"], shards)].append(row)
    return assigned
