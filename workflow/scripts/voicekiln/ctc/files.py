"""The files of an acoustic model's folder, without loading any."""

from collections.abc import Iterator
from pathlib import Path

from voicekiln.asr.hugging_face import files as tensor_files
from voicekiln.ctc.vocabulary import TOKENIZER, VOCAB, of_language
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, sha256_json
from voicekiln.text import languages

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
ADAPTER = "adapter.{}.safetensors"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def problem(folder: Path) -> str | None:
    """The reason why a folder is not an acoustic model, or None."""
    folder = Path(folder)
    if not folder.is_dir():
        return "expected a folder of Hugging Face with a CTC model"
    for name in (CONFIG, VOCAB, PREPROCESSOR):
        if not (folder / name).is_file():
            return f"it has no {name}; expected all files of a CTC model of Hugging Face"
    try:
        weights(folder)
    except UserError as error:
        return str(error)
    return None


def weights(folder: Path) -> list[Path]:
    """The files with the tensors.

    Raises:
        UserError: there are none, or they are pickles.
    """
    known = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if known is None:
        pickles = [name for name in PICKLES if (folder / name).is_file()]
        if pickles:
            raise UserError(
                f"{folder / pickles[0]}: a pickle, which could run code; expected {WEIGHTS[0]}: "
                "take a revision of the model that has one, or convert it with transformers "
                "(save_pretrained writes it)"
            )
        raise UserError(f"{folder}: has no {WEIGHTS[0]}; download all files of the model")
    return [path for path in tensor_files(known)[1:] if path.suffix == ".safetensors"]


def adapter_file(folder: Path, part: str) -> Path:
    """The adapter of a language, by its name in `vocab.json`.

    Raises:
        UserError: the name leads out of the folder.
    """
    name = ADAPTER.format(part)
    if Path(name).name != name:
        raise UserError(
            f"{folder / VOCAB}: names the language {part!r}, expected an adapter in the same "
            "folder; take the vocab.json of the same model"
        )
    return folder / name


def codes(language: str | None) -> tuple[str, ...]:
    """The codes by which an adapter of a language may be named."""
    long = languages.column("iso639_3").get(language or "")
    return tuple(code for code in (long, language) if code)


def files(folder: Path, language: str | None) -> list[Path]:
    """All files that decide what the model returns for a language."""
    folder = Path(folder)
    return list(_files(folder, codes(language)))


def _files(folder: Path, named: tuple[str, ...]) -> Iterator[Path]:
    yield folder / CONFIG
    yield folder / PREPROCESSOR
    yield folder / VOCAB
    if (folder / TOKENIZER).is_file():
        yield folder / TOKENIZER
    known = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    yield from [] if known is None else tensor_files(known)[1:]
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
