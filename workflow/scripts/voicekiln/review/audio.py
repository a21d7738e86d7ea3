"""Audio of the review page: waveforms as short texts, and recordings next to the page."""

import base64
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from voicekiln.store.files import link

POINTS = 200  # per waveform, independent of its length
VERSION = 1  # of `waveform`


def waveform(file: soundfile.SoundFile, start: int, end: int) -> str:
    """Peaks of `POINTS` equal parts of `[start, end)`, one byte each (255: full scale), as base64.

    Raises:
        EOFError: the file ends before `end`.
    """
    file.seek(start)
    samples = file.read(end - start, dtype="int16")
    if len(samples) != end - start:
        raise EOFError(f"ends before sample {end}")
    if not len(samples):
        samples = np.zeros(1, np.int16)
    edges = np.linspace(0, len(samples), POINTS + 1).astype(int)
    # if there are fewer samples than points, some repeat
    first = np.minimum(edges[:-1], len(samples) - 1)
    peaks = np.maximum.reduceat(np.abs(samples.astype(np.int32)), first)
    return base64.b64encode(np.minimum(peaks >> 7, 255).astype(np.uint8).tobytes()).decode()


def place(folder: Path, sources: Iterable[Path]) -> int:
    """Link recordings next to the page as `folder/ab/<name>`, and remove those of an older page.

    Hard links to the store's files take no space, browsers seek in them, and a copy of the folder
    is complete. If the file system has no hard links, the files are copied.

    Returns:
        number of bytes copied.
    """
    copied = 0
    wanted = {folder / source.name[:2] / source.name: source for source in sources}
    for target, source in wanted.items():
        if target.exists() and target.samefile(source):
            continue
        copied += link(source, target)
    for path in folder.glob("*/*"):
        if path not in wanted:
            path.unlink()
    return copied
