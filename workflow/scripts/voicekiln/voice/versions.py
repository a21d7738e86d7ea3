"""Exported voices of a run: all are kept, and `export/` holds the newest.

    voices/<update>-<weights>/   one per set of weights, with its MANIFEST.json
    voices/newest.json           which of them `export/` holds, and its files
    export/                      hard links to its files (copies if the file system has none)

`export/MANIFEST.json` is a declared output, which Snakemake deletes before it exports again. It
is a copy, so that no file of a kept voice is deleted with it.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from voicekiln.store.files import (
    atomic_folder,
    link,
    read_json,
    restore_folders,
    write_atomic,
    write_json,
)
from voicekiln.voice.manifest import NAME as MANIFEST

NEWEST = "newest.json"


def name_of(update: int, weights_sha256: str) -> str:
    """Folder name of a voice, by update and weights."""
    return f"{update}-{weights_sha256[:12]}"


@contextmanager
def writing(run: Path, name: str) -> Iterator[Path]:
    """An empty folder that becomes `voices/<name>` when the block ends.

    After an error, the voice of that name is as it was before. After a kill it may lie in a hidden
    folder, from which the next call restores it; the files in `export/` are not affected.
    """
    target = run / "voices" / name
    restore_folders(target.parent)
    for left in target.parent.glob(".*"):  # by an export that was killed
        shutil.rmtree(left) if left.is_dir() else left.unlink()
    with atomic_folder(target) as part:
        yield part


def show(run: Path, name: str) -> None:
    """Put the voice `name` into `export/`; files that no export wrote stay there."""
    voice, export = run / "voices" / name, run / "export"
    export.mkdir(parents=True, exist_ok=True)
    (export / MANIFEST).unlink(missing_ok=True)
    manifest = (voice / MANIFEST).read_bytes()
    files = [file["path"] for file in json.loads(manifest)["files"]]
    for path in set(_record(run).get("files", ())) - set(files):
        (export / path).unlink(missing_ok=True)
    for path in files:
        link(voice / path, export / path)
    for folder in sorted((f for f in export.rglob("*") if f.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
    write_json(run / "voices" / NEWEST, {"voice": name, "files": files})
    write_atomic(export / MANIFEST, manifest)


def newest(run: Path) -> str | None:
    """Name of the voice in `export/`; None before the first export."""
    return _record(run).get("voice")


def _record(run):
    return read_json(run / "voices" / NEWEST) or {}


def old(run: Path) -> dict[Path, int]:
    """Size in bytes of each kept voice of a run that is not in `export/`."""
    shown = newest(run)
    return {
        folder: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in sorted((run / "voices").glob("[!.]*"))
        if folder.is_dir() and folder.name != shown
    }
