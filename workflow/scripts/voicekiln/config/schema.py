"""The schema of the configuration, joined from one file per section.

They are in workflow/schemas; the sections of a run that depend on its family are declared in
voicekiln/families/<family>/family.yaml.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from voicekiln.families import base as bases
from voicekiln.families import facts

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
BASE = "model to fine-tune: the files of a release, or `run: NAME` for the voice of another run"
NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"  # of a corpus or a run


def whole() -> dict[str, Any]:
    """JSON Schema (2020-12) of a configuration, with all defaults; runs of `facts.example`."""
    return _whole(facts.names())


@cache
def _whole(families: tuple[str, ...]) -> dict[str, Any]:
    schema = _map(SCHEMAS / "config")
    schema["properties"]["runs"]["patternProperties"] = {NAME: _run(facts.example(), families)}
    return schema


def fitting(config: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of a configuration in which each run has the sections of its family.

    The runs are named in it, and what `patternProperties` allows is any run.
    """
    schema = whole()
    runs, names = config.get("runs"), facts.names()
    named = {
        name: _run(str(section.get("family")) if isinstance(section, dict) else None, names)
        for name, section in (runs.items() if isinstance(runs, dict) else ())
        if re.search(NAME, str(name))
    }
    inside = schema["properties"]["runs"] | {"properties": named}
    return schema | {"properties": schema["properties"] | {"runs": inside}}


def by_name(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`fitting` for a validator: each run is checked by its own schema alone."""
    inside = schema["properties"]["runs"] | {"patternProperties": {NAME: {}}}
    return schema | {"properties": schema["properties"] | {"runs": inside}}


def run(family: str | None) -> dict[str, Any]:
    """Schema of a run of a family."""
    return _run(family, facts.names())


@cache
def _run(family: str | None, families: tuple[str, ...]) -> dict[str, Any]:
    """Schema of a run; its family's sections are open if there is no such family."""
    schema = _map(SCHEMAS / "run")
    keys = schema["properties"]
    keys["family"] = {"enum": list(families), "description": keys["family"]["description"]}
    if family not in families:
        keys["base"] = {"type": "object", "description": BASE}
        keys |= {name: {"type": "object", "default": {}} for name in facts.SECTIONS}
        return schema
    declared = facts.of(family)
    keys["base"] = _section(BASE, bases.keys(declared))
    for name, section in declared.sections.items():
        keys[name] = _section(section["description"], section["keys"]) | {"default": {}}
    if declared.vocoder:
        keys["vocoder"] = keys["vocoder"] | {"description": declared.vocoder.description}
    train = keys["train"]["properties"]
    parts = f" ({declared.title}: {', '.join(declared.losses)})"
    for key in ("loss_weights", "best_by"):
        train[key] = train[key] | {"description": train[key]["description"] + parts}
    for key in declared.auto.keys:
        train[key] = _or_auto(train[key])
    for key, value in declared.train.items():
        train[key] = train[key] | {"default": value}
    return schema


def _or_auto(key_schema: Mapping[str, Any]) -> dict[str, Any]:
    """Schema of a key of `train` that may be `auto` too."""
    outside = ("default", "description")
    values = {name: rule for name, rule in key_schema.items() if name not in outside}
    description = f"{key_schema['description']}; auto decides by hours of training audio"
    return {
        "oneOf": [{"enum": ["auto"]}, values],
        "default": key_schema["default"],
        "description": description,
    }


def _section(description: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "additionalProperties": False,
        "properties": dict(keys),
    }


def _map(path: Path) -> dict[str, Any]:
    """Schema of the map whose keys are in PATH.yaml and whose sections are in the folder PATH."""
    content = yaml.safe_load(path.with_suffix(".yaml").read_text(encoding="utf-8"))
    required = content.get("required", [])
    properties = {
        key: _names(key_schema) if "each" in key_schema else key_schema
        for key, key_schema in content["keys"].items()
    }
    for file in sorted(path.glob("*.yaml")):
        section = _map(file.with_suffix(""))
        properties[file.stem] = section if file.stem in required else section | {"default": {}}
    return _section(content["description"], properties) | {"required": required}


def _names(key_schema: dict[str, Any]) -> dict[str, Any]:
    """Schema of a map from names to `each`."""
    return {
        "description": key_schema["description"],
        "type": "object",
        "default": {},
        "additionalProperties": False,
        "patternProperties": {NAME: _map(SCHEMAS / key_schema["each"])},
    }
