"""Names in lists, and the files that they refer to.

Names are compared as they are written first; then in one Unicode form (files from a Mac are in NFD,
lists mostly in NFC) and with Windows' separators; then without case; then without the suffix.
"""

import os
import re
import unicodedata
from collections.abc import Iterable

from voicekiln.audio.suffixes import AUDIO_SUFFIXES
from voicekiln.errors import UserError

DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
# folders beside a list in which its files may be
BESIDE = ("clips", "wavs", "wav", "audio", "flac", "mp3", "recordings")


def printable(name: str) -> str:
    """A file name that can be stored as text; bytes outside UTF-8 become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def speaker(name: str) -> str:
    """A speaker's name as tables store it: in NFC, so that equal names compare equal."""
    return unicodedata.normalize("NFC", printable(name))


def slashes(name: str) -> str:
    """A path with the separators of this system, without `./` and doubled ones."""
    return os.path.normpath(name.replace("\\", "/"))


def tidy(name: str) -> str:
    """A path without `./` and doubled separators."""
    return os.path.normpath(name) if name.startswith("./") or "//" in name else name


def stem(name: str) -> str:
    """A name without the suffix of an audio file."""
    root, suffix = os.path.splitext(name)
    return root if suffix.lower() in AUDIO_SUFFIXES else name


def bare(name: str) -> str:
    """A path's last part, without the suffix of an audio file."""
    return stem(os.path.basename(slashes(name)))


def one_form(name: str) -> str:
    """A name in NFC, with the separators of this system."""
    if "\\" in name:
        name = slashes(name)
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def any_case(name: str) -> str:
    """A name in one form and without case."""
    return unicodedata.normalize("NFC", one_form(name).casefold())


def other_suffix(name: str) -> str:
    """A name without case and suffix."""
    return any_case(stem(name))


def last_part(name: str) -> str:
    """The last part of a name without case and suffix."""
    return any_case(bare(name))


# ways to compare names, strictest first, and what to report about names that match only that way
WAYS = (
    (str, None),
    (one_form, None),
    (any_case, "match a recording only if case is ignored"),
    (other_suffix, "have a different suffix from the recording"),
    (last_part, "match a recording only by the last part of their path"),
)


def match(names: Iterable[str], forms: list[list[str]]):
    """The recordings that each name of a list refers to.

    Args:
        names: the names in the list.
        forms: the names that each recording may have, most exact first.

    Returns:
        the indices of the recordings that each name matches; and, for each looser way in which
        names match, what to report, how many names, and an example.
    """
    left = dict.fromkeys(names)
    free = list(range(len(forms)))
    takers: dict[str, list[int]] = {}
    looser: list[tuple[str, int, str]] = []
    for way, about in WAYS:
        if not left or not free:
            break
        index: dict[str, list[str]] = {}
        for name in left:
            index.setdefault(way(name), []).append(name)
        found: dict[str, list[int]] = {}
        for i in free:
            key = next((key for form in forms[i] if (key := way(form)) in index), None)
            if key is not None and (about is None or len(index[key]) == 1):
                for name in index[key]:
                    found.setdefault(name, []).append(i)
        if found and about:
            first = min(found)
            looser.append((about, len(found), f"{first!r}, {forms[found[first][0]][0]!r}"))
        takers |= found
        taken = {i for group in found.values() for i in group}
        free = [i for i in free if i not in taken]
        left = {name: None for name in left if name not in found}
    return takers, looser


class Folder:
    """Finds the files that names in a list refer to; reads each folder once.

    Args:
        path: the list's folder.
    """

    def __init__(self, path: str):
        self.path = path
        self._held: dict[str, list[str]] = {}
        self._index: dict[tuple[str, int], dict[str, list[str]]] = {}
        self._beside: tuple[str, ...] | None = None

    def find(self, name: str) -> str | None:
        """Path of the file that a name refers to, relative to the list's folder; None if missing.

        Raises:
            UserError: it matches several.
        """
        if os.path.isfile(os.path.join(self.path, name)):
            return tidy(name)
        if self._beside is None:
            self._beside = tuple(d for d in BESIDE if os.path.isdir(os.path.join(self.path, d)))
        name = slashes(name)
        inside = () if os.path.isabs(name) else self._beside
        for path in (name, *(os.path.join(folder, name) for folder in inside)):
            found = self._walk(path)
            if found is not None:
                return found
        return None

    def holds(self, name: str) -> bool:
        """Whether there is a file of that name."""
        try:
            return not os.path.isabs(name) and self.find(name) is not None
        except UserError:
            return True

    def _walk(self, path):
        """`path` with each part spelt as on disk."""
        *folders, last = path.split("/")
        here = "/" if path.startswith("/") else ""
        for folder in folders:
            if folder:
                there = folder if folder in (".", "..") else self._spelt(here, folder, 3)
                if there is None:
                    return None
                here = os.path.join(here, there)
        found = self._spelt(here, last, len(WAYS) - 1)
        return found and os.path.join(here, found)

    def _spelt(self, folder, name, n_ways):
        for n, (way, _) in enumerate(WAYS[:n_ways]):
            if n == 0:
                if os.path.exists(os.path.join(self.path, folder, name)):
                    return name
                continue
            found = self._by(folder, n).get(way(name), [])
            if n == len(WAYS) - 2:
                found = [name for name in found if stem(name) != name]
            if len(found) > 1:
                shown = ", ".join(found[:3])
                raise UserError(f"{name!r} matches {len(found)} files ({shown})")
            if found:
                return found[0]
        return None

    def _by(self, folder, n):
        """The names in a folder, by the form in which the n-th way compares them."""
        if (folder, n) not in self._index:
            if folder not in self._held:
                try:
                    self._held[folder] = sorted(os.listdir(os.path.join(self.path, folder) or "."))
                except OSError:
                    self._held[folder] = []
            index: dict[str, list[str]] = {}
            for name in self._held[folder]:
                index.setdefault(WAYS[n][0](name), []).append(name)
            self._index[folder, n] = index
        return self._index[folder, n]
