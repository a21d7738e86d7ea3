"""Small files, replaced as a whole."""

import os
import secrets
import socket
from pathlib import Path


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
