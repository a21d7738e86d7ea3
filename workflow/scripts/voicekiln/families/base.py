"""The files of a run's base: as the configuration names them, and as steps receive them.

A base is a folder of a release, files by name (which win over the folder's), or the voice of
another run, whose MANIFEST.json maps the names of family.yaml to its files (`base_files`).
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError
from voicekiln.families import Files, facts
from voicekiln.families.facts import Facts
from voicekiln.provenance import canonical

VOICE = "voice"  # key of a record that names the MANIFEST.json of a voice


def keys(family: Facts) -> dict[str, Any]:
    """Schemas of the section `base`, by key."""
    sha256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
    found: dict[str, Any] = {
        "run": {"type": "string", "description": "run whose exported voice is the base"}
    }
    if any(file.in_release for file in family.files.values()):
        found["folder"] = {
            "type": "string",
            "description": f"folder of a released {family.title} model; files that have a key of "
            "their own here are taken from there",
        }
    for name, file in family.files.items():
        found[name] = {"type": "string", "description": file.description}
    for name in family.files:
        found[f"{name}_sha256"] = sha256 | {
            "description": f"expected SHA-256 of {name}; another file stops the run before the "
            "data steps; if missing, any file is accepted"
        }
    return found | ({"model": dict(family.model)} if family.model else {})


def problem(base: Mapping[str, Any], family: Facts) -> str | None:
    """A message if the keys of a section `base` do not belong together."""
    if "run" in base:
        return None if len(base) == 1 else f"expected run alone; found {', '.join(base)}"
    missing = [
        name
        for name, file in family.files.items()
        if name not in base and file.required and not ("folder" in base and file.in_release)
    ]
    if family.model and "model" not in base:
        missing.append("model")
    if missing:
        needed = [name for name, file in family.files.items() if file.required]
        needed += ["model"] if family.model else []
        return (
            f"expected either run alone, or {', '.join(needed)}; {', '.join(missing)} missing "
            f"(found {', '.join(base) or 'nothing'})"
        )
    return None


def paths(base: Mapping[str, Any], family: Facts, locate: Callable[[str], str]) -> dict[str, str]:
    """Path of each base file that the configuration names, by its name in family.yaml.

    Args:
        base: section `base`, without `run`.
        family: of the run.
        locate: finds a path of the configuration.

    Raises:
        UserError: required files are not in the folder, or more than one file could be one.
    """
    found, missing = {}, []
    for name, file in family.files.items():
        if name in base:
            found[name] = locate(base[name])
        elif "folder" in base and file.in_release:
            folder = Path(locate(base["folder"]))
            matches = sorted(path for path in folder.glob(file.in_release) if path.is_file())
            if len(matches) == 1:
                found[name] = str(matches[0])
            elif matches:
                several = ", ".join(path.name for path in matches[:4])
                raise UserError(
                    f"folder: {folder}: expected one file {file.in_release} ({name}), found "
                    f"{several}; give it as base.{name}"
                )
            elif file.required:
                missing.append(name)
    if missing:
        raise UserError(f"folder: {locate(base['folder'])}: {_missing(family, missing)}")
    return found


def require_files(base: Files, family: Facts) -> None:
    """Raise a UserError that lists all required files which are not there."""
    missing = [
        name
        for name, file in family.files.items()
        if file.required and not (name in base and Path(base[name]).is_file())
    ]
    if missing:
        raise UserError(f"base: {_missing(family, missing)}")


def model_name(base: Files) -> str:
    """What messages call a base: the folder of its files, or of its first one."""
    return next(iter(base.values())).resolve().parent.name


def _missing(family: Facts, names: list[str]) -> str:
    """A message with the purpose of each missing file, and its place in the release."""
    lines = [
        f"base.{name}: {family.files[name].description}"
        + (
            f" ({family.files[name].in_release} in the release)"
            * bool(family.files[name].in_release)
        )
        for name in names
    ]
    where = f" from {family.release}" if family.release else ""
    return (
        f"{len(names)} of {len(family.files)} files of {family.title} missing; copy them{where} "
        f"into the folder, or give each by its key: {'; '.join(lines)}"
    )


# Rules call the functions below with the run's name, the section `runs`, and a function that finds
# a path of the configuration.
Runs = Mapping[str, Mapping[str, Any]]
Locate = Callable[[str], str]


def original(run: str, runs: Runs, locate: Locate) -> dict[str, str]:
    """Params: path of each file of the base, or of the base that its chain of runs starts from."""
    base = runs[_chain(run, runs)[-1]]["base"]
    return canonical(paths(base, facts.of(runs[run]["family"]), locate))


def original_inputs(run: str, runs: Runs, locate: Locate) -> list[str]:
    """Input: these files."""
    return list(original(run, runs, locate).values())


def record(run: str, runs: Runs, locate: Locate) -> dict[str, str]:
    """Params: path of each file of the base, or of the manifest of the voice that is the base."""
    base = runs[run]["base"]
    if "run" in base:
        return {VOICE: f"results/runs/{base['run']}/export/MANIFEST.json"}
    return original(run, runs, locate)


def inputs(run: str, runs: Runs, locate: Locate) -> list[str]:
    """Input: these files."""
    return list(record(run, runs, locate).values())


def vocabulary(run: str, runs: Runs, locate: Locate) -> dict[str, str]:
    """Params: path of each base file that belongs to the tokenizer.

    The vocabulary of another run is ready long before its voice.
    """
    base, family = runs[run]["base"], facts.of(runs[run]["family"])
    names = {name: file.tokenizer for name, file in family.files.items() if file.tokenizer}
    if "run" in base:
        folder = f"results/runs/{base['run']}/tokenizer"
        return {name: f"{folder}/{file}" for name, file in names.items()}
    return {name: path for name, path in original(run, runs, locate).items() if name in names}


def vocabulary_inputs(run: str, runs: Runs, locate: Locate) -> list[str]:
    """Input: these files, or the record of another run's tokenizer."""
    base = runs[run]["base"]
    if "run" in base:
        return [f"results/runs/{base['run']}/tokenizer/coverage.json"]
    return list(vocabulary(run, runs, locate).values())


def tokenizer_settings(run: str, runs: Runs, locate: Locate) -> dict[str, Any]:
    """Params: section `tokenizer`, with located files."""
    files = facts.of(runs[run]["family"]).files_of("tokenizer", runs[run])
    located = {key: locate(path) for key, path in files.items()}
    return canonical(runs[run]["tokenizer"] | located)


def tokenizer_inputs(run: str, runs: Runs, locate: Locate) -> list[str]:
    """Input: the files that the section `tokenizer` names."""
    files = facts.of(runs[run]["family"]).files_of("tokenizer", runs[run])
    return [locate(path) for path in files.values()]


def hashes(run: str, runs: Runs, locate: Locate) -> dict[str, str | None]:
    """Params: expected SHA-256 of each file of the base, if the configuration has one."""
    names = facts.of(runs[run]["family"]).files
    return {name: runs[run]["base"].get(f"{name}_sha256") for name in names}


def checked(run: str, runs: Runs, locate: Locate) -> list[str]:
    """Input: the record of `check_base`; the voice of another run needs no check."""
    return [] if "run" in runs[run]["base"] else [f"results/runs/{run}/base/checked.json"]


def model(run: str, runs: Runs, locate: Locate) -> Any:
    """Params: `base.model` of the run, or of the run that its chain starts from.

    None if the family has no such choice; it may have a file of this name.
    """
    if facts.of(runs[run]["family"]).model is None:
        return None
    return canonical(runs[_chain(run, runs)[-1]]["base"].get("model"))


def earlier(run: str, runs: Runs, locate: Locate) -> list[str]:
    """Params: the runs whose voices are the run's base, directly or indirectly, nearest first."""
    return _chain(run, runs)[1:]


def gpus_for_features(family: str) -> int:
    """Resource: a GPU if the family computes features faster with one."""
    return int(facts.of(family).features_on_gpu)


def _chain(run: str, runs: Runs) -> list[str]:
    """The run, the run whose voice is its base, and so on."""
    chain = [run]
    while "run" in runs[chain[-1]]["base"]:
        chain.append(runs[chain[-1]]["base"]["run"])
    return chain


def files(record: Mapping[str, str]) -> Files:
    """The base files that a rule passes to its script.

    Args:
        record: path by name, or the path of a voice's manifest as `VOICE`.

    Raises:
        UserError: the voice does not name its base files.
    """
    if VOICE not in record:
        return {name: Path(path) for name, path in record.items()}
    manifest = Path(record[VOICE])
    content = json.loads(manifest.read_text(encoding="utf-8"))
    if "base_files" not in content:
        raise UserError(
            f"{manifest}: has no base_files, an earlier version of VoiceKiln wrote it; export this "
            "voice again, or name its files under base"
        )
    return {name: manifest.parent / path for name, path in content["base_files"].items()}
