"""Select the ASR engine by the form of the model.

A folder with `model.bin` is loaded by faster-whisper (CTranslate2). A file is in openai-whisper's
format, or has the tensors of a Hugging Face model; both are loaded by openai-whisper.
"""

from pathlib import Path

from voicekiln.asr import hugging_face
from voicekiln.asr.hypothesis import Recogniser
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, sha256_json


def is_folder(model: Path) -> bool:
    """Whether a model is a CTranslate2 folder, given by its `model.bin`."""
    return Path(model).name == "model.bin"


def digest(model: Path, expected: str | None = None) -> str:
    """SHA-256 of a model: of its file, or of the hashes of all its files.

    Args:
        model: its file.
        expected: SHA-256 that the file must have; None: any.

    Raises:
        UserError: the SHA-256 differs.
    """
    found = sha256_file(model)
    if expected not in (None, found):
        raise UserError(
            f"{model}: its SHA-256 is {found}, and transcribe.sha256 (or second_sha256) expects "
            f"{expected}; download the file again, or correct the key"
        )
    if hugging_face.is_model_file(model):
        return sha256_json({path.name: sha256_file(path) for path in hugging_face.files(model)})
    if not is_folder(model):
        return found
    others = {path.name: sha256_file(path) for path in Path(model).parent.glob("*.json")}
    return sha256_json(others | {"model.bin": found})


def title(model: Path) -> str:
    """Name of a model for messages: its folder or file."""
    named_by_folder = is_folder(model) or hugging_face.is_model_file(model)
    return str(Path(model).parent if named_by_folder else model)


def load(
    model: Path, batch: int, device: str, word_times: bool, precision: str = "auto"
) -> Recogniser:
    """Load the recogniser for a model's file.

    Raises:
        UserError: the model cannot be read, does not fit into memory, or its engine does not
            support the precision on this device.
    """
    # torch takes seconds, which a job that loads no model saves
    from voicekiln import gpu
    from voicekiln.asr.memory import OomSafeRecogniser, less_memory

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
            f"{title(model)}: the model does not fit into {gpu.in_use()}; {less_memory(device)}"
        ) from error
    return OomSafeRecogniser(one, title(model))


def version(model: Path) -> list:
    """Engine of a model and its version; part of the keys of transcripts."""
    if is_folder(model):
        from voicekiln.asr import faster_whisper

        return ["faster-whisper", faster_whisper.VERSION]
    from voicekiln.asr import whisper

    return ["whisper", whisper.VERSION]
