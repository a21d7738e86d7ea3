"""Optional packages: needed by some settings and not part of the environments."""

import importlib.util
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError

PIP = ".venv/bin/python -m pip install"
# for each setting: the packages that must be importable, and the command that installs them
NEEDS = {
    "denoise": (
        ("noisereduce",),
        f"{PIP} --no-deps noisereduce==3.0.3 joblib tqdm matplotlib",
    ),
    "separate": (("torch", "torchaudio"), f"{PIP} torch==2.13.0 torchaudio==2.11.0"),
    "voices": (("resemblyzer", "torch"), f"{PIP} --no-deps resemblyzer==0.1.4"),
    "mos": (("speechmos", "onnxruntime"), f"{PIP} --no-deps speechmos==0.0.1.1"),
    "uroman": (("uroman",), f"{PIP} --no-deps uroman==1.3.1.1"),
    "epitran": (
        ("epitran", "panphon", "marisa_trie", "jamo", "unicodecsv"),
        f"{PIP} --no-deps epitran==1.35.3 panphon==0.22.2 marisa-trie==1.4.1 jamo==0.4.1 "
        "unicodecsv==0.14.1",
    ),
}


OF_NORMALIZE = ("denoise", "separate")


def missing(setting: str) -> str | None:
    """Command that installs the packages of a setting; None if they are installed."""
    packages, command = NEEDS[setting]
    if all(importlib.util.find_spec(package) for package in packages):
        return None
    return command


def version(setting: str) -> str | None:
    """Version of the package of a setting; None if it is not installed."""
    return None if missing(setting) else metadata.version(NEEDS[setting][0][0])


def versions(settings: Iterable[str]) -> dict[str, str]:
    """Versions of the packages of these settings; part of the results' keys."""
    names = sorted({package for setting in settings for package in NEEDS[setting][0]})
    return {name: metadata.version(name) for name in names}


def package_file(package: str, name: str, key: str, otherwise: str) -> Path:
    """A file of an installed package, which is not imported.

    Args:
        package: its import name.
        name: path of the file in the package.
        key: setting that needs it, for the error.
        otherwise: value of `key` that does not need it.

    Raises:
        UserError: the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise UserError(
            f"{key} needs the package {package}, which is missing in the job's environment "
            f"(Snakemake's own has it); add it to envs/audio.yaml, or set {key} to {otherwise}"
        )
    return Path(spec.submodule_search_locations[0]) / name


def of_normalize(section: Mapping[str, Any]) -> dict[str, str]:
    """Versions of the packages that a section `normalize` needs."""
    return versions([name for name in OF_NORMALIZE if section[name]])


def of_segment(engine: str) -> str | None:
    """Version of the network that `segment.engine` may use, or None."""
    return None if engine == "webrtcvad" else metadata.version("silero-vad")


def of_measure(speaker_model: str | None) -> str | None:
    """Version of the speaker embedding package, if `measure.speaker_model` uses it."""
    return version("voices") if speaker_model == "auto" else None


def of_mos(wanted: bool) -> dict[str, str]:
    """Versions of the packages that `measure.mos` needs."""
    return versions(["mos"] if wanted else [])


def of_text(romanize: str | None) -> dict[str, str]:
    """Versions of the packages that `text.romanize` needs."""
    return versions([romanize] if romanize else [])
