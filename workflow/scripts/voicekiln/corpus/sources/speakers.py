"""Who speaks in a recording, as far as its folders say."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cache

# words of folders that say what the audio is, or which part of a data set, and not who speaks
GENERIC = frozenset(
    "wav wavs audio audios clip clips flac flacs mp mp3s ogg oggs opus raw recording recordings "
    "data dataset datasets corpus corpora sound sounds speech sample samples segments utterances "
    "file files source processed normalized resampled voices store home mnt media tmp mic khz hz "
    "librispeech libritts vctk "
    "train training dev devel development test testing val valid validation validated invalidated "
    "eval evaluation holdout other".split()
)
# these say nothing beside one of those: train-clean-100, LibriTTS_R, wav48_silence_trimmed
BESIDE = frozenset("clean set split r silence trimmed s".split())
WORD = re.compile(r"(?P<rate>\d+k(?:hz)?(?![^\W\d_]))|\d+|[^\W\d_]+")


@cache
def says_nothing(folder: str) -> bool:
    """Whether a folder's name tells nothing about the speaker, as `wavs`, `train-clean-100`."""
    words = ["khz" if match["rate"] else match[0] for match in WORD.finditer(folder.lower())]
    if not words:  # "." and ".."
        return True
    if not any(word in GENERIC for word in words):
        return False
    return all(word in GENERIC or word in BESIDE or word.isdigit() for word in words)


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
    """Note if all recordings would be of one speaker named by their outermost folder, and folders
    below it may name the speakers.

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
