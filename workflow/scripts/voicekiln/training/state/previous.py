"""States of earlier runs in a training folder: moved aside, taken back, the longest one kept.

    previous/1/ ...  checkpoints (best and last), curves, metrics and fingerprint of an earlier run

A change of data, seed or batches makes another run. The state that is there is moved to a folder
of its own, and taken back when the change is undone. Two of them stay: the newest, and the one that
was trained longest, so that trying out settings never costs the result of days.

Files are moved one by one. A move that was cut off is completed by `finish`, from the hidden folder
that it goes through.
"""

import logging
from pathlib import Path

from voicekiln.training.state import checkpoints as state
from voicekiln.training.state import identity as fingerprint

log = logging.getLogger("train")

FOLDER = "previous"
ASIDE, BACK = ".previous.aside", ".previous.back"
MOVED = ("checkpoints", "tensorboard", "metrics.jsonl", "status.json", "progress.json")
MOVED += (fingerprint.FILE,)


def move_aside(directory: Path) -> Path:
    """Moves the state that is there to a new folder below `previous/`, and returns that."""
    (directory / ASIDE).mkdir()
    finish(directory)
    newest = found(directory)[0]
    log.warning(
        "the state of the earlier run (%d updates) is kept in %s; training continues from it if "
        "its settings and data come back",
        updates(newest),
        newest,
    )
    return newest


def take_back(directory: Path, earlier: Path) -> None:
    """Makes the state of an earlier run the current one, of which there must be none."""
    log.warning("the settings and data are those of %s: training continues from it", earlier)
    earlier.rename(directory / BACK)
    finish(directory)


def finish(directory: Path) -> None:
    """Completes a move that was cut off."""
    aside, back = directory / ASIDE, directory / BACK
    if aside.exists():
        for name in MOVED:
            if (directory / name).exists():
                (directory / name).rename(aside / name)
        state.prune(aside / "checkpoints", keep=0)
        numbers = [int(path.name) for path in found(directory)]
        (directory / FOLDER).mkdir(exist_ok=True)
        aside.rename(directory / FOLDER / str(max(numbers, default=0) + 1))
    if back.exists():
        for name in MOVED:
            if (back / name).exists():
                (back / name).rename(directory / name)
        state.remove(back)


def found(directory: Path) -> list[Path]:
    """Folders of earlier runs, newest first."""
    folder = directory / FOLDER
    if not folder.is_dir():
        return []
    numbered = [path for path in folder.iterdir() if path.name.isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name), reverse=True)


def updates(earlier: Path) -> int:
    """How many updates an earlier run was trained."""
    last = state.pointed(earlier / "checkpoints", "last")
    return last["update"] if last else 0


def tidy(directory: Path) -> None:
    """Removes all but the newest state and the one that was trained longest."""
    earlier = found(directory)
    if not earlier:
        return
    longest = max(earlier, key=updates)  # of equals the newest
    for folder in earlier[1:]:
        if folder != longest:
            log.warning(
                "%s (%d updates) is removed: of earlier runs the newest and the longest are kept",
                folder,
                updates(folder),
            )
            state.remove(folder)
    for leftover in (directory / FOLDER).glob(f".*{state.GONE}"):
        state.remove(leftover)
