"""Files and folders that are replaced as a whole, and JSON in them."""

import errno
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
REPLACED = ".replaced"  # suffix of a folder's old content during its replacement


def unique_name() -> str:
    """A name that no other process on any host uses."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def temporary(path: Path) -> Path:
    """A hidden name next to `path`, with its suffix, that no other writer on any host uses."""
    return path.with_name(f".{path.name}.{unique_name()}{path.suffix}")


@contextmanager
def atomic(path: Path, sync: bool = False) -> Iterator[Path]:
    """A temporary path whose file replaces `path` when the block ends.

    After an error or a kill, `path` is unchanged.

    Args:
        path: file to replace; its folder is created if missing.
        sync: whether the file must survive a power cut once the block has ended.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    try:
        part.touch()
        mode = part.stat().st_mode
        yield part
        part.chmod(mode)  # safetensors creates files that only their owner can read
        if sync:
            fsync(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    if sync:
        fsync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """An empty temporary folder that replaces the folder `path` when the block ends.

    After an error, `path` is unchanged. A kill between the two renames of the replacement leaves
    the old content in a hidden folder, from which the next `atomic_folder` or `restore_folder`
    restores it.
    """
    restore_folder(path)
    part, old = temporary(path), replaced(path)
    part.mkdir(parents=True)
    try:
        yield part
        if path.exists():
            os.rename(path, old)
        os.rename(part, path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        restore_folder(path)


def restore_folder(path: Path) -> None:
    """Finish, or undo, a replacement of the folder `path` that `atomic_folder` did not finish."""
    old = replaced(path)
    if old.exists():
        shutil.rmtree(old) if path.exists() else os.rename(old, path)


def restore_folders(parent: Path) -> None:
    """`restore_folder` for each folder in `parent`."""
    for old in sorted(parent.glob(f".*{REPLACED}")):
        restore_folder(parent / old.name[1 : -len(REPLACED)])


def replaced(path: Path) -> Path:
    """The hidden folder that holds the old content while `path` is replaced."""
    return path.with_name(f".{path.name}{REPLACED}")


def write_atomic(path: Path, data: bytes | str, sync: bool = False) -> None:
    """Write a small file so that a reader finds the old or the new content, never a part."""
    with atomic(path, sync) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def link(source: Path, target: Path) -> int:
    """Replace `target` by a hard link to `source`, or by a copy if links are not possible.

    Returns:
        number of bytes that were copied.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(target)
    copied = 0
    try:
        os.link(source, part)
    except OSError:
        shutil.copyfile(source, part)
        copied = part.stat().st_size
    os.replace(part, target)
    part.unlink(missing_ok=True)  # os.replace leaves it if both are links to one file
    return copied


def fsync(path: Path) -> None:
    """Flush a file or a folder to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, content: Any, sort_keys: bool = False, sync: bool = False) -> None:
    """Write a JSON file, atomically."""
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=sort_keys) + "\n"
    with atomic(path, sync) as part:
        part.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any:
    """Content of a JSON file; None if it is missing or incomplete."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def write_jsonl(path: Path, rows: Iterable[Any], sort_keys: bool = False) -> None:
    """Write a JSONL file, one row per line, atomically."""
    lines = (json.dumps(row, ensure_ascii=False, sort_keys=sort_keys) + "\n" for row in rows)
    write_atomic(path, "".join(lines))


def read_jsonl(path: Path) -> list[Any]:
    """Rows of a JSONL file, up to the first incomplete line; [] if it is missing.

    A writer that was killed leaves an incomplete last line.
    """
    if not path.exists():
        return []
    rows = []
    # split at line feeds only: texts may contain other characters that `splitlines` splits at
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        if line:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
    return rows


def no_space(error: BaseException | None) -> str | None:
    """Error message with remedy for a full disk or an exhausted quota; None for other errors."""
    seen: set[int] = set()  # a chain of causes may be a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            where = Path(error.filename).parent if error.filename else Path.cwd()
            free_mb = shutil.disk_usage(where).free / 1e6 if where.is_dir() else 0.0
            what = f"{error.filename}: " if error.filename else ""
            return (
                f"{what}{os.strerror(error.errno)}; {free_mb:.0f} MB are free for {where}. "
                "Free some space, or run `snakemake gc`, which lists unused items of the store; "
                "then run snakemake again: finished work is kept"
            )
        error = error.__cause__ or error.__context__
    return None
