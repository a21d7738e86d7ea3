"""The engines by name, and the files that a model consists of."""

from pathlib import Path

from voicekiln.asr.hypothesis import Recogniser
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file


def digest(model: Path, expected: str | None = None) -> str:
    """SHA-256 of a model's file.

    Raises:
        UserError: it is not the expected one.
    """
    found = sha256_file(model)
    if expected not in (None, found):
        raise UserError(f"{model}: SHA-256 is {found}, not {expected} as configured")
    return found


def load(model: Path, batch: int, device: str, word_times: bool) -> Recogniser:
    """The recogniser for a model's file."""
    from voicekiln.asr.whisper import WhisperRecogniser

    return WhisperRecogniser(model, batch, device, word_times)


def version(model: Path) -> list:
    """Engine that a model is heard with, and its version: part of the transcripts' keys."""
    from voicekiln.asr import whisper

    return ["whisper", whisper.VERSION]
