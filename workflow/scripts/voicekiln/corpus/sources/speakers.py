"""The speaker of a recording, as far as its folders name one."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cache

# words of folder names that describe the audio or a part of a data set, not a speaker
GENERIC = frozenset(
    "wav wavs audio audios clip clips flac flacs mp mp3s ogg oggs opus raw recording recordings "
    "data dataset datasets corpus corpora sound sounds speech sample samples segments utterances "
    "file files source processed normalized resampled voices store home mnt media tmp mic khz hz "
    "librispeech libritts vctk "
    "train training dev devel development test testing val valid validation validated invalidated "
    "eval evaluation holdout other".split()
)
# these name nobody next to one of those: train-clean-100, LibriTTS_R, wav48_silence_trimmed
BESIDE = frozenset("clean set split r silence trimmed s".split())
WORD = re.compile(r"(?P<rate>\d+k(?:hz)?(?![^\W\d_]))|\d+|[^\W\d_]+")


@cache
def is_generic(folder: str) -> bool:
    """Whether a folder's name cannot be a speaker's, such as `wavs` or `train-clean-100`."""
    words = ["khz" if match["rate"] else match[0] for match in WORD.finditer(folder.lower())]
    if not words:  # "." and ".."
        return True
    if not any(word in GENERIC for word in words):
        return False
    return all(word in GENERIC or word in BESIDE or word.isdigit() for word in words)


def of_folders(path: str) -> list[str]:
    """The folders of a recording that may name a speaker, outermost first."""
    if "/" not in path:
        return []
    return [part for part in path.split("/")[:-1] if not is_generic(part)]


def below_common_root(paths: Sequence[str]) -> dict[str, str]:
    """Each path, relative to the deepest common folder if paths lead out of their list's folder.

    The folders above that one were not named by the user.
    """
    outside = [path for path in paths if path.startswith("../")]
    if not outside:
        return {path: path for path in paths}
    root = os.path.commonpath([os.path.dirname(path) or "." for path in outside])
    return {path: os.path.relpath(path, root) if path.startswith("../") else path for path in paths}


def note_a_wrapper(found: Sequence[Sequence[str]], note: Callable[[str], None]) -> None:
    """Warn if one outermost folder would name the speaker of all recordings, and folders below it
    may name the speakers.

    Args:
        found: the folders of each recording, from `of_folders`.
    """
    outermost = {folders[0] for folders in found if folders}
    below = {folders[1] for folders in found if len(folders) > 1}
    if len(outermost) == 1 and len(below) > 1 and all(found):
        (speaker,) = outermost
        first, second = sorted(below)[:2]
        note(
            f"all {len(found)} recordings are in the folder {speaker} and are assigned to one "
            f"speaker; if the folders below it ({first}, {second}, ...) are speakers, set `audio` "
            "to that folder, or set path_pattern"
        )
