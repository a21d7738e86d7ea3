"""The vocoder that a run's configuration names: its files, and what is in them."""

from functools import cache
from pathlib import Path

from voicekiln.provenance import require_sha256, sha256_file

WEIGHTS = "pytorch_model.bin"
NAMES = ("config.yaml", WEIGHTS)


def files(folder: str | None) -> list[str]:
    """The files that a vocoder is made of; none without a folder."""
    return [] if folder is None else [str(Path(folder, name)) for name in NAMES]


@cache
def content(folder: str, expected: str | None) -> dict[str, str]:
    """SHA-256 of each file, so that other weights under the same path are another vocoder.

    Args:
        folder: with the files of `NAMES`.
        expected: SHA-256 that the weights must have; None accepts any.

    Raises:
        UserError: the weights have another hash.
    """
    require_sha256(Path(folder, WEIGHTS), expected, "vocoder_sha256")
    return {Path(path).name: sha256_file(path) for path in files(folder)}
