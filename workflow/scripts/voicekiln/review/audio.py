"""Sound for the review page: waveforms as short texts, and recordings beside the page."""

import base64
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from voicekiln.store.files import link

POINTS = 200  # of a waveform, whatever its length
VERSION = 1  # of `waveform`


def waveform(file: soundfile.SoundFile, start: int, end: int) -> str:
    """Peaks of `POINTS` equal stretches of `[start, end)`, a byte each (255: full scale), base64.

    Raises:
        EOFError: the file ends before.
    """
    file.seek(start)
    samples = file.read(end - start, dtype="int16")
    if len(samples) != end - start:
        raise EOFError(f"ends before sample {end}")
    if not len(samples):
        samples = np.zeros(1, np.int16)
    edges = np.linspace(0, len(samples), POINTS + 1).astype(int)
    # a span of fewer samples than points repeats some
    first = np.minimum(edges[:-1], len(samples) - 1)
    peaks = np.maximum.reduceat(np.abs(samples.astype(np.int32)), first)
    return base64.b64encode(np.minimum(peaks >> 7, 255).astype(np.uint8).tobytes()).decode()


def place(folder: Path, sources: Iterable[Path]) -> int:
    """Put recordings beside the page as `folder/ab/<name>`, and take away those of an older page.

    They are hard links to the store's files: no bytes are spent, browsers seek in them, and a copy
    of the folder is whole. Where the file system has no links they are copied.

    Returns:
        number of bytes that had to be copied.
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
