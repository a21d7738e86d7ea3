"""Checks that involve several keys, which the schema cannot express."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from voicekiln import extras
from voicekiln.config import whisper_models
from voicekiln.families import base as bases
from voicekiln.families import facts
from voicekiln.provenance import canonical
from voicekiln.text import romanize

Section = Mapping[str, Any]
# a test that is true for a mistake, and its message: a key below the corpus or the run, and the
# problem; {segment[min_s]} is replaced by a value
Check = tuple[Callable[[Section], bool], str]

CORPUS: Sequence[Check] = (
    (
        lambda c: c["segment"]["min_s"] >= c["segment"]["max_s"],
        "segment.min_s ({segment[min_s]}) must be below segment.max_s ({segment[max_s]})",
    ),
    (
        lambda c: c["segment"]["max_s"] < 2 * c["segment"]["pad_s"] + 2 * c["segment"]["min_s"],
        "segment.max_s ({segment[max_s]}) must be at least 2 x pad_s + 2 x min_s, or no cut leaves "
        "two usable halves",
    ),
    (
        lambda c: c["segment"]["offset"] > c["segment"]["onset"],
        "segment.offset ({segment[offset]}) must not be above segment.onset ({segment[onset]})",
    ),
    (
        lambda c: c["validate"]["min_chars_per_s"] >= c["validate"]["max_chars_per_s"],
        "validate.min_chars_per_s ({validate[min_chars_per_s]}) must be below "
        "validate.max_chars_per_s ({validate[max_chars_per_s]})",
    ),
    (
        lambda c: (
            c["transcribe"]["precision"] == "int8" and c["transcribe"]["engine"] != "faster-whisper"
        ),
        "transcribe.precision: int8 needs transcribe.engine: faster-whisper",
    ),
    (
        lambda c: c["transcribe"]["second_model"] and c["transcribe"]["second"] == "none",
        "transcribe: second_model is set, but second is none; set second to doubtful or all",
    ),
    (
        lambda c: c["transcribe"]["second_model"] and c["transcribe"]["model"] is None,
        "transcribe: second_model is set, but model is not; set model, or remove second_model",
    ),
    (
        lambda c: (
            c["measure"]["speaker_model_sha256"] and c["measure"]["speaker_model"] in (None, "auto")
        ),
        "measure.speaker_model_sha256 is set, but speaker_model is not a file; name one, or "
        "remove the hash",
    ),
    (
        lambda c: c["align"]["acoustic_model_sha256"] and c["align"]["acoustic_model"] is None,
        "align.acoustic_model_sha256 is set, but acoustic_model is not; set it to a folder, or "
        "remove the hash",
    ),
    (
        lambda c: (
            c["validate"]["min_acoustic_score"] is not None and c["align"]["acoustic_model"] is None
        ),
        "validate.min_acoustic_score is set, but align.acoustic_model is not; set it to a folder, "
        "or remove the limit",
    ),
    (
        lambda c: c["validate"]["min_mos"] is not None and not c["measure"]["mos"],
        "validate.min_mos ({validate[min_mos]}) needs measure.mos: true; set it, or min_mos: null",
    ),
    (
        lambda c: c["path_pattern"] and c["speaker"] and "(?P<speaker>" in c["path_pattern"],
        "path_pattern: both speaker and path_pattern set the speaker; remove one",
    ),
    (
        lambda c: (
            c["text"]["romanize"] and not romanize.knows(c["text"]["romanize"], c["language"])
        ),
        "text.romanize is {text[romanize]}, which has no rules for the language {language}; set it "
        "to uroman or null",
    ),
)
# far above what any GPU holds, and below the number of mel frames that earlier versions counted
MAX_BATCH_S, MAX_UPDATE_S = 1000, 10_000
RUN: Sequence[Check] = (
    (
        lambda r: r["train"]["batch_s"] != "auto" and r["train"]["batch_s"] > MAX_BATCH_S,
        "train.batch_s: {train[batch_s]} seconds of audio in one micro-batch are more than any GPU "
        f"holds; expected at most {MAX_BATCH_S}. If the number counts mel frames, as in earlier "
        "versions, divide it by 93.75: 3200 frames are 34.13",
    ),
    (
        lambda r: r["train"]["update_s"] > MAX_UPDATE_S,
        "train.update_s: {train[update_s]} seconds of audio are too many for one update; expected "
        f"at most {MAX_UPDATE_S}. If the number counts mel frames, as in earlier versions, divide "
        "it by 93.75: 38400 frames are 409.6",
    ),
    (
        lambda r: (
            r["train"]["learning_rate"] != "auto"
            and (r["train"]["min_learning_rate"] or 0.0) > r["train"]["learning_rate"]
        ),
        "train.min_learning_rate ({train[min_learning_rate]}) must not be above "
        "train.learning_rate ({train[learning_rate]})",
    ),
    (
        lambda r: r["train"]["schedule"] == "multi_step" and not r["train"]["milestones"],
        "train.milestones: the schedule multi_step needs at least one",
    ),
    (
        lambda r: r["train"]["batch_s"] == "auto" and r["train"]["accumulate"] != 1,
        "train.accumulate is computed from update_s if batch_s is auto; remove it",
    ),
    (
        lambda r: r["vocoder_sha256"] and r["vocoder"] is None,
        "vocoder_sha256 is set, but vocoder is not; set vocoder to the folder, or remove the hash",
    ),
)


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """One line for each mistake in a configuration with all defaults."""
    for name, corpus in config["corpora"].items():
        for problem in [*_failed(CORPUS, corpus), *_corpus_problems(corpus)]:
            yield f"corpora.{name}.{problem}"
    for name, run in config["runs"].items():
        for problem in [*_failed(RUN, run), *_run_problems(name, run, config)]:
            yield f"runs.{name}.{problem}"


def corpora_of(run: Section) -> list[str]:
    """Names of the corpora that a run joins."""
    return [run["corpus"]] if isinstance(run["corpus"], str) else list(run["corpus"])


def with_corpora(run: Section, corpora: Mapping[str, Any]) -> dict[str, Any]:
    """All settings of a run and of the corpora that it joins."""
    return canonical({"run": run, "corpora": {name: corpora[name] for name in corpora_of(run)}})


def _failed(checks: Sequence[Check], section: Section) -> Iterator[str]:
    """Messages of the checks that a corpus or run does not pass."""
    for is_wrong, message in checks:
        if is_wrong(section):
            yield message.format_map(section)


def _corpus_problems(corpus: Section) -> Iterator[str]:
    yield from _pattern_problems(corpus["path_pattern"])
    for key in whisper_models.KEYS:
        name = corpus["transcribe"][key]
        if name and not whisper_models.is_path(name) and not corpus["transcribe"]["download"]:
            yield (
                f"transcribe.{key}: {name} is the name of a released model, and downloads are off; "
                f"set it to the path of a checkpoint (./{name} for a file here), or set "
                "transcribe.download: true"
            )
    tool = corpus["text"]["romanize"]
    needed = {
        f"normalize.{name}": (name, corpus["normalize"][name]) for name in extras.OF_NORMALIZE
    }
    needed |= {"text.romanize": (tool, tool), "measure.mos": ("mos", corpus["measure"]["mos"])}
    for key, (extra, value) in needed.items():
        if value and (command := extras.missing(extra)):
            shown = "true" if value is True else value
            yield f"{key} is {shown}, which needs a package that is not installed: {command}"


def _pattern_problems(pattern: str | None) -> Iterator[str]:
    if pattern is None:
        return
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        yield f"path_pattern: not a valid regular expression ({error})"
        return
    if not groups or groups - {"speaker", "language"}:
        yield (
            "path_pattern: expected a group (?P<speaker>...) or (?P<language>...), found "
            f"{', '.join(sorted(groups)) or 'none'}"
        )


def _run_problems(name: str, run: Section, config: Mapping[str, Any]) -> Iterator[str]:
    for corpus in corpora_of(run):
        if corpus not in config["corpora"]:
            known = ", ".join(config["corpora"]) or "none"
            yield f"corpus: there is no corpus {corpus}; the configuration has: {known}"
        elif run["train_on"] == "romanized" and not config["corpora"][corpus]["text"]["romanize"]:
            yield (
                f"train_on is romanized, but corpora.{corpus}.text.romanize is null; set it to "
                "uroman or epitran"
            )
    yield from _loss_problems(run)
    yield from _base_problems(name, config["runs"])


def _loss_problems(run: Section) -> Iterator[str]:
    family = facts.of(run["family"])
    parts, expected = list(family.losses), f"is not a loss part of {family.title}; expected one of"
    if run["train"]["best_by"] not in ("loss", *parts):
        yield f"train.best_by: {run['train']['best_by']} {expected} {', '.join(['loss', *parts])}"
    for part in run["train"]["loss_weights"]:
        if part not in parts:
            yield f"train.loss_weights: {part} {expected} {', '.join(parts)}"


def _base_problems(name: str, runs: Mapping[str, Any]) -> Iterator[str]:
    run = runs[name]
    family = facts.of(run["family"])
    if run["vocoder"] is not None and family.vocoder is None:
        yield f"vocoder: {family.title} has its own vocoder; remove the key"
    if problem := bases.problem(run["base"], family):
        yield f"base: {problem}"
    elif "run" in run["base"]:
        yield from _chain_problems(name, runs)


def _chain_problems(name: str, runs: Mapping[str, Any]) -> Iterator[str]:
    """Problems of a run that starts from the voice of another run."""
    base = runs[name]["base"]["run"]
    if base not in runs:
        yield f"base.run: there is no run {base}"
        return
    if base == name:
        yield "base.run: a run cannot start from itself"
        return
    if runs[base]["family"] != runs[name]["family"]:
        yield (
            f"base.run: {base} is of the family {runs[base]['family']}, expected "
            f"{runs[name]['family']}; name another run"
        )
    chain = [name]
    while base in runs and "run" in runs[base]["base"]:
        chain.append(base)
        base = runs[base]["base"]["run"]
        if base in chain:
            circle = ", ".join(chain[chain.index(base) :])
            yield f"base.run: these runs start from each other: {circle}"
            return
