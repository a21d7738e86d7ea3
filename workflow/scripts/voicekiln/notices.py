"""The warnings of the data steps: collected from the log, kept in a file, shown once.

A job writes the warnings that it logs to `results/warnings/<rule>/<wildcards>.jsonl`, one object
per line: `step`, `kind` (the message without its values) and `text`. The file stays until the job
runs again, so a run that recomputes nothing still has them for the report. Shard jobs show nothing
on the terminal: the step that merges the shards repeats their warnings, each once.
"""

import json
import logging
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from voicekiln.store.files import read_jsonl

RESULTS = Path("results")
# sources of warnings about a whole corpus, in order: the listing, and rules after the shards
MERGING = ("list", "check_corpus", "correct", "deduplicate", "validate_segments", "split_corpus")
# shard rules whose warnings check_corpus and correct repeat
BEFORE_TEXTS, AFTER_TEXTS = (
    ("inventory", "normalize", "segment"),
    ("transcribe", "align", "measure"),
)
OF_RUNS = ("check_base", "extend_vocabulary", "reset_base", "evaluate_run", "export_run")
# step names of rules that are named differently
RULES_STEPS = {
    "check_corpus": "check",
    "validate_segments": "validate",
    "split_corpus": "split",
    "check_base": "base",
    "extend_vocabulary": "tokenizer",
    "reset_base": "reset",
    "evaluate_run": "evaluate",
    "export_run": "export",
}
SHOWN = 3  # per kind on the terminal
KEPT = 10_000  # per job in the file
LISTED = 10  # per kind in the report
SOURCE = "\N{OBJECT REPLACEMENT CHARACTER}"  # stands for a recording's path in stored warnings
_PACKAGE = Path(__file__).resolve().parent


def path_of(rule: str, *wildcards: str, results: Path = RESULTS) -> Path:
    """The file with the warnings of one job."""
    return results.joinpath("warnings", rule, *wildcards[:-1], "".join(wildcards[-1:]) + ".jsonl")


def ours(record: logging.LogRecord) -> bool:
    """Whether a log record is a warning of VoiceKiln's library or of the running script."""
    if record.levelno != logging.WARNING or not getattr(record, "shown", True):
        return False
    path = Path(record.pathname)
    return _PACKAGE in path.parents or path == Path(sys.argv[0])


def kind_of(record: logging.LogRecord) -> str:
    """The message of a record without its values.

    The format string if the values are its arguments; otherwise the text without the name that it
    starts with and without numbers.
    """
    if hasattr(record, "kind"):
        return record.kind
    if record.args and record.msg != "%s":
        return str(record.msg)
    return re.sub(
        r"\d+(\.\d+)?", "#", record.getMessage().partition(": ")[2] or record.getMessage()
    )


class Notices(logging.Handler):
    """Write each distinct warning to a file as it is logged, and show a few of each kind.

    Args:
        path: the file; warnings of an earlier run of the job are removed.
        step: the step of the warnings, unless the record names another (see `repeat`).
        show: prints a line on the terminal, or None.
        known: texts that an earlier step showed.
    """

    def __init__(
        self,
        path: Path,
        step: str,
        show: Callable[[str], None] | None = None,
        known: Iterable[str] = (),
    ):
        super().__init__(logging.WARNING)
        self.addFilter(ours)
        self._path, self._step, self._show = path, step, show
        self._known = set(known)
        self._n: Counter[str] = Counter()
        path.unlink(missing_ok=True)

    def emit(self, record: logging.LogRecord) -> None:
        """Record a new warning."""
        # a file name may contain bytes that are not UTF-8
        text = record.getMessage().encode("utf-8", "backslashreplace").decode()
        kind = kind_of(record)
        if text in self._known or self._n.total() >= KEPT:
            return
        self._known.add(text)
        self._n[kind] += 1
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = {"step": getattr(record, "step", self._step), "kind": kind, "text": text}
        with open(self._path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
        if self._show is None:
            return
        if self._n[kind] <= SHOWN:
            self._show(f"warning: {text}")
        elif self._n[kind] == SHOWN + 1:
            self._show(f"warning: {self._path} and the report list more warnings of this kind")


def start(rule: str, wildcards: Sequence[str], show: Callable[[str], None]) -> None:
    """Record and show the warnings of a job from now on."""
    merging = rule not in (*BEFORE_TEXTS, *AFTER_TEXTS)
    earlier = MERGING[: MERGING.index(rule)] if rule in MERGING else ()
    known = [one["text"] for before in earlier for one in read(path_of(before, *wildcards))]
    handler = Notices(path_of(rule, *wildcards), rule, show if merging else None, known)
    logging.getLogger().addHandler(handler)


class _Collector(logging.Handler):
    """Collects the warnings that one thread logs."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.found: list[dict[str, str]] = []
        self._thread = threading.get_ident()
        self.addFilter(lambda record: record.thread == self._thread and ours(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Record a warning."""
        self.found.append({"kind": kind_of(record), "text": record.getMessage()})


@contextmanager
def collecting(source: Path) -> Iterator[list[dict[str, str]]]:
    """Collect the warnings of this thread, to be stored with an item and replayed.

    Args:
        source: file that the item is computed from. Its path is left out of the texts, because
            byte-equal files share an item.
    """
    collector = _Collector()
    root = logging.getLogger()
    root.addHandler(collector)
    found: list[dict[str, str]] = []
    try:
        yield found
    finally:
        root.removeHandler(collector)
        found += [
            one | {"text": one["text"].replace(str(source), SOURCE)} for one in collector.found
        ]


def replay(warnings: Iterable[Mapping[str, str]], source: Path, log: logging.Logger) -> None:
    """Log the warnings stored with an item again, for the file `source`."""
    for one in warnings:
        text = one["text"].replace(SOURCE, str(source))
        log.warning("%s", text, extra={"kind": one["kind"]})


def read(path: Path) -> list[dict[str, str]]:
    """The warnings of one job; none if it has not run or had none."""
    return read_jsonl(path)


def repeat(rules: Iterable[str], corpus: str, shards: Iterable[str], log: logging.Logger) -> None:
    """Log the warnings of these rules in all shards of a corpus, each once, sorted by rule."""
    shards = list(shards)
    for rule in rules:
        found = (one for shard in shards for one in read(path_of(rule, corpus, shard)))
        for kind, text in sorted({(one["kind"], one["text"]) for one in found}):
            log.warning("%s", text, extra={"kind": kind, "step": rule})


def of_corpus(corpus: str, results: Path = RESULTS) -> list[dict]:
    """The warnings about a corpus, as `_by_kind` returns them."""
    return _by_kind(path_of(rule, corpus, results=results) for rule in MERGING)


def of_run(run: str, results: Path = RESULTS) -> list[dict]:
    """The warnings of all steps of a run except training, as `_by_kind` returns them."""
    return _by_kind(path_of(rule, run, results=results) for rule in OF_RUNS)


def _by_kind(paths):
    """The warnings of these files by step and kind.

    Returns:
        `step`; `n`, their number; `texts`, at most `LISTED`; `file`, which has all of them.
    """
    kinds: dict[tuple[str, str, str], list[str]] = {}
    for path in paths:
        for one in read(path):
            step = RULES_STEPS.get(one["step"], one["step"])
            kinds.setdefault((step, one["kind"], path.as_posix()), []).append(one["text"])
    return [
        {"step": step, "n": len(texts), "texts": texts[:LISTED], "file": file}
        for (step, _, file), texts in kinds.items()
    ]
