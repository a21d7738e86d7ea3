"""Rewrite the tables of keys in config/README.md and docs/xtts.md from the schema.

    .venv/bin/python docs/make_config_readme.py

A table lies between `<!-- keys: PATH -->` and `<!-- end -->`; PATH is `corpora.*.segment`, say, or
`xtts.tokenizer` for a section of the runs of one family. The schema is in workflow/schemas.
"""

import argparse
import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from voicekiln.config.schema import run, whole  # noqa: E402
from voicekiln.families import facts  # noqa: E402

FILES = (ROOT / "config" / "README.md", ROOT / "docs" / "xtts.md")
MARKED = re.compile(r"(<!-- keys: (\S+) -->\n).*?(<!-- end -->)", re.S)


def section(path: str) -> dict:
    """Sub-schema at a dotted path; `*` stands for a name that the user chose."""
    first, *parts = path.split(".")
    if first in facts.names():
        schema = run(first)
    else:
        schema, parts = whole(), [first, *parts]
    for part in parts:
        if part == "*":
            (schema,) = schema["patternProperties"].values()
        else:
            schema = schema["properties"][part]
    return schema


def allowed(schema: dict) -> str:
    """Allowed values of a key: its type, values or bounds."""
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
    """Table of the keys of a section, without its subsections."""
    lines = ["| key | default | allowed | description |", "|---|---|---|---|"]
    for key, sub in schema["properties"].items():
        if "properties" in sub and sub.get("default") == {}:
            continue
        required = key in schema.get("required", ()) or "default" not in sub
        default = "" if required else f"`{json.dumps(sub['default'])}`"
        lines.append(f"| `{key}` | {default} | {allowed(sub)} | {sub['description']} |")
    return "\n".join(lines) + "\n"


def rendered(text: str) -> str:
    """`text` with its tables replaced."""
    return MARKED.sub(lambda m: m[1] + table(section(m[2])) + m[3], text)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    for file in FILES:
        file.write_text(rendered(file.read_text(encoding="utf-8")), encoding="utf-8")
