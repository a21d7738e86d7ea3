"""Texts in files of their own beside the recordings: `a.wav` and `a.txt`, `a.srt`, ..."""

import os
from pathlib import Path

from voicekiln.corpus import subtitles
from voicekiln.errors import UserError

# in this order, where there are several
SUFFIXES = (".srt", ".vtt", ".textgrid", ".txt", ".lab")


class Finder:
    """Looks for sidecars, once in each folder."""

    def __init__(self):
        self._folders: dict[str, dict[tuple[str, str], str]] = {}

    def __call__(self, path: str) -> str | None:
        """The sidecar of a recording's path, or None."""
        folder, name = os.path.split(path)
        if folder not in self._folders:
            self._folders[folder] = _beside(folder)
        stem = os.path.splitext(name)[0]
        names = (self._folders[folder].get((stem, suffix)) for suffix in SUFFIXES)
        found = next((name for name in names if name), None)
        return found and os.path.join(folder, found)

    def seen(self) -> set[str]:
        """All sidecars in the folders that were looked into."""
        folders = self._folders.items()
        return {os.path.join(folder, name) for folder, held in folders for name in held.values()}


def _beside(folder):
    """Names of the sidecars in a folder by stem and suffix."""
    try:
        names = sorted(os.listdir(folder or "."), reverse=True)  # the first of a and A wins
    except OSError:  # of a recording that is not there either
        return {}
    split = ((name, *os.path.splitext(name)) for name in names)
    return {(stem, end.lower()): name for name, stem, end in split if end.lower() in SUFFIXES}


def read(path: Path, tier: str | None) -> list[dict] | None:
    """The known text of a sidecar, `{"start_s", "end_s", "text"}` each; None where it is empty.

    Args:
        tier: of TextGrids, see `subtitles.read`.

    Raises:
        UserError: it cannot be read as what it should be.
    """
    if path.suffix.lower() in subtitles.SUFFIXES:
        return subtitles.read(path, tier) or None
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text ({error}). Save it as UTF-8.") from error
    return [{"start_s": None, "end_s": None, "text": text}] if text else None
