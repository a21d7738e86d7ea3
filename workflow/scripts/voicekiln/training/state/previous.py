"""States of earlier runs in a training folder: moved aside, restored, the longest one kept.

    previous/1/ ...  checkpoints (best and last), curves, metrics and identity of an earlier run

A change of data, seed or batches makes another run. The existing state is then moved to a folder of
its own, and restored when the change is undone. Two of them stay: the newest, and the one with most
updates, so that trying out settings never costs the result of days.

Files are moved one by one. An interrupted move is completed by `finish`, from the hidden folder
that it goes through.
"""

import logging
from pathlib import Path

from voicekiln.training.state import checkpoints, identity

log = logging.getLogger("train")

FOLDER = "previous"
ASIDE, BACK = ".previous.aside", ".previous.back"
MOVED = ("checkpoints", "tensorboard", "metrics.jsonl", "status.json", "progress.json")
MOVED += (identity.FILE,)


def move_aside(directory: Path) -> Path:
    """Move the state to a new folder below `previous/`, which is returned."""
    (directory / ASIDE).mkdir()
    finish(directory)
    newest = found(directory)[0]
    log.warning(
        "the state of the earlier run (%d updates) is kept in %s; training continues from it if "
        "its settings and data are restored",
        updates(newest),
        newest,
    )
    return newest


def restore(directory: Path, earlier: Path) -> None:
    """Make the state of an earlier run the current one; there must be no other."""
    log.warning("settings and data are those of %s again: training continues from it", earlier)
    earlier.rename(directory / BACK)
    finish(directory)


def finish(directory: Path) -> None:
    """Complete an interrupted move."""
    aside, back = directory / ASIDE, directory / BACK
    if aside.exists():
        for name in MOVED:
            if (directory / name).exists():
                (directory / name).rename(aside / name)
        checkpoints.prune(aside / "checkpoints", keep=0)
        numbers = [int(path.name) for path in found(directory)]
        (directory / FOLDER).mkdir(exist_ok=True)
        aside.rename(directory / FOLDER / str(max(numbers, default=0) + 1))
    if back.exists():
        for name in MOVED:
            if (back / name).exists():
                (back / name).rename(directory / name)
        checkpoints.remove(back)


def found(directory: Path) -> list[Path]:
    """Folders of earlier runs, newest first."""
    folder = directory / FOLDER
    if not folder.is_dir():
        return []
    numbered = [path for path in folder.iterdir() if path.name.isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name), reverse=True)


def updates(earlier: Path) -> int:
    """Updates done by an earlier run."""
    last = checkpoints.pointed(earlier / "checkpoints", "last")
    return last["update"] if last else 0


def tidy(directory: Path) -> None:
    """Remove all but the newest state and the one with most updates."""
    earlier = found(directory)
    if not earlier:
        return
    longest = max(earlier, key=updates)  # the newest of equals
    for folder in earlier[1:]:
        if folder != longest:
            log.warning(
                "%s (%d updates) is removed: only the newest and the longest earlier run are kept",
                folder,
                updates(folder),
            )
            checkpoints.remove(folder)
    for leftover in (directory / FOLDER).glob(f".*{checkpoints.GONE}"):
        checkpoints.remove(leftover)
