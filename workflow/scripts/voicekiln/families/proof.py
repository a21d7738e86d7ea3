"""Proof of an exported voice: upstream's own code loads it and speaks with it."""

import contextlib
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from voicekiln.errors import UserError

log = logging.getLogger("export")


def proven(
    upstream: str,
    folder: Path,
    manifest: Mapping[str, Any],
    load_and_speak: Callable[[], tuple[str, np.ndarray]],
    rate_hz: int,
) -> float:
    """Seconds that upstream's code speaks with a voice.

    Args:
        upstream: name of the package.
        folder: of the voice.
        manifest: content of its MANIFEST.json.
        load_and_speak: returns the hash of the weights that upstream has loaded, and `[n]` samples.
        rate_hz: of the samples.

    Raises:
        UserError: upstream cannot load the files, finds other weights in them, or generates no
            valid audio.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):
            found, audio = load_and_speak()
    except Exception as error:  # upstream may raise anything
        raise UserError(
            f"{folder}: {upstream} cannot load the exported voice ({type(error).__name__}: "
            f"{' '.join(str(error).split())[:500]}); "
            "the training's checkpoints are untouched, please report this"
        ) from error
    if found != manifest["weights_sha256"]:
        raise UserError(
            f"{folder / manifest['checkpoint']}: {upstream} reads weights with the hash {found}, "
            f"but {manifest['weights_sha256']} were exported; please report this"
        )
    if not len(audio) or not np.isfinite(audio).all():
        raise UserError(
            f"{folder}: {upstream} generates no valid audio with it; please report this"
        )
    seconds = len(audio) / rate_hz
    log.info("%s loads the voice, finds the same weights and speaks %.2f s", upstream, seconds)
    return seconds
