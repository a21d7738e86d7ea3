"""run.lock.json: hashes of all inputs of a run; equal inputs give equal bytes on any machine."""

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from voicekiln.provenance import canonical, code_digest, sha256_file, sha256_json
from voicekiln.report.facts import packages
from voicekiln.store import tables
from voicekiln.store.files import read_json

FORMAT = 1
DATASET = ("dataset/train.jsonl", "dataset/val.jsonl", "DIGEST.json")


def lock(
    run: Path, corpora: Sequence[Path], settings: Mapping[str, Any], scripts: Path
) -> dict[str, Any]:
    """Hashes of everything that a run's result depends on, without times and absolute paths.

    Args:
        run: `results/runs/<run>`, with its vocabulary, reset base and exported voice.
        corpora: `results/corpora/<corpus>` of each corpus of the run.
        settings: the resolved configuration of the run and of its corpora.
        scripts: folder of the rules' scripts.
    """
    family = settings["run"]["family"]
    named = (f"voicekiln.families.{family}", "voicekiln.training.worker")
    reset = read_json(run / "base/reset.json")
    coverage = read_json(run / "tokenizer/coverage.json")
    voice = read_json(run / "export/MANIFEST.json")
    return {
        "format": FORMAT,
        "run": run.name,
        "config": {"sha256": sha256_json(settings), "settings": canonical(settings)},
        "seeds": dict(_seeds(settings)),
        "audio": {folder.name: audio(folder) for folder in corpora},
        "datasets": {
            folder.name: {name: sha256_file(folder / name) for name in DATASET}
            for folder in corpora
        },
        "base": reset["base"] | {"reset_sha256": reset["file"]["sha256"]},
        "vocabulary": {file["path"]: file["sha256"] for file in coverage["files"]},
        "vocoder": {
            file["path"]: file["sha256"]
            for file in voice["files"]
            if voice.get("vocoder") and file["path"].startswith(voice["vocoder"])
        },
        "code": {
            script.name: code_digest(script, *named) for script in sorted(scripts.glob("*.py"))
        },
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages(family)},
    }


def audio(corpus: Path) -> dict[str, Any]:
    """Number of a corpus's recordings, and one hash of their paths and contents."""
    rows = tables.read(corpus / "recordings.parquet")
    listing = sorted(
        [str(row.path), str(row.content_sha256), str(row.status)] for row in rows.itertuples()
    )
    return {"recordings": len(listing), "sha256": sha256_json(listing)}


def _seeds(section: Mapping[str, Any], above: str = ""):
    """Every seed of the configuration by its key."""
    for key, value in section.items():
        here = f"{above}.{key}" if above else str(key)
        if key == "seed":
            yield here, value
        elif isinstance(value, Mapping):
            yield from _seeds(value, here)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
