"""Files that the configuration names: missing ones, and those that cannot be what is expected."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicekiln.config import whisper_models
from voicekiln.config.paths import TRANSCRIPT_WORDS, locate
from voicekiln.config.whisper_models import Form
from voicekiln.ctc import files as ctc_files
from voicekiln.errors import UserError
from voicekiln.families import base as bases
from voicekiln.families import facts
from voicekiln.voice import vocoders
from voicekiln.weights import kinds, signatures

# keys of a corpus that name a file or a folder, if they are set
CORPUS_FILES = (
    ("normalize", "separate"),
    ("align", "acoustic_model"),
    ("measure", "speaker_model"),
)
SOURCES = (".audio", ".transcripts")  # keys that never name a model


def problems(config: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """Each file that is missing, and each that cannot be what its keys expect.

    Checks that need the tensors, such as their shapes, belong to the step that reads them.
    Corrections may be missing.
    """
    for key, path in _named(config):
        if not os.path.exists(locate(path, basedir)):
            yield f"{key}: {path} does not exist{_remedy(key, path)}"
    for name, corpus in config["corpora"].items():
        yield from _model_problems(f"corpora.{name}.transcribe", corpus["transcribe"], basedir)
        if (model := corpus["align"]["acoustic_model"]) is not None:
            folder = Path(locate(model, basedir))
            language = corpus["language"]
            if os.path.exists(folder) and (problem := ctc_files.problem(folder, language)):
                yield f"corpora.{name}.align.acoustic_model: {problem}"
    yield from whisper_models.conflicts(config["corpora"], basedir)
    for name, run in config["runs"].items():
        yield from _base_problems(f"runs.{name}.base", run, basedir)


def _remedy(key: str, path: str) -> str:
    """What to do about a missing path."""
    parts = Path(path).parts
    is_name = len(parts) == 2 and path == "/".join(parts) and not os.path.isdir(parts[0])
    is_name &= not Path(path).suffix[1:2].isalpha()  # a file has an ending; a name, a version
    if is_name and not path.startswith((".", "~")) and not key.endswith(SOURCES):
        return (
            "; names of models are not downloaded: download the model, and set its folder "
            "(relative paths start at the working directory)"
        )
    return " (relative paths start at the working directory)"


def corrections(path: str | None, basedir: Path) -> list[str]:
    """The file of corrections, if it exists."""
    located = None if path is None else locate(path, basedir)
    return [located] if located and os.path.exists(located) else []


def acoustic_model(corpus: Mapping[str, Any], basedir: Path) -> list[str]:
    """Files of the corpus's acoustic model, if it has one.

    Raises:
        UserError: its files are incomplete.
    """
    model = corpus["align"]["acoustic_model"]
    if model is None:
        return []
    return [str(path) for path in ctc_files.files(locate(model, basedir), corpus["language"])]


def _named(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Key and path of every file or folder that the configuration names."""
    for name, corpus in config["corpora"].items():
        audio = corpus["audio"]
        for path in [audio] if isinstance(audio, str) else audio:
            yield f"corpora.{name}.audio", path
        if corpus["transcripts"] not in TRANSCRIPT_WORDS:
            yield f"corpora.{name}.transcripts", corpus["transcripts"]
        for key in whisper_models.KEYS:
            model = corpus["transcribe"][key]
            if model is not None and whisper_models.is_path(model):
                yield f"corpora.{name}.transcribe.{key}", model
        for section, key in CORPUS_FILES:
            if corpus[section][key] not in (None, "auto"):
                yield f"corpora.{name}.{section}.{key}", corpus[section][key]
    for name, run in config["runs"].items():
        family = facts.of(run["family"])
        for key in ("folder", *family.files):
            if key in run["base"]:
                yield f"runs.{name}.base.{key}", run["base"][key]
        for path in vocoders.files(run["vocoder"], family.vocoder):
            yield f"runs.{name}.vocoder", path
        for section in family.sections:
            for key, path in family.files_of(section, run).items():
                yield f"runs.{name}.{section}.{key}", path


def _model_problems(section_key: str, section: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """Problems of the models of a section `transcribe`."""
    for key in whisper_models.KEYS:
        model, where = whisper_models.find(section, key, basedir), f"{section_key}.{key}"
        if model is None or model.form is Form.RELEASED:
            continue
        if model.form is Form.CHECKPOINT:
            if os.path.exists(model.path) and (problem := kinds.problem(model.path)):
                yield f"{where}: {section[key]}: {problem}"
        elif model.problem:
            yield (
                f"{where}: {_with_path(model.path, model.problem)}; expected a checkpoint of "
                "openai-whisper (.pt), a Hugging Face folder (config.json and model.safetensors) "
                "or a CTranslate2 folder (model.bin)"
            )
        elif model.form is Form.CTRANSLATE2 and key == "model" and section["engine"] == "whisper":
            yield (
                f"{where}: {model.path} is a CTranslate2 folder; set {section_key}.engine: "
                "faster-whisper"
            )


def _with_path(path: Path, problem: str) -> str:
    """A problem that names the path, once."""
    return problem if problem.startswith(str(path)) else f"{path}: {problem}"


def _base_problems(section_key: str, run: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """Files of a base that are not checkpoints (pointers, web pages, incomplete downloads), or are
    checkpoints of another model."""
    family = facts.of(run["family"])
    if "folder" in run["base"] and not os.path.isdir(locate(run["base"]["folder"], basedir)):
        return  # reported as missing
    try:
        paths = bases.paths(run["base"], family, lambda path: locate(path, basedir))
    except UserError as error:
        yield f"{section_key}: {error}"
        return
    for name, file in family.files.items():
        if name in paths and os.path.exists(paths[name]):
            path = Path(paths[name])
            weights = file.checkpoint or path.suffix.lower() in kinds.SUFFIXES
            problem = kinds.problem(path) if weights else None
            if problem := problem or (file.checkpoint and _other_family(path, family)):
                yield f"{section_key}.{name}: {run['base'].get(name, path)}: {problem}"


def _other_family(checkpoint: Path, family: facts.Facts) -> str | None:
    """A message if a checkpoint's tensor names are not those of the family, or None."""
    names = None if family.signature is None else kinds.names(checkpoint)
    if names is None or any(family.signature in name for name in names):
        return None
    found = signatures.model_of(names) or f"no tensor ...{family.signature}"
    return f"expected a checkpoint of {family.title}, found {found}; give one of its checkpoints"
