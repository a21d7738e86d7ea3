"""A tiny XTTS v2 release of coqui-tts's own classes, as the demo's script makes it."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "resources/demo"))

from make_xtts_base import LANGUAGES, LETTERS, make, make_demo, write_vocab  # noqa: E402

__all__ = ["FILES", "LANGUAGES", "LETTERS", "base_files", "make", "make_demo", "write_vocab"]

# Names of the base files in family.yaml -> names in the release.
FILES = {
    "model": "model.pth",
    "config": "config.json",
    "vocab": "vocab.json",
    "dvae": "dvae.pth",
    "mel_stats": "mel_stats.pth",
    "speakers": "speakers_xtts.pth",
}


def base_files(release: Path) -> dict[str, Path]:
    """The files of a release, by their names as base files."""
    return {name: release / file for name, file in FILES.items()}
