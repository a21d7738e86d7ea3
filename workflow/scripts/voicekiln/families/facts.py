"""Facts about a family from its family.yaml, for the configuration, the report and the engine.

    title        name for people
    planned      true: not available yet; only title and foreign_models are read
    base         files: name -> see `BaseFile`; model: schema of `base.model`, if there is a choice;
                 release: address of the released folder; licence: a sentence about the weights
    vocoder      description, files, weights; left out if the family brings its own
    tokenizer, features, speak, export    sections of a run: description, and the JSON Schema of
                 each of the `keys`; `file: true` marks one that names a file of the user's
    samples      settings of `speak` for the samples of a training, those that differ
    features_on_gpu    whether a GPU computes features faster (default: false)
    train        defaults of the section `train` that are the family's own
    auto         values that keys of `train` have if they are `auto`, by hours of training audio:
                 `source` (of the values, for the log) and `rows`, each with `from_h` (inclusive)
                 and the keys; left out if no key can be `auto`
    packages     Python packages of the upstream project, for the report
    losses       weight of each part of the loss
    signature    part of a tensor name that each checkpoint of the family has
    foreign_models    other checkpoints that can be recognised: what, tensors (beginnings of names)
    example      true: config/README.md shows the sections of this family (exactly one has it)

Needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import voicekiln.families
from voicekiln.errors import UserError

FACTS = "family.yaml"
NO_KEYS: Mapping[str, Any] = {"description": "no settings", "keys": {}}
SECTIONS = ("tokenizer", "features", "speak", "export")


@dataclass(frozen=True)
class BaseFile:
    """A file of a family's base.

    Attributes:
        description: for config/README.md and messages.
        required: whether a run has to name it.
        checkpoint: whether it holds weights, so that its kind is checked when the configuration is
            read.
        in_release: pattern of its path in the released folder, for `base.folder`.
        tokenizer: its name in the tokenizer folder, if it is the base's vocabulary.
    """

    description: str
    required: bool = True
    checkpoint: bool = False
    in_release: str | None = None
    tokenizer: str | None = None


@dataclass(frozen=True)
class Vocoder:
    """The vocoder that a run can name.

    Attributes:
        description: for config/README.md.
        files: their names in its folder.
        weights: the one among them that `vocoder_sha256` is about.
    """

    description: str
    files: tuple[str, ...]
    weights: str


@dataclass(frozen=True)
class Auto:
    """Values of `train` by hours of training audio.

    Attributes:
        source: who recommends them.
        rows: `from_h`, inclusive, and the value of each key; ascending, the first from 0.
    """

    source: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of `train` that can be `auto`."""
        return tuple(key for key in self.rows[0] if key != "from_h") if self.rows else ()

    def row(self, hours: float) -> tuple[str, Mapping[str, Any]]:
        """The range that so many hours are in, as text, and its values."""
        if not self.rows:
            return "", {}
        i = max(n for n, row in enumerate(self.rows) if row["from_h"] <= hours)
        start, after = self.rows[i]["from_h"], self.rows[i + 1 :]
        if not after:
            return f"{start:g} h or more", self.rows[i]
        end = after[0]["from_h"]
        return f"{start:g} to {end:g} h" if start else f"less than {end:g} h", self.rows[i]


@dataclass(frozen=True)
class Signature:
    """Tensor names by which a checkpoint is recognised.

    Attributes:
        what: the model, with its article.
        tensors: beginnings of names; each has to be there.
    """

    what: str
    tensors: tuple[str, ...]


@dataclass(frozen=True)
class Facts:
    """Content of a family.yaml; see the module."""

    name: str
    title: str
    planned: bool
    files: Mapping[str, BaseFile]
    model: Mapping[str, Any] | None
    release: str | None
    licence: str | None
    vocoder: Vocoder | None
    sections: Mapping[str, Mapping[str, Any]]
    samples: Mapping[str, Any]
    features_on_gpu: bool
    train: Mapping[str, Any]
    auto: Auto
    packages: tuple[str, ...]
    losses: Mapping[str, float]
    signature: str | None
    foreign_models: tuple[Signature, ...]
    example: bool

    def files_of(self, section: str, run: Mapping[str, Any]) -> dict[str, str]:
        """The user's files that a section of a run names, by key."""
        keys = [key for key, schema in self.sections[section]["keys"].items() if schema.get("file")]
        return {key: run[section][key] for key in keys if run[section][key] is not None}


@cache
def read(path: Path) -> Facts:
    """Facts of one file; the family is named by its folder."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    base = content.pop("base", {})
    vocoder, auto = content.pop("vocoder", None), content.pop("auto", None)
    facts = Facts(
        name=path.parent.name,
        title=content.pop("title"),
        planned=content.pop("planned", False),
        files={name: BaseFile(**file) for name, file in base.pop("files", {}).items()},
        model=base.pop("model", None),
        release=base.pop("release", None),
        licence=base.pop("licence", None),
        vocoder=vocoder and Vocoder(**vocoder | {"files": tuple(vocoder["files"])}),
        sections={name: content.pop(name, NO_KEYS) for name in SECTIONS},
        samples=content.pop("samples", {}),
        features_on_gpu=content.pop("features_on_gpu", False),
        train=content.pop("train", {}),
        auto=Auto(auto["source"], tuple(auto["rows"])) if auto else Auto(),
        packages=tuple(content.pop("packages", ())),
        losses=content.pop("losses", {}),
        signature=content.pop("signature", None),
        foreign_models=tuple(
            Signature(entry["what"], tuple(entry["tensors"]))
            for entry in content.pop("foreign_models", ())
        ),
        example=content.pop("example", False),
    )
    assert not content and not base, f"{path}: unknown {', '.join([*content, *base])}"
    return facts


def all_facts() -> dict[str, Facts]:
    """Facts of every family, planned ones included, by name."""
    files = (
        file
        for folder in voicekiln.families.__path__
        for file in sorted(Path(folder).glob(f"*/{FACTS}"))
    )
    return {file.parent.name: read(file) for file in files}


def names() -> tuple[str, ...]:
    """Names of the families that are available."""
    return tuple(name for name, facts in all_facts().items() if not facts.planned)


def example() -> str:
    """Name of the family whose sections stand for those of any."""
    (found,) = (name for name, facts in all_facts().items() if facts.example)
    return found


def planned() -> tuple[str, ...]:
    """Names of the families that are not available yet."""
    return tuple(name for name, facts in all_facts().items() if facts.planned)


def of(name: str) -> Facts:
    """Facts of a family.

    Raises:
        UserError: there is no such family.
    """
    try:
        return all_facts()[name]
    except KeyError:
        raise UserError(f"family: expected {' or '.join(names())}, got {name!r}") from None
