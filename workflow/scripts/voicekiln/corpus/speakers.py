"""Who speaks in a recording, as far as its folders say."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cache

# folders that say how or what the audio is, not whose
GENERIC = re.compile(
    r"(?:wavs?|audios?|clips?|flacs?|mp3s?|oggs?|opus|raw|recordings?|data|dataset|datasets|corpus|"
    r"corpora|sounds?|speech|samples?|segments?|utterances?|files?|source|processed|normalized|"
    r"resampled|voices?|store|home|mnt|media|tmp|librispeech|libritts(?:[-_]r)?|vctk(?:-corpus.*)?|"
    r"wav\d+(?:k|khz)?(?:_silence_trimmed)?|(?:8|16|22|24|32|44|48)_?k(?:hz)?|\d{4,6}hz|mic[12]|"
    r"\.{1,2})",
    re.I,
)
# parts of a data set, as train-clean-100, dev_other, test2
SPLIT = re.compile(
    r"(?:train|training|dev|devel|test|testing|val|valid|validation|validated|invalidated|eval|"
    r"evaluation|other|holdout)(?:[-_ .]?(?:\d+|set|clean|other|data|split|set\d)){0,4}",
    re.I,
)


@cache
def says_nothing(folder: str) -> bool:
    """Whether a folder of that name is that of no speaker."""
    return bool(GENERIC.fullmatch(folder) or SPLIT.fullmatch(folder))


def of_folders(path: str) -> list[str]:
    """The folders of a recording that may name a speaker, from the outside in."""
    if "/" not in path:
        return []
    return [part for part in path.split("/")[:-1] if not says_nothing(part)]


def below_common_root(paths: Sequence[str]) -> dict[str, str]:
    """Each path from the deepest folder that all of them are in.

    Paths that lead out of their list's folder begin with folders that the user did not name.
    """
    outside = [path for path in paths if path.startswith("../")]
    if not outside:
        return {path: path for path in paths}
    root = os.path.commonpath([os.path.dirname(path) or "." for path in outside])
    return {path: os.path.relpath(path, root) if path.startswith("../") else path for path in paths}


def note_a_wrapper(found: Sequence[Sequence[str]], note: Callable[[str], None]) -> None:
    """Say so where all recordings would be of one speaker named by their outermost folder, and
    folders below it may name the speakers.

    Args:
        found: the folders of each recording, `of_folders`.
    """
    outermost = {folders[0] for folders in found if folders}
    below = {folders[1] for folders in found if len(folders) > 1}
    if len(outermost) == 1 and len(below) > 1 and all(found):
        (speaker,) = outermost
        first, second = sorted(below)[:2]
        note(
            f"all {len(found)} recordings are in the folder {speaker} and are taken to be of one "
            f"speaker; if the folders below it ({first}, {second}, ...) are the speakers, give "
            "that folder as `audio`, or set path_pattern"
        )
