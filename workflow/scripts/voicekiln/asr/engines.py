"""The engines by the form of a model: a folder is CTranslate2's, a file is openai-whisper's."""

from pathlib import Path

from voicekiln.asr.hypothesis import Recogniser
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, sha256_json


def is_folder(model: Path) -> bool:
    """Whether a model is a folder in CTranslate2's format, named by its `model.bin`."""
    return Path(model).name == "model.bin"


def digest(model: Path, expected: str | None = None) -> str:
    """SHA-256 of a model: of the file, or of the hashes of all files beside a `model.bin`.

    Args:
        model: the file.
        expected: SHA-256 of the file itself.

    Raises:
        UserError: it is not the expected one.
    """
    found = sha256_file(model)
    if expected not in (None, found):
        raise UserError(f"{model}: SHA-256 is {found}, not {expected} as configured")
    if not is_folder(model):
        return found
    others = {path.name: sha256_file(path) for path in Path(model).parent.glob("*.json")}
    return sha256_json(others | {"model.bin": found})


def load(model: Path, batch: int, device: str, word_times: bool) -> Recogniser:
    """The recogniser for a model's file."""
    if is_folder(model):
        from voicekiln.asr.faster_whisper import FasterWhisperRecogniser

        return FasterWhisperRecogniser(Path(model).parent, batch, device, word_times)
    from voicekiln.asr.whisper import WhisperRecogniser

    return WhisperRecogniser(model, batch, device, word_times)


def version(model: Path) -> list:
    """Engine that a model is heard with, and its version: part of the transcripts' keys."""
    if is_folder(model):
        from voicekiln.asr import faster_whisper

        return ["faster-whisper", faster_whisper.VERSION]
    from voicekiln.asr import whisper

    return ["whisper", whisper.VERSION]
