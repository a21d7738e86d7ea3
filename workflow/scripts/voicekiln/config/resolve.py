"""The configuration: checked against its schema, filled with defaults, paths found."""

import difflib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.validators import extend

from voicekiln import extras, families
from voicekiln.asr import hugging_face
from voicekiln.config import explain, schema
from voicekiln.ctc import files as ctc_files
from voicekiln.errors import UserError
from voicekiln.text import romanize
from voicekiln.text.languages import short_code
from voicekiln.voice import vocoders
from voicekiln.weights import kinds as filekinds
from voicekiln.weights import signatures

# values of a corpus's `transcripts` that are no path
TRANSCRIPT_WORDS = (None, "sidecar", "ignore")
# of `train.saving`: updates between checkpoints, and how many are kept
SAVING = {
    "fast": {"save_every": 1000, "keep": 1},
    "balanced": {"save_every": 500, "keep": 3},
    "production": {"save_every": 500, "keep": 10},
    "very_long": {"save_every": 2000, "keep": 5},
}


NO_LINES: Mapping[tuple, str] = {}


def _fill(validate_properties):
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
    config: Mapping[str, Any], basedir: Path, lines: Mapping[tuple, str] = NO_LINES
) -> dict[str, Any]:
    """`resolve`, and the files that the configuration names looked at.

    Raises:
        UserError: naming each wrong key; or, if every value is allowed, everything else that is
            wrong: keys that exclude each other, files that are not there.
    """
    filled = _filled(config, lines)
    _stop_at([*_cross_checks(filled), *_file_problems(filled, basedir)])
    return _without_words(filled)


def resolve(config: Mapping[str, Any], lines: Mapping[tuple, str] = NO_LINES) -> dict[str, Any]:
    """`config` with every default filled in.

    Args:
        lines: where each key is in which file (`configfile.read`), for the messages.

    Raises:
        UserError: naming each wrong key with its path and what is allowed there.
    """
    filled = _filled(config, lines)
    _stop_at(list(_cross_checks(filled)))
    return _without_words(filled)


def _filled(config, lines):
    _stop_at(explain.unsound(config))
    filled = deepcopy(dict(config))
    rules = schema.whole()
    problems = explain.mended(filled, rules)
    for train in _train_sections(filled):
        for key, value in SAVING.get(str(train.get("saving")), {}).items():
            train.setdefault(key, value)
    for error in _Filling(rules).iter_errors(filled):
        for path, text in explain.mistakes(error, rules):
            problems.append(_located(path, text, lines))
    # jsonschema reports each missing key by itself, and `mistakes` all that are missing
    _stop_at(list(dict.fromkeys(problems)))
    for section in _with_a_language(filled):
        section["language"] = short_code(section["language"])
    return filled


def _without_words(filled):
    for train in _train_sections(filled):
        del train["saving"]  # what it stands for is there by now
    return filled


def _stop_at(problems: list[str]) -> None:
    if problems:
        text = "\n  ".join(["the configuration cannot be used:", *problems])
        raise UserError(text.encode("utf-8", "backslashreplace").decode())


def _located(path: tuple, text: str, lines: Mapping[tuple, str]) -> str:
    key = ".".join(str(part) for part in path)
    # a key that is missing is missing below its section's line
    line = next((lines[path[:n]] for n in range(len(path), 0, -1) if path[:n] in lines), None)
    return f"{key}: {text}" * bool(key) + text * (not key) + (f" [{line}]" if line else "")


def _train_sections(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections `train` of the runs, as far as they are sections at all."""
    runs = config.get("runs")
    for run in runs.values() if isinstance(runs, dict) else ():
        train = run.get("train") if isinstance(run, dict) else None
        if isinstance(train, dict):
            yield train


def _with_a_language(config: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The sections that name a language."""
    for corpus in config["corpora"].values():
        for section in (corpus, corpus["transcribe"]):
            if section["language"] is not None:  # `auto` is no code and stays
                yield section


def _cross_checks(config: Mapping[str, Any]) -> Iterator[str]:
    for name, corpus in config["corpora"].items():
        segment = corpus["segment"]
        if segment["min_s"] >= segment["max_s"]:
            yield (
                f"corpora.{name}.segment.min_s ({segment['min_s']}) must be below "
                f"corpora.{name}.segment.max_s ({segment['max_s']})"
            )
        least_s = max(2 * segment["min_s"], 0.2) + 2 * segment["pad_s"]
        if segment["max_s"] < least_s:
            yield (
                f"corpora.{name}.segment.max_s ({segment['max_s']}) must be at least {least_s:g}, "
                "2 x pad_s + 2 x min_s: no cut could leave two usable halves"
            )
        if segment["offset"] > segment["onset"]:
            yield f"corpora.{name}.segment.offset must not be above onset"
        rules = corpus["validate"]
        if rules["min_chars_per_s"] >= rules["max_chars_per_s"]:
            yield f"corpora.{name}.validate: min_chars_per_s must be below max_chars_per_s"
        yield from _extra_checks(f"corpora.{name}", corpus)
        if corpus["path_pattern"] is not None:
            yield from _pattern_checks(f"corpora.{name}", corpus)
        yield from _model_checks(f"corpora.{name}.transcribe", corpus["transcribe"])
        if corpus["align"]["acoustic_model"] is None:
            for section, key in (
                ("align", "acoustic_model_sha256"),
                ("validate", "min_acoustic_score"),
            ):
                if corpus[section][key] is not None:
                    yield (
                        f"corpora.{name}.{section}.{key} is set, but "
                        f"corpora.{name}.align.acoustic_model is not; name a folder, or remove it"
                    )
        model = corpus["measure"]["speaker_model"]
        if corpus["measure"]["speaker_model_sha256"] is not None and model in (None, "auto"):
            yield (
                f"corpora.{name}.measure.speaker_model_sha256 is set, but speaker_model names no "
                "file; name one, or remove the hash"
            )
    for name, run in config["runs"].items():
        for corpus in corpora_of(run):
            if corpus not in config["corpora"]:
                known = ", ".join(config["corpora"]) or "none"
                yield f"runs.{name}.corpus: no corpus {corpus} is configured (there is: {known})"
            elif run["train_on"] == "romanized":
                if config["corpora"][corpus]["text"]["romanize"] is None:
                    yield (
                        f"runs.{name}.train_on is romanized, but corpora.{corpus}.text.romanize "
                        "is null; set it to uroman or epitran"
                    )
        train = run["train"]
        if (train["min_learning_rate"] or 0.0) > train["learning_rate"]:
            yield f"runs.{name}.train: min_learning_rate must not be above learning_rate"
        if train["schedule"] == "multi_step" and not train["milestones"]:
            yield f"runs.{name}.train: the schedule multi_step needs milestones"
        if train["batch_frames"] == "auto" and train["accumulate"] != 1:
            yield (
                f"runs.{name}.train: accumulate follows from update_frames when batch_frames is "
                "auto; leave it out"
            )
        family = families.facts.of(run["family"])
        parts = ("loss", *family.losses)
        if train["best_by"] not in parts:
            yield (
                f"runs.{name}.train.best_by: {train['best_by']} is not a part of the loss of "
                f"{family.title}; there are {', '.join(parts)}"
            )
        for part in train["loss_weights"]:
            if part not in parts[1:]:
                yield (
                    f"runs.{name}.train.loss_weights: {part} is not a part of the loss of "
                    f"{family.title}; there are {', '.join(parts[1:])}"
                )
        if run["vocoder_sha256"] is not None and run["vocoder"] is None:
            yield (
                f"runs.{name}.vocoder_sha256 is set, but vocoder is not; name the folder of the "
                "vocoder, or remove the hash"
            )
        base = run["base"]
        whole = {"checkpoint", "vocab", "model"}
        if set(base) - {"checkpoint_sha256", "vocab_sha256"} not in ({"run"}, whole) or (
            "run" in base and len(base) > 1
        ):
            yield (
                f"runs.{name}.base: expected either run alone, or checkpoint, vocab and model; "
                f"there is {', '.join(base) or 'nothing'}"
            )
        elif "run" in base:
            if base["run"] not in config["runs"]:
                yield f"runs.{name}.base.run: no run {base['run']} is configured"
            elif base["run"] == name:
                yield f"runs.{name}.base.run: a run cannot start from itself"


def _extra_checks(key: str, corpus: Mapping[str, Any]) -> Iterator[str]:
    """Which optional packages are wanted and not there, and what they cannot do."""
    tool = corpus["text"]["romanize"]
    wanted = {
        f"normalize.{name}": (name, corpus["normalize"][name]) for name in extras.OF_NORMALIZE
    }
    wanted["text.romanize"] = (tool, tool)
    for setting, (extra, value) in wanted.items():
        command = extras.missing(extra) if value else None
        if command:
            yield f"{key}.{setting} is {value}, and what it needs is not installed: {command}"
    if tool and not romanize.knows(tool, corpus["language"]):
        yield (
            f"{key}.text.romanize is {tool}, which has no rules for the language "
            f"{corpus['language']}; set it to uroman or null"
        )


def _pattern_checks(key: str, corpus: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a pattern for paths."""
    try:
        named = set(re.compile(corpus["path_pattern"]).groupindex)
    except re.error as error:
        yield f"{key}.path_pattern: not a valid regular expression ({error})"
        return
    if not named or named - {"speaker", "language"}:
        yield (
            f"{key}.path_pattern: expected a group (?P<speaker>...) or (?P<language>...), "
            f"found {', '.join(sorted(named)) or 'none'}"
        )
    elif "speaker" in named and corpus["speaker"] is not None:
        yield f"{key}: speaker and path_pattern both name the speaker; leave one out"


def _model_checks(key: str, section: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the models of a section `transcribe`; nothing is fetched unasked."""
    for name in ("model", "second_model"):
        model = section[name]
        if model is None or is_file(model):
            continue
        if not section["download"]:
            yield (
                f"{key}.{name}: {model} is the name of a released model, and downloads are off. "
                f"Give the path of a checkpoint (./{model} for a file here), or set "
                f"{key}.download: true"
            )
    if section["precision"] == "int8" and section["engine"] != "faster-whisper":
        yield f"{key}.precision: int8 needs {key}.engine: faster-whisper"
    if section["second_model"] is not None and section["second"] == "none":
        yield f"{key}: second_model is set but second is none; set second to doubtful or all"
    if section["second_model"] is not None and section["model"] is None:
        yield f"{key}: second_model is set but model is not"


def check_targets(targets: Iterable[str], rules: Set[str], offered: Sequence[str]) -> None:
    """Stop at a word on the command line that is no target.

    Args:
        rules: names of all rules.
        offered: those that are named in the message.

    Raises:
        UserError: naming the word, and one that is close.
    """
    for target in targets:
        if target not in rules and "/" not in target:
            close = difflib.get_close_matches(target, offered, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise UserError(
                f"there is no target {target}{hint} (targets: {', '.join(offered)}, or a file "
                "below results/)"
            )


def corpora_of(run: Mapping[str, Any]) -> list[str]:
    """The corpora that a run joins, as a list."""
    return [run["corpus"]] if isinstance(run["corpus"], str) else list(run["corpus"])


def locate(path: str, basedir: Path) -> str:
    """Where a path of the configuration lies.

    Relative paths belong to the working directory; what the project ships (`resources/...`) is
    found beside the workflow when the working directory has no such file. `~` is the home folder.
    """
    path = os.path.expanduser(path)
    if os.path.isabs(path) or os.path.exists(path):
        return path
    shipped = Path(basedir) / path
    if Path(path).parts[:1] == ("resources",) and os.path.exists(shipped):
        return str(shipped)
    return path


def check_files(config: Mapping[str, Any], basedir: Path) -> None:
    """Stop unless the files and folders that the configuration names are there.

    Raises:
        UserError: naming each missing one with its key. Corrections may be absent.
    """
    _stop_at(list(_file_problems(config, basedir)))


def _file_problems(config, basedir):
    for key, path in _named_files(config):
        if not os.path.exists(locate(path, basedir)):
            yield f"{key}: {path} is not there (relative paths start at the working directory)"
    yield from _model_folders(config, basedir)
    yield from _acoustic_models(config, basedir)
    yield from _not_checkpoints(config, basedir)


def _model_folders(config: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """What is wrong with models that are folders."""
    for name, corpus in config["corpora"].items():
        section = corpus["transcribe"]
        for key in ("model", "second_model"):
            folder = Path(locate(section[key] or "", basedir))
            if section[key] is None or not is_file(section[key]) or not os.path.isdir(folder):
                continue
            if not os.path.isfile(folder / "model.bin"):
                if problem := hugging_face.problem(folder):
                    yield (
                        f"corpora.{name}.transcribe.{key}: {folder}: {problem}; expected a file of "
                        "openai-whisper (.pt), a folder of Hugging Face (config.json and "
                        "model.safetensors) or one of CTranslate2 (model.bin)"
                    )
            elif key == "model" and section["engine"] == "whisper":
                yield (
                    f"corpora.{name}.transcribe.model: {folder} is in CTranslate2's format; set "
                    f"corpora.{name}.transcribe.engine: faster-whisper"
                )


def _acoustic_models(config: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """What is wrong with the folders of acoustic models."""
    for name, corpus in config["corpora"].items():
        model = corpus["align"]["acoustic_model"]
        if model is not None and os.path.exists(locate(model, basedir)):
            if problem := ctc_files.problem(Path(locate(model, basedir))):
                yield f"corpora.{name}.align.acoustic_model: {model}: {problem}"


def _not_checkpoints(config: Mapping[str, Any], basedir: Path) -> Iterator[str]:
    """Checkpoints that cannot be any (pointers, web pages, half downloads) or are of other kinds.

    What needs the tensors, such as their shapes, is checked by the step that reads them.
    """
    named = []
    for name, corpus in config["corpora"].items():
        for key in ("model", "second_model"):
            model = corpus["transcribe"][key]
            if model is not None and is_file(model) and not os.path.isdir(locate(model, basedir)):
                named.append((f"corpora.{name}.transcribe.{key}", model, None))
    for name, run in config["runs"].items():
        if "checkpoint" in run["base"]:
            family = run["family"]
            named.append((f"runs.{name}.base.checkpoint", run["base"]["checkpoint"], family))
    for key, path, family in named:
        located = Path(locate(path, basedir))
        if os.path.exists(located):
            problem = filekinds.problem(located) or _other_family(located, family)
            if problem:
                yield f"{key}: {path}: {problem}"


def _other_family(checkpoint: Path, family: str | None) -> str | None:
    """A message if the names of a base's tensors do not belong to the run's family."""
    facts = families.facts.of(family) if family else None
    if facts is None or facts.signature is None:
        return None
    names = filekinds.names(checkpoint)
    if names is None or any(facts.signature in name for name in names):
        return None
    found = signatures.model_of(names) or f"no tensor ...{facts.signature}"
    return f"expected a checkpoint of {facts.title}, found {found}; give one of its trainings"


def _named_files(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, corpus in config["corpora"].items():
        audio = corpus["audio"]
        for path in [audio] if isinstance(audio, str) else audio:
            yield f"corpora.{name}.audio", path
        if corpus["transcripts"] not in TRANSCRIPT_WORDS:
            yield f"corpora.{name}.transcripts", corpus["transcripts"]
        for key in ("model", "second_model"):
            model = corpus["transcribe"][key]
            if model is not None and is_file(model):
                yield f"corpora.{name}.transcribe.{key}", model
        for section, key in (
            ("normalize", "separate"),
            ("align", "acoustic_model"),
            ("measure", "speaker_model"),
        ):
            if corpus[section][key] not in (None, "auto"):
                yield f"corpora.{name}.{section}.{key}", corpus[section][key]
    for name, run in config["runs"].items():
        for key in ("checkpoint", "vocab"):
            if key in run["base"]:
                yield f"runs.{name}.base.{key}", run["base"][key]
        for key, path in (
            *(("vocoder", path) for path in vocoders.files(run["vocoder"])),
            ("tokenizer.vocab", run["tokenizer"]["vocab"]),
        ):
            if path is not None:
                yield f"runs.{name}.{key}", path


def is_file(model: str) -> bool:
    """Whether `transcribe.model` is a path and not the name of a released model."""
    return Path(model).name != model or Path(model).suffix == ".pt"
