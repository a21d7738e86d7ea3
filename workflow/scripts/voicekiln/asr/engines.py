"""The engines by the form of a model.

A folder with `model.bin` is CTranslate2's. A file is openai-whisper's, or has the tensors of a
model from Hugging Face, which openai-whisper reads as well.
"""

from pathlib import Path

from voicekiln import gpu
from voicekiln.asr import hugging_face
from voicekiln.asr.hypothesis import Recogniser
from voicekiln.asr.memory import Fitting
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, sha256_json


def is_folder(model: Path) -> bool:
    """Whether a model is a folder in CTranslate2's format, named by its `model.bin`."""
    return Path(model).name == "model.bin"


def digest(model: Path, expected: str | None = None) -> str:
    """SHA-256 of a model: of the file, or of the hashes of all files that make it up.

    Args:
        model: the file.
        expected: SHA-256 of the file itself.

    Raises:
        UserError: it is not the expected one.
    """
    found = sha256_file(model)
    if expected not in (None, found):
        raise UserError(
            f"{model}: its SHA-256 is {found}, and the configuration (transcribe.sha256, or "
            f"second_sha256) expects {expected}; download the file again, or correct the key"
        )
    if hugging_face.is_one(model):
        return sha256_json({path.name: sha256_file(path) for path in hugging_face.files(model)})
    if not is_folder(model):
        return found
    others = {path.name: sha256_file(path) for path in Path(model).parent.glob("*.json")}
    return sha256_json(others | {"model.bin": found})


def title(model: Path) -> str:
    """What the user knows a model as: its folder, or its file."""
    named_by_folder = is_folder(model) or hugging_face.is_one(model)
    return str(Path(model).parent if named_by_folder else model)


def load(
    model: Path, batch: int, device: str, word_times: bool, precision: str = "auto"
) -> Recogniser:
    """The recogniser for a model's file.

    Raises:
        UserError: the model cannot be read, does not fit into memory, or its engine cannot compute
            in that precision on this device.
    """
    try:
        if is_folder(model):
            from voicekiln.asr.faster_whisper import FasterWhisperRecogniser

            one = FasterWhisperRecogniser(Path(model).parent, batch, device, word_times, precision)
        else:
            from voicekiln.asr.whisper import WhisperRecogniser

            one = WhisperRecogniser(model, batch, device, word_times, precision)
    except (RuntimeError, MemoryError) as error:
        if not gpu.is_out_of_memory(error):
            raise
        raise UserError(
            f"{title(model)}: the model does not fit into {gpu.in_use()}; take a smaller "
            "transcribe.model, or stop what else uses the GPU"
        ) from error
    return Fitting(one, title(model))


def version(model: Path) -> list:
    """Engine that a model is heard with, and its version: part of the transcripts' keys."""
    if is_folder(model):
        from voicekiln.asr import faster_whisper

        return ["faster-whisper", faster_whisper.VERSION]
    from voicekiln.asr import whisper

    return ["whisper", whisper.VERSION]
