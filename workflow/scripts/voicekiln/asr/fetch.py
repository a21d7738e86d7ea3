"""Downloads with a known hash."""

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from voicekiln.errors import UserError
from voicekiln.store.files import atomic

BLOCK_BYTES = 4 << 20


def fetch(
    url: str, sha256: str, target: Path, say: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Download `url` to `target`, which appears only when it is whole and has that hash.

    Args:
        url: address.
        sha256: expected, hex.
        target: file to write.
        say: called after each block with bytes done and bytes in all (0: unknown).

    Raises:
        UserError: no connection, or another content than expected.
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
                    say(done, total)
            if digest.hexdigest() != sha256:
                raise UserError(
                    f"{target.name}: SHA-256 is {digest.hexdigest()}, expected {sha256}; "
                    "run again, and if it stays so do not use this file"
                )
    except (urllib.error.URLError, OSError) as error:
        raise UserError(
            f"{target.name}: could not be downloaded ({error}). Fetch it on a machine with network "
            "and give its path in the configuration."
        ) from error
