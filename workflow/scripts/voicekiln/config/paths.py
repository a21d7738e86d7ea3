"""Paths in the configuration."""

import os
from pathlib import Path

# values of a corpus's `transcripts` that are not paths
TRANSCRIPT_WORDS = (None, "sidecar", "ignore")


def locate(path: str, basedir: Path) -> str:
    """Location of a path in the configuration.

    Relative paths start at the working directory; shipped files (`resources/...`) are found next
    to the workflow if the working directory has no such file. `~` is the home folder.
    """
    path = os.path.expanduser(path)
    if os.path.isabs(path) or os.path.exists(path):
        return path
    shipped = Path(basedir) / path
    if Path(path).parts[:1] == ("resources",) and os.path.exists(shipped):
        return str(shipped)
    return path
