"""Small files, replaced as a whole."""

import errno
import os
import secrets
import shutil
import socket
from pathlib import Path

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a small file so that a reader sees the old or the new content, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary(path)
    part.write_bytes(data.encode() if isinstance(data, str) else data)
    os.replace(part, path)


def temporary(path: Path) -> Path:
    """A name beside `path` that no other writer on any host uses."""
    return path.with_name(f".{path.name}.{unique_name()}{path.suffix}")


def unique_name() -> str:
    """A name that no other process on any host uses."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def no_space(error: BaseException | None) -> str | None:
    """What to do about an error that comes from a full disk or a used-up quota; None for others."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_SPACE:
            where = Path(error.filename).parent if error.filename else Path.cwd()
            free_mb = shutil.disk_usage(where).free / 1e6 if where.is_dir() else 0.0
            what = f"{error.filename}: " if error.filename else ""
            return (
                f"{what}{os.strerror(error.errno)}; {free_mb:.0f} MB are free for {where}. Free "
                "some, or run `snakemake gc`, which lists what the store no longer needs; then run "
                "snakemake again, everything that was finished is kept"
            )
        error = error.__cause__ or error.__context__
    return None
