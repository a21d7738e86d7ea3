"""The resolved configuration: checked against the schema, with all defaults."""

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from voicekiln.config import checks, explain, files, schema
from voicekiln.errors import UserError
from voicekiln.text.languages import short_code

# presets of `train.saving`: updates between checkpoints, and number of checkpoints kept
SAVING = {
    "fast": {"save_every": 1000, "keep": 1},
    "balanced": {"save_every": 500, "keep": 3},
    "production": {"save_every": 500, "keep": 10},
    "very_long": {"save_every": 2000, "keep": 5},
}
Lines = Mapping[tuple, str]  # file and line of each key, from `yaml_files.read`
NO_LINES: Lines = {}


def _fill(validate_properties):
    """Validator of `properties` that first inserts the defaults of missing keys."""

    def properties(validator, keys, instance, parent):
        if validator.is_type(instance, "object"):
            for key, sub in keys.items():
                if "default" in sub and key not in instance:
                    instance[key] = deepcopy(sub["default"])
        yield from validate_properties(validator, keys, instance, parent)

    return properties


_Filling = extend(
    Draft202012Validator, {"properties": _fill(Draft202012Validator.VALIDATORS["properties"])}
)


def load(
    config: Mapping[str, Any], basedir: Path, lines: Lines = NO_LINES, check_files: bool = True
) -> dict[str, Any]:
    """`resolve`, with checks of the files that the configuration names.

    Args:
        config: as written by the user.
        basedir: folder of the workflow, for shipped files.
        lines: file and line of each key, for messages.
        check_files: false where no input is read, so that files may be missing.

    Raises:
        UserError: naming each wrong key; or, if every value is allowed by itself, each combination
            of keys that is not, and each missing or unusable file.
    """
    filled = _filled(config, lines)
    missing = files.problems(filled, basedir) if check_files else ()
    _stop_at([*checks.problems(filled), *missing], lines)
    return _without_presets(filled)


def resolve(config: Mapping[str, Any], lines: Lines = NO_LINES) -> dict[str, Any]:
    """`config` with all defaults.

    Raises:
        UserError: naming each wrong key with its path and the allowed values.
    """
    filled = _filled(config, lines)
    _stop_at(checks.problems(filled), lines)
    return _without_presets(filled)


def _filled(config, lines):
    _stop_at(explain.unsound(config))
    filled = deepcopy(dict(config))
    problems = explain.repair(filled, schema.fitting(filled))
    rules = schema.fitting(filled)
    for train in _train_sections(filled):
        for key, value in SAVING.get(str(train.get("saving")), {}).items():
            train.setdefault(key, value)
    for error in _Filling(schema.by_name(rules)).iter_errors(filled):
        for path, text in explain.mistakes(error, rules):
            problems.append(_with_path(path, text, lines))
    # jsonschema reports each missing key separately, and `mistakes` all missing keys every time
    _stop_at(list(dict.fromkeys(problems)))
    for section in _with_a_language(filled):
        section["language"] = short_code(section["language"])
    return filled


def _without_presets(filled):
    for train in _train_sections(filled):
        del train["saving"]  # replaced by its values
    return filled


def _stop_at(problems: Iterable[str], lines: Lines = NO_LINES) -> None:
    problems = [_with_line(problem, lines) for problem in problems]
    if problems:
        text = "\n  ".join(["the configuration cannot be used:", *problems])
        raise UserError(text.encode("utf-8", "backslashreplace").decode())


def _with_path(path: tuple, text: str, lines: Lines) -> str:
    key = ".".join(str(part) for part in path)
    return (f"{key}: {text}" if key else text) + _line(path, lines)


def _with_line(problem: str, lines: Lines) -> str:
    """A problem with the line of the key that it starts with."""
    key = re.match(r"[\w.-]*", problem)[0]
    return problem + _line(tuple(key.split(".")), lines)


def _line(path: tuple, lines: Lines) -> str:
    """Line of a key, or of the innermost section that the file has."""
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return f" [{line}]" if line else ""


def _train_sections(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections `train` of the runs, if they are sections at all."""
    runs = config.get("runs")
    for run in runs.values() if isinstance(runs, dict) else ():
        train = run.get("train") if isinstance(run, dict) else None
        if isinstance(train, dict):
            yield train


def _with_a_language(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections that name a language."""
    for corpus in config["corpora"].values():
        for section in (corpus, corpus["transcribe"]):
            if section["language"] is not None:  # `auto` is not a code and stays
                yield section
