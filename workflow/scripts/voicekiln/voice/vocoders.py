"""The vocoder that a run's configuration names: its files and their content."""

from functools import cache
from pathlib import Path

from voicekiln.families.facts import Vocoder
from voicekiln.provenance import require_sha256, sha256_file


def files(folder: str | None, vocoder: Vocoder | None) -> list[str]:
    """The files of a vocoder; none without a folder.

    Args:
        folder: as the configuration names it.
        vocoder: what the run's family declares.
    """
    if folder is None or vocoder is None:
        return []
    return [str(Path(folder, name)) for name in vocoder.files]


@cache
def content(folder: str, vocoder: Vocoder, expected: str | None) -> dict[str, str]:
    """SHA-256 of each file, so that other weights under the same path are another vocoder.

    Args:
        folder: with the vocoder's files.
        vocoder: what the run's family declares.
        expected: SHA-256 that the weights must have; None accepts any.

    Raises:
        UserError: the weights have another hash.
    """
    require_sha256(Path(folder, vocoder.weights), expected, "vocoder_sha256")
    return {Path(path).name: sha256_file(path) for path in files(folder, vocoder)}
