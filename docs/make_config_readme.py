"""Rewrite the tables of config/README.md from the schema.

    python docs/make_config_readme.py

A table stands between `<!-- keys: PATH -->` and `<!-- end -->`, PATH as `corpora.*.segment`.
"""

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SCHEMA = ROOT / "workflow" / "schemas" / "config.schema.yaml"
README = ROOT / "config" / "README.md"
MARKED = re.compile(r"(<!-- keys: (\S+) -->\n).*?(<!-- end -->)", re.S)


def section(schema: dict, path: str) -> dict:
    """The sub-schema at a dotted path, `*` for a name of the user's."""
    for part in path.split("."):
        if part == "*":
            (schema,) = schema["patternProperties"].values()
        else:
            schema = schema["properties"][part]
    return schema


def allowed(schema: dict) -> str:
    """Type or values and bounds of a key, in a few words."""
    if "enum" in schema:
        values = ("null" if value is None else value for value in schema["enum"])
        return ", ".join(f"`{value}`" for value in values)
    if "oneOf" in schema:
        return " or ".join(allowed(one) for one in schema["oneOf"])
    if schema.get("pattern", "").endswith(" epochs?$"):
        return "`N epochs`"
    kind = schema.get("type", "")
    words = [" or ".join(kind) if isinstance(kind, list) else kind]
    signs = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    words += [f"{sign} {schema[key]:g}" for key, sign in signs.items() if key in schema]
    return " ".join(words)


def table(schema: dict) -> str:
    """The keys of a section; sections inside it have tables of their own."""
    lines = ["| key | default | allowed | what it is |", "|---|---|---|---|"]
    for key, sub in schema["properties"].items():
        if "properties" in sub and sub.get("default") == {}:
            continue
        required = key in schema.get("required", ()) or "default" not in sub
        default = "" if required else f"`{json.dumps(sub['default'])}`"
        lines.append(f"| `{key}` | {default} | {allowed(sub)} | {sub['description']} |")
    return "\n".join(lines) + "\n"


def rendered(text: str) -> str:
    """The README's text with its tables made anew."""
    schema = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return MARKED.sub(lambda m: m[1] + table(section(schema, m[2])) + m[3], text)


if __name__ == "__main__":
    README.write_text(rendered(README.read_text(encoding="utf-8")), encoding="utf-8")
