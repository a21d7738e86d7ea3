"""The Whisper models that a section `transcribe` names, classified in one place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from voicekiln.asr import hugging_face
from voicekiln.config.paths import locate
from voicekiln.provenance import sha256_json

MODELS = Path("results", "models")
KEYS = ("model", "second_model")
CTRANSLATE2_WEIGHTS = "model.bin"


class Form(Enum):
    """Form of a model."""

    RELEASED = "a released model, downloaded by the rule fetch_model"
    CHECKPOINT = "a checkpoint file of openai-whisper"
    HUGGING_FACE = "a Hugging Face folder"
    CTRANSLATE2 = "a CTranslate2 folder"


@dataclass(frozen=True)
class Model:
    """A model that the configuration names.

    Attributes:
        form: what `path` is.
        path: its file or folder; for a released model, the file it is downloaded to.
    """

    form: Form
    path: Path

    @property
    def file(self) -> Path:
        """The file that stands for the model as a rule's input: of a folder, its weights."""
        if self.form is Form.HUGGING_FACE:
            return hugging_face.weights_file(self.path) or self.path / hugging_face.WEIGHTS[0]
        return self.path / CTRANSLATE2_WEIGHTS if self.form is Form.CTRANSLATE2 else self.path

    @property
    def parts(self) -> list[str]:
        """Its other files; a change of any of them is a change of the model."""
        found = []
        if self.form is Form.CTRANSLATE2:
            found = list(self.path.glob("*.json"))
        elif self.form is Form.HUGGING_FACE and hugging_face.is_model_file(self.file):
            found = hugging_face.files(self.file)
        return sorted(str(path) for path in found if path != self.file)

    @property
    def problem(self) -> str | None:
        """Why a folder is not a usable model, or None."""
        return hugging_face.problem(self.path) if self.form is Form.HUGGING_FACE else None


def is_path(name: str) -> bool:
    """Whether `name` is a path, as opposed to the name of a released model."""
    return Path(name).name != name or Path(name).suffix == ".pt"


def find(section: Mapping[str, Any], key: str, basedir: Path) -> Model | None:
    """The model that `section[key]` names, or None.

    Args:
        section: `transcribe` of a corpus.
        key: one of `KEYS`.
        basedir: folder of the workflow, for shipped models.
    """
    name = section[key]
    if name is None:
        return None
    if not is_path(name):
        return Model(Form.RELEASED, MODELS / "whisper" / f"{name}.pt")
    path = Path(locate(name, basedir))
    if not path.is_dir():
        return Model(Form.CHECKPOINT, path)
    converted = (path / CTRANSLATE2_WEIGHTS).is_file()
    return Model(Form.CTRANSLATE2 if converted else Form.HUGGING_FACE, path)


def converted_name(section: Mapping[str, Any], basedir: Path) -> str | None:
    """Folder name of the model converted for faster-whisper; None if no conversion is needed."""
    model = find(section, "model", basedir)
    if section["engine"] != "faster-whisper" or model is None or model.form is Form.CTRANSLATE2:
        return None
    return f"{model.path.stem}-{sha256_json(str(model.path))[:8]}"


def input_file(section: Mapping[str, Any], key: str, basedir: Path) -> str | list[str]:
    """The file that the rule `transcribe` loads for `section[key]`, or [] (no input)."""
    name = converted_name(section, basedir) if key == "model" else None
    if name is not None:
        return str(MODELS / "ctranslate2" / name / CTRANSLATE2_WEIGHTS)
    model = find(section, key, basedir)
    return [] if model is None else str(model.file)


def input_parts(section: Mapping[str, Any], basedir: Path) -> list[str]:
    """The other files of the models that the rule `transcribe` loads without conversion."""
    keys = KEYS[1:] if converted_name(section, basedir) else KEYS
    models = [find(section, key, basedir) for key in keys]
    return [path for model in models if model is not None for path in model.parts]


def conversions(corpora: Mapping[str, Any], basedir: Path) -> dict[str, dict[str, Any]]:
    """`file`, `parts` and expected `sha256` of each model to convert, by `converted_name`.

    Corpora that share a model share its conversion, which checks the hash that any of them expects;
    `conflicts` finds different ones.
    """
    found: dict[str, dict[str, Any]] = {}
    for corpus in corpora.values():
        section = corpus["transcribe"]
        if name := converted_name(section, basedir):
            model = find(section, "model", basedir)
            values = {"file": str(model.file), "parts": model.parts, "sha256": section["sha256"]}
            if found.setdefault(name, values)["sha256"] is None:
                found[name]["sha256"] = values["sha256"]
    return found


def conflicts(corpora: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """Corpora that expect different SHA-256 of a model that they share."""
    first: dict[str, tuple[str, str]] = {}  # corpus and hash, by converted model
    for corpus, settings in corpora.items():
        section = settings["transcribe"]
        name, sha256 = converted_name(section, basedir), section["sha256"]
        if name is None or sha256 is None:
            continue
        other, expected = first.setdefault(name, (corpus, sha256))
        if expected != sha256:
            yield (
                f"corpora.{corpus}.transcribe.sha256: {sha256} differs from {expected} of "
                f"corpora.{other}, which uses the same model, {section['model']}; correct one of "
                "them, or remove it"
            )


def expected_sha256(section: Mapping[str, Any], basedir: Path) -> list[str | None]:
    """Expected SHA-256 of both models; a converted one was checked before its conversion."""
    first = None if converted_name(section, basedir) else section["sha256"]
    return [first, section["second_sha256"]]
