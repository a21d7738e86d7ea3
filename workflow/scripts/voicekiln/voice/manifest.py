"""MANIFEST.json of an exported voice: facts, and every file with its size and hash."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from voicekiln.provenance import sha256_file
from voicekiln.store.files import write_atomic

NAME = "MANIFEST.json"


def write(folder: Path, entries: Mapping[str, Any]) -> dict[str, Any]:
    """Write the manifest of a complete folder; the same bytes for the same files and entries.

    Args:
        folder: with all other files of the voice.
        entries: builtin types, without times and absolute paths.
    """
    paths = (path for path in folder.rglob("*") if path.is_file())
    manifest = {
        **entries,
        "files": [
            {
                "path": path.relative_to(folder).as_posix(),
                "sha256": sha256_file(path),
                "bytes": path.stat().st_size,
            }
            for path in sorted(paths)
        ],
    }
    text = json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomic(folder / NAME, text)
    return manifest
