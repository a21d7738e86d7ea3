"""The listing of a corpus: its recordings by shard, kept on disk for the jobs.

Snakemake's main process lists a corpus once, because the shards' digests are params of their jobs
and decide which of them run. Before the first job starts, it writes

- `shards/<n>/listing.jsonl`: the rows of each shard (see `recordings`);
- `listing.json`, last: a digest for each shard, and the notes about how the sources were read.

Jobs, and the processes that Snakemake starts for them on other hosts, read these files.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voicekiln import notices
from voicekiln.corpus.sources.shards import shard_name
from voicekiln.errors import UserError
from voicekiln.store.files import no_space, write_atomic

log = logging.getLogger("list")
DIGEST_DIGITS = 16
RECORD = "listing.json"
ROWS = "listing.jsonl"
AGAIN = "it is written when Snakemake starts: run snakemake again, without --no-hooks"


@dataclass
class Listing:
    """The recordings of a corpus by shard.

    Attributes:
        digests: of each shard's rows: a file added, removed, touched or given another text.
        notes: about the sources: text, and whether it is a warning.
        rows: JSON lines of each shard; None once they are on disk.
    """

    digests: list[str]
    notes: list[tuple[str, bool]]
    rows: list[bytes] | None = None

    @property
    def shards(self) -> list[str]:
        """The names of the shards."""
        return [shard_name(i) for i in range(len(self.digests))]


def lines(rows: list[dict]) -> bytes:
    """A shard's rows as JSON lines; ASCII, because a file's name may hold what UTF-8 cannot."""
    return b"".join(map(_line, rows))


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"


def digest(rows: bytes) -> str:
    """Digest of a shard's rows."""
    return hashlib.sha256(rows).hexdigest()[:DIGEST_DIGITS]


def write(listing: Listing, folder: Path) -> bool:
    """Write a listing that has its rows, and drop them from memory.

    Args:
        folder: `results/corpora/<corpus>`.

    Returns:
        whether it differs from the stored one.

    Raises:
        UserError: it cannot be written, for example because the disk is full.
    """
    try:
        return _write(listing, folder)
    except OSError as error:
        what = no_space(error) or f"{error.filename}: cannot be written: {error.strerror}"
        raise UserError(what) from error


def _write(listing, folder):
    assert listing.rows is not None
    before = stored(folder)
    old = before.digests if before else []
    for i, (name, rows) in enumerate(zip(listing.shards, listing.rows, strict=True)):
        path = _rows_of(folder, name)
        if old[i : i + 1] != [listing.digests[i]] or not path.exists():
            write_atomic(path, rows)
    listing.rows = None
    changed = before != listing
    if changed:
        record = {"shards": listing.digests, "notes": listing.notes}
        write_atomic(folder / RECORD, json.dumps(record, indent=1) + "\n")
    return changed


def stored(folder: Path) -> Listing | None:
    """The listing of a corpus that was last written; None if there is none.

    Args:
        folder: `results/corpora/<corpus>`.
    """
    try:
        record = json.loads((folder / RECORD).read_bytes())
        return Listing(record["shards"], [(text, warns) for text, warns in record["notes"]])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def written(folder: Path) -> Listing:
    """The listing of a corpus that was last written.

    Raises:
        UserError: there is none.
    """
    found = stored(folder)
    if found is None:
        raise UserError(f"{folder / RECORD}: missing or damaged; {AGAIN}")
    return found


def read(folder: Path, shard: str, expected: str) -> list[dict]:
    """The rows of a shard.

    Args:
        folder: `results/corpora/<corpus>`.
        shard: its name.
        expected: the digest of its rows.

    Raises:
        UserError: the rows are missing or are not the expected ones. The record is removed, so that
            the next run writes them again.
    """
    path = _rows_of(folder, shard)
    rows = path.read_bytes() if path.is_file() else b""
    if digest(rows) != expected:
        (folder / RECORD).unlink(missing_ok=True)
        raise UserError(f"{path}: missing or changed since the corpus was listed; {AGAIN}")
    # split at line feeds only: JSON in ASCII has none in a string
    return [json.loads(line) for line in rows.split(b"\n") if line]


def _rows_of(folder, shard):
    return folder / "shards" / shard / ROWS


def report(listing: Listing, corpus: str, say: Callable[[str], None]) -> None:
    """Show how a corpus's sources were read, and keep the warnings for the report."""

    def show(text):
        say(f"[list {corpus}] {text}")

    handler = notices.Notices(notices.path_of("list", corpus), "list", show)
    log.addHandler(handler)
    try:
        for text, warns in listing.notes:
            if warns:
                log.warning("%s", text)
            else:
                show(text)
    finally:
        log.removeHandler(handler)
