"""librosa, whose functions numba compiles at first use and keeps in files beside it.

numba writes a generalised ufunc in two parts. Two processes that compile it at the same time can
leave parts that do not belong together, and from then on every process that calls the function
dies of a segmentation fault. So one process at a time imports and compiles what is used here:
import librosa from this module.
"""

import fcntl
import importlib.util
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


@contextmanager
def _one_process() -> Iterator[None]:
    """Wait for other processes in here, also on other hosts that share the installation."""
    folder = Path(importlib.util.find_spec("librosa").origin).parent
    try:
        file = open(folder / ".compiling.lock", "a")
    except OSError:  # read-only: numba keeps its files elsewhere, and other users' are not shared
        file = open(Path(tempfile.gettempdir(), f"librosa-{Path.home().name}.lock"), "a")
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


with _one_process():
    import librosa

    _tone = np.sin(np.arange(4096, dtype=np.float32) / 8)
    librosa.yin(_tone, fmin=60, fmax=500, sr=8000, frame_length=512)
    librosa.griffinlim(np.abs(librosa.stft(_tone, n_fft=512)), n_iter=1, n_fft=512)

__all__ = ["librosa"]
