"""Where the models of a section `transcribe` are: files of the user's, fetched, converted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicekiln.asr import hugging_face
from voicekiln.config.resolve import is_file, locate
from voicekiln.provenance import sha256_json

MODELS = Path("results", "models")


def source(section: Mapping[str, Any], key: str, basedir: Path) -> Path:
    """The checkpoint or folder that `section[key]` names; one to be fetched where it is a name."""
    model = section[key]
    return Path(locate(model, basedir)) if is_file(model) else MODELS / "whisper" / f"{model}.pt"


def converted(section: Mapping[str, Any], basedir: Path) -> str | None:
    """The name of the folder that faster-whisper's model is converted into.

    None where there is nothing to convert: another engine, no model, or a converted one.
    """
    if section["engine"] != "faster-whisper" or section["model"] is None:
        return None
    path = source(section, "model", basedir)
    if (path / "model.bin").is_file():
        return None
    return f"{path.stem}-{sha256_json(str(path))[:8]}"


def file(section: Mapping[str, Any], key: str, basedir: Path) -> str | None:
    """The file by which the rule `transcribe` knows the model; None where there is none."""
    if section[key] is None:
        return None
    name = converted(section, basedir) if key == "model" else None
    if name is not None:
        return str(MODELS / "ctranslate2" / name / "model.bin")
    return str(known_by(source(section, key, basedir)))


def known_by(path: Path) -> Path:
    """The file by which a model is known that is a folder; a file itself."""
    return (hugging_face.weights_file(path) or path / "model.bin") if path.is_dir() else path


def parts(section: Mapping[str, Any], key: str, basedir: Path) -> list[str]:
    """The other files of a model that is a folder: another one of them makes another model."""
    if section[key] is None or not (folder := source(section, key, basedir)).is_dir():
        return []
    known = known_by(folder)
    whole = hugging_face.files(known) if hugging_face.is_one(known) else folder.glob("*.json")
    return sorted(str(path) for path in whole if path != known)


def expected(section: Mapping[str, Any], basedir: Path) -> list[str | None]:
    """SHA-256 that the files of both models must have; a converted one was checked before."""
    first = None if converted(section, basedir) else section["sha256"]
    return [first, section["second_sha256"]]
