"""Download files with a known hash."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from voicekiln.errors import UserError
from voicekiln.store.files import atomic

BLOCK_BYTES = 4 << 20


def fetch(
    url: str,
    sha256: str,
    target: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Download `url` to `target`, which appears only if complete and with the expected hash.

    Args:
        url: address of the file.
        sha256: expected hash, hex.
        target: file to write.
        progress: called after each block with the bytes done and in total (0: unknown).

    Raises:
        UserError: the download failed, or the content differs.
    """
    digest = hashlib.sha256()
    done = 0
    try:
        with atomic(target) as part:
            with urllib.request.urlopen(url, timeout=60) as source, open(part, "wb") as file:
                total = int(source.headers.get("Content-Length") or 0)
                while block := source.read(BLOCK_BYTES):
                    digest.update(block)
                    file.write(block)
                    done += len(block)
                    progress(done, total)
            if digest.hexdigest() != sha256:
                raise UserError(
                    f"{target.name}: SHA-256 is {digest.hexdigest()}, expected {sha256}; "
                    "run again, and if the error persists, do not use this file"
                )
    except (urllib.error.URLError, OSError) as error:
        raise UserError(
            f"{target.name}: download failed ({error}). Download it on a machine with network "
            "access and set its path in the configuration."
        ) from error
