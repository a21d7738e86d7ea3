"""The schema of the configuration, joined from one file per section in workflow/schemas."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
NAME = "^[A-Za-z0-9][A-Za-z0-9_-]*$"  # of a corpus or a run


@cache
def whole() -> dict[str, Any]:
    """JSON Schema (2020-12) of a whole configuration, with all defaults."""
    return _map(SCHEMAS / "config")


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
    return {
        "description": content["description"],
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
    }


def _names(key_schema: dict[str, Any]) -> dict[str, Any]:
    """Schema of a map from names to `each`."""
    return {
        "description": key_schema["description"],
        "type": "object",
        "default": {},
        "additionalProperties": False,
        "patternProperties": {NAME: _map(SCHEMAS / key_schema["each"])},
    }
