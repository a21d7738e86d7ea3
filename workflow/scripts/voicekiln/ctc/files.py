"""The files of an acoustic model's folder, without loading any."""

from collections.abc import Iterator
from pathlib import Path

from voicekiln import extras
from voicekiln.asr import hugging_face
from voicekiln.asr.hugging_face import CONFIG, PICKLES, SAFETENSORS, weights_file
from voicekiln.ctc import settings
from voicekiln.ctc.settings import PREPROCESSOR
from voicekiln.ctc.vocabulary import TOKENIZER, VOCAB, is_latin, of_language
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, sha256_json
from voicekiln.text import languages, scripts

ADAPTER = "adapter.{}.safetensors"


def problem(folder: Path, language: str | None) -> str | None:
    """Why a folder is not an acoustic model for a language, starting with its path; or None.

    Tensors are not read; JSON files are.
    """
    folder = Path(folder)
    if not folder.is_dir():
        return f"{folder} is a file; give its folder, {folder.parent}"
    try:
        _require(folder, CONFIG)
        _, name = settings.model(folder)
        _require(folder, VOCAB)
        _require(folder, PREPROCESSOR)
        settings.audio(folder, name)
        weights(folder)
        files(folder, language)
        return _unreadable(folder, language)
    except UserError as error:
        return str(error)


def _require(folder: Path, name: str) -> None:
    if not (folder / name).is_file():
        raise UserError(
            f"{folder} has no {name}; expected all files of a CTC model in Hugging Face's format"
        )


def _unreadable(folder: Path, language: str | None) -> str | None:
    """A message if texts in the language's script have no letter that the model knows."""
    written = scripts.main_scripts(language or "")
    command = extras.missing("uroman")
    if (
        not written
        or "LATIN" in written
        or command is None
        or not is_latin(folder, codes(language))
    ):
        return None
    return (
        f"{folder / VOCAB} has only Latin letters, and {language} is written in "
        f"{written[0].capitalize()} script; install uroman, which romanises the texts ({command}), "
        "or take a model of this language"
    )


def weights(folder: Path) -> list[Path]:
    """The files with the tensors.

    Raises:
        UserError: there are none, or they are pickles.
    """
    known = weights_file(folder, SAFETENSORS)
    if known is None:
        if pickle := weights_file(folder, PICKLES):
            raise UserError(
                f"{pickle}: a pickle, which could run code; expected {SAFETENSORS[0]}: "
                "take a revision of the model that has one, or convert it with transformers "
                "(save_pretrained writes it)"
            )
        raise UserError(f"{folder} has no {SAFETENSORS[0]}; download all files of the model")
    return [path for path in hugging_face.files(known)[1:] if path.suffix == ".safetensors"]


def adapter_file(folder: Path, part: str) -> Path:
    """The adapter of a language, by its name in `vocab.json`.

    Raises:
        UserError: it is missing, or its name leads out of the folder.
    """
    name = ADAPTER.format(part)
    if Path(name).name != name:
        raise UserError(
            f"{folder / VOCAB}: names the language {part!r}, expected an adapter in the same "
            "folder; take the vocab.json of the same model"
        )
    if not (folder / name).is_file():
        raise UserError(
            f"{folder} has no {name}, which the language {part} needs; download it from the same "
            "repository into this folder"
        )
    return folder / name


def codes(language: str | None) -> tuple[str, ...]:
    """The codes by which an adapter of a language may be named."""
    long = languages.column("iso639_3").get(language or "")
    return tuple(code for code in (long, language) if code)


def files(folder: Path, language: str | None) -> list[Path]:
    """All files that decide what the model returns for a language.

    Raises:
        UserError: the model has no vocabulary or no adapter for the language.
    """
    folder = Path(folder)
    return list(_files(folder, codes(language)))


def _files(folder: Path, named: tuple[str, ...]) -> Iterator[Path]:
    yield folder / CONFIG
    yield folder / PREPROCESSOR
    yield folder / VOCAB
    if (folder / TOKENIZER).is_file():
        yield folder / TOKENIZER
    known = weights_file(folder, SAFETENSORS)
    yield from [] if known is None else hugging_face.files(known)[1:]
    part = of_language(folder, named)
    if part is not None:
        yield adapter_file(folder, part)


def digest(folder: Path, language: str | None) -> str:
    """SHA-256 of the hashes of these files.

    Raises:
        UserError: one is missing.
    """
    found = files(folder, language)
    for path in found:
        if not path.is_file():
            raise UserError(f"{path}: missing; download all files of the model")
    return sha256_json({path.name: sha256_file(path) for path in found})
