"""The vocoder that a run's configuration names: its files and their content."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from voicekiln.families import facts
from voicekiln.families.facts import Vocoder
from voicekiln.provenance import canonical, require_sha256, sha256_file

Located = Callable[[str], str]  # location of a path in the configuration


def files(folder: str | None, vocoder: Vocoder | None) -> list[str]:
    """The files of a vocoder; none without a folder.

    Args:
        folder: as the configuration names it.
        vocoder: what the run's family declares.
    """
    if folder is None or vocoder is None:
        return []
    return [str(Path(folder, name)) for name in vocoder.files]


def run_files(run: Mapping[str, Any], located: Located) -> list[str]:
    """The files of the vocoder that a run names, if any."""
    return files(run["vocoder"] and located(run["vocoder"]), facts.of(run["family"]).vocoder)


def run_content(run: Mapping[str, Any], located: Located) -> dict[str, str] | None:
    """SHA-256 of these files, or None; a new file may have an old modification time.

    Raises:
        UserError: the weights have another hash than the run expects.
    """
    if run["vocoder"] is None:
        return None
    vocoder = facts.of(run["family"]).vocoder
    return canonical(content(located(run["vocoder"]), vocoder, run["vocoder_sha256"]))


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
