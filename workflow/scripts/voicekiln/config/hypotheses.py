"""The model that transcribes a corpus: the recogniser, the acoustic model, or none."""

from collections.abc import Mapping
from typing import Any


def by_acoustic_model(corpus: Mapping[str, Any]) -> bool:
    """Whether the acoustic model transcribes segments without text, as no recogniser is set."""
    without = corpus["transcribe"]["model"] is None
    return without and corpus["align"]["acoustic_model"] is not None


def exist(corpus: Mapping[str, Any]) -> bool:
    """Whether hypotheses can locate the segments of a long recording in its text."""
    return corpus["transcribe"]["model"] is not None or by_acoustic_model(corpus)
