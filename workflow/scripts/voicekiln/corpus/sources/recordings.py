"""The recordings of a corpus, found in folders or lists.

A row has `source` (position of its source in the corpus's `audio`), `root` (that source's folder),
`path` (relative to it), `bytes`, `mtime_ns`, `speaker`, `language` and, or null:
- `known`: the text that is given, a list of `{"start_s", "end_s", "text"}` (both times null: the
  text is that of the whole recording; a null text is to be transcribed; with `speaker`, `language`
  where they change within it, and with `channel`, counted from 0 or null, where a list names one);
- `sidecar`: `[path, bytes, mtime_ns]` of the file that has the text, which is read when the
  recording is looked into;
- `fault`: why the recording cannot be used;
- `named`: whether a list names the speaker.
"""

import bisect
import gc
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from voicekiln.audio.suffixes import AUDIO_SUFFIXES
from voicekiln.corpus.sources import kaldi, lists, names, sidecars, speakers
from voicekiln.corpus.sources.attach import attach, listed, row_of
from voicekiln.corpus.sources.entries import NoList, language_code
from voicekiln.corpus.sources.listing import Listing, digest, lines
from voicekiln.corpus.sources.shards import assign, n_shards
from voicekiln.errors import UserError

# lists of texts that a folder may bring (LJSpeech, Hugging Face)
FOLDER_LISTS = ("metadata.csv", "metadata.jsonl")
AUTO = "auto"
RESULTS = "results"  # of the pipeline itself, where `audio` is the working directory
SHOWN = 3


def list_recordings(
    corpus: Mapping[str, Any], default_speaker: str, note: Callable[[str], None] | None = None
) -> list[dict]:
    """All recordings of a corpus, in the order of source and path.

    A file that several sources name is one recording, with the texts of all of them.

    Args:
        corpus: the corpus's section of the configuration.
        default_speaker: the speaker if neither configuration nor list nor folder names one.
        note: called with one line at a time: a `lists.Summary`, or else a warning.

    Raises:
        UserError: a source is missing or malformed, or contains no recordings.
    """
    with _without_collector():
        return _list_recordings(corpus, default_speaker, note or (lambda text: None))


@contextmanager
def _without_collector():
    """Without the garbage collector: searching 100 000 rows for cycles, of which they have none,
    takes longer than reading the list."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def _list_recordings(corpus, default_speaker, note):
    roots = [corpus["audio"]] if isinstance(corpus["audio"], str) else list(corpus["audio"])
    found: dict[str, dict] = {}
    for source, root in enumerate(roots):
        for row in _source(root, corpus, note):
            row["source"] = source
            path = os.path.abspath(os.path.join(row["root"], row["path"]))
            first = found.setdefault(path, row)
            if first is not row:
                _join(first, row)
    rows = sorted(found.values(), key=lambda row: (row["source"], row["path"]))
    if not rows:
        raise UserError(
            f"{', '.join(roots)}: no recording found. Looked for files ending in "
            f"{' '.join(sorted(AUDIO_SUFFIXES))}, in all subfolders."
        )
    _set_texts(rows, corpus, note)
    _set_speakers(rows, corpus, default_speaker, note)
    return rows


def folder_of(source: str) -> str:
    """The folder that paths in a source are relative to: the source, or the list's folder."""
    return source if os.path.isdir(source) else os.path.dirname(source) or "."


def require_texts(rows: list[dict], corpus: str) -> None:
    """Stop a corpus without a recogniser if no recording has a text.

    Raises:
        UserError: naming the missing keys.
    """
    texts = (utterance["text"] for row in rows for utterance in row["reference_texts"] or [])
    if not any(texts) and not any(row["sidecar"] for row in rows):
        raise UserError(
            f"corpora.{corpus}: no recording comes with a text, and transcribe.model is not set; "
            "set `transcripts`, or transcribe.model to a Whisper model"
        )


def listing_of(
    sources: Mapping[str, Any], corpus: str, shards: int | str, needs_texts: bool
) -> Listing:
    """The recordings of a corpus as they are now.

    Args:
        sources: the parts of the corpus's configuration that `list_recordings` reads.
        corpus: its name.
        shards: their number, or `auto`.
        needs_texts: whether the corpus has no recogniser, so that texts must be given.

    Raises:
        UserError: a source is missing or malformed, or contains no recordings.
    """
    notes: list[str] = []
    rows = list_recordings(sources, corpus, notes.append)
    if needs_texts:
        require_texts(rows, corpus)
    n = n_shards(rows) if shards == AUTO else shards
    written = [lines(part) for part in assign(rows, n)]
    about = [(names.printable(note), not isinstance(note, lists.Summary)) for note in notes]
    return Listing([digest(part) for part in written], about, written)


def all_problems(list_corpus: Callable[[str], Any], corpora: Iterable[str]) -> None:
    """List all corpora, to report everything that is wrong at once.

    Raises:
        UserError: with the problem of each corpus that cannot be listed.
    """
    problems = []
    for corpus in corpora:
        try:
            list_corpus(corpus)
        except UserError as error:
            text = str(error)
            problems.append(text if text.startswith("corpora.") else f"corpus {corpus}: {text}")
    if problems:
        raise UserError("\n".join(problems))


def listing_or_problems(
    corpus: str, list_corpus: Callable[[str], Any], corpora: Iterable[str]
) -> Any:
    """The listing of a corpus.

    Raises:
        UserError: it cannot be listed; with the problems of all `corpora`.
    """
    try:
        return list_corpus(corpus)
    except UserError:
        all_problems(list_corpus, corpora)
        return list_corpus(corpus)  # the problem has gone in the meantime


def _choice(corpus) -> lists.Choice:
    """The columns of lists that the configuration names."""
    columns = {key: name for key, name in corpus.get("columns", {}).items() if name != "auto"}
    return lists.Choice(columns)


def _source(root: str, corpus: Mapping[str, Any], note) -> Iterable[dict]:
    """The rows of one folder or list, with the texts that come with it."""
    path = Path(root)
    if (path / "wav.scp").is_file():
        return listed(kaldi.entries(path, note), names.Folder(root), note)
    if path.is_dir():
        found: list[str] = []
        rows = sorted(_scan(root, found, note), key=lambda row: row["path"])
        if corpus["transcripts"] is None:
            _attach_folder_lists(rows, path, sorted(found), corpus, note)
        return rows
    suffix = path.suffix.lower()
    if path.is_file() and suffix in AUDIO_SUFFIXES:
        return [row_of(folder_of(root), path.name, path.stat())]
    if path.is_file() and suffix in lists.SUFFIXES:
        folder = names.Folder(folder_of(root))
        read = lists.read(path, _choice(corpus), folder.holds, note)
        note(read.summary)
        return listed(read.entries, folder, note)
    found_as = "is neither" if path.exists() else "does not exist"
    raise UserError(
        f"{root}: {found_as}; expected a folder with recordings, a recording or a list of them "
        f"({', '.join(sorted(lists.SUFFIXES))}). Correct `audio` in the configuration; relative "
        "paths start at the working directory."
    )


def _attach_folder_lists(rows, root: Path, found: list[str], corpus, note) -> None:
    """Set the texts of a folder's recordings from the lists in it."""
    paths = [row["path"] for row in rows]
    summaries = []
    for name in found:
        folder = os.path.dirname(name)
        first, last = 0, len(rows)
        if folder:  # "0" is what follows "/"
            first, last = (bisect.bisect_left(paths, folder + end) for end in "/0")
        try:
            summaries.append(attach(rows[first:last], root / name, _choice(corpus), note))
        except NoList as error:  # another file of that name
            note(f"{error}; it is not used")
    for summary in summaries[:SHOWN]:
        note(summary)
    if len(summaries) > SHOWN:
        note(lists.Summary(f"{root}: {len(summaries) - SHOWN} more lists were read"))


def _scan(root: str, lists: list[str], note) -> Iterator[dict]:
    """The audio files in a folder and its subfolders; their `FOLDER_LISTS` are added to `lists`."""
    seen: set[tuple[int, int]] = set()
    others: Counter[str] = Counter()
    stack = [""]
    while stack:
        inside = stack.pop()
        folder = os.path.join(root, inside)
        try:
            stat = os.stat(folder)
            if (stat.st_dev, stat.st_ino) in seen:  # a link that leads back
                continue
            if inside and os.path.abspath(folder) == os.path.abspath(RESULTS):
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as listing:
                # sorted: a folder reached by two paths gets the same one on every file system
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise UserError(
                f"{names.printable(folder)}: cannot be listed: {error.strerror}"
            ) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{inside}{entry.name}"
            suffix = os.path.splitext(entry.name)[1].lower()
            try:
                if entry.is_dir():
                    stack.append(path + "/")
                elif suffix in AUDIO_SUFFIXES:
                    yield row_of(root, path, entry.stat())
                elif entry.name in FOLDER_LISTS:
                    lists.append(path)
                elif suffix not in sidecars.SUFFIXES:
                    others[suffix or "without a suffix"] += 1
            except OSError:  # a link to nowhere or in a ring: listed, refused by the inventory
                yield row_of(root, path, None)
    if others:
        kinds = ", ".join(f"{n} {names.printable(suffix)}" for suffix, n in others.most_common(8))
        note(f"{root}: files of other kinds are ignored: {kinds}")


def _join(first: dict, again: dict) -> None:
    """Add speaker, language and texts from another source to the row of the same recording."""
    for key in ("speaker", "language"):
        if None not in (first[key], again[key]) and first[key] != again[key]:
            for row in (first, again):  # each utterance keeps the value of its own source
                for utterance in row["reference_texts"] or []:
                    utterance.setdefault(key, row[key])
        first[key] = first[key] or again[key]
    texts = first["reference_texts"] or []
    new = [utterance for utterance in again["reference_texts"] or [] if utterance not in texts]
    first["reference_texts"] = [*texts, *new] or None


def _set_texts(rows, corpus, note) -> None:
    """Set the texts, as `transcripts` in the configuration demands."""
    source = corpus["transcripts"]
    if source == "ignore":
        for row in rows:
            row["reference_texts"] = None
    elif source == "sidecar":
        _find_sidecars(rows, corpus["language"], note)
    elif source is not None:
        if not Path(source).is_file():
            raise UserError(
                f"{source}: this file does not exist. Set `transcripts` to a list (LJSpeech's "
                f"metadata.csv, a manifest), or to `sidecar` for a {sidecars.FORMATS} beside each "
                "file."
            )
        note(attach(rows, Path(source), _choice(corpus), note))


def _find_sidecars(rows, language, note) -> None:
    find, of_listed = sidecars.Finder(), sidecars.Finder()
    second: set[str] = set()  # sidecars of recordings whose texts a list gives
    untimed = []  # recordings whose times a list gives, without texts
    for row in rows:
        audio = os.path.join(row["root"], row["path"])
        has_text = any(utterance["text"] for utterance in row["reference_texts"] or [])
        try:
            if has_text:
                second.update(filter(None, [of_listed(audio, row["language"] or language)]))
                continue
            path = find(audio, row["language"] or language)
        except UserError as error:
            if has_text:
                continue
            row["fault"] = row["fault"] or str(error)
            note(f"{names.printable(row['path'])} cannot be used: {names.printable(str(error))}.")
            continue
        if path:
            try:
                stat = os.stat(path)
            except OSError:  # a link to nowhere: the inventory reports it
                stat = os.lstat(path)
            row["sidecar"] = [path, stat.st_size, stat.st_mtime_ns]
            if any(utterance["start_s"] is not None for utterance in row["reference_texts"] or []):
                untimed.append(row["path"])
    if find.foreign:
        note(
            f"{len(find.foreign)} sidecars are used although their names contain the code of "
            f"another language than {language}: {_first(find.foreign)}. Remove them if they are "
            "translations."
        )
    if find.competing:
        used, others = find.competing[0]
        note(
            f"{len(find.competing)} recordings have several sidecars; for the first, "
            f"{_first([used])} is used and {_first(others)} is not. Remove the wrong ones."
        )
    if second:
        note(
            f"{len(second)} sidecars are not used because a list gives the texts of their "
            f"recordings: {_first(sorted(second))}. Remove those texts from the list to use them."
        )
    if untimed:
        note(
            f"{len(untimed)} recordings have sidecars, and times without texts in a list; the "
            f"sidecars are used and these times are not: {_first(untimed)}. Remove the sidecars to "
            "have the listed times transcribed, or write the texts into the list."
        )
    known = second | {path for _, others in find.competing for path in others}
    if unused := find.seen() - {row["sidecar"][0] for row in rows if row["sidecar"]} - known:
        note(
            f"{len(unused)} files with a sidecar's suffix match no recording: "
            f"{_first(sorted(unused))}"
        )


def _first(paths) -> str:
    return ", ".join(repr(names.printable(path)) for path in paths[:SHOWN])


def _set_speakers(rows, corpus, default_speaker, note) -> None:
    """Set speaker and language of each row, from its list, the configuration or its path."""
    by_root: dict[str, list[str]] = {}
    for row in rows:
        by_root.setdefault(row["root"], []).append(row["path"])
    below = {root: speakers.below_common_root(paths) for root, paths in by_root.items()}
    of_folders, unnamed = [], 0
    for row in rows:
        row["named"] = bool(row["speaker"])
        speaker = _named_speaker(row, corpus)
        if not speaker:
            folders = speakers.of_folders(below[row["root"]][row["path"]])
            of_folders.append(folders)
            unnamed += not folders
            speaker = folders[0] if folders else default_speaker
        row["speaker"] = names.speaker(speaker)
        row["fault"] = row["fault"] and names.printable(row["fault"])
    speakers.note_a_wrapper(of_folders, note)
    if unnamed:
        which = "the recordings" if unnamed == len(rows) else f"{unnamed} of the recordings"
        note(
            lists.Summary(
                f"no list, folder or pattern names the speaker of {which}; they are assigned to "
                f"one speaker, {default_speaker}"
            )
        )


def _named_speaker(row, corpus) -> str | None:
    """The speaker named by a list, the configuration or path_pattern; sets the language."""
    in_path = {}
    if corpus["path_pattern"]:
        match = re.search(corpus["path_pattern"], row["path"])
        in_path = match.groupdict() if match else {}
        if not any(in_path.values()):
            row["fault"] = row["fault"] or (
                f"its path does not match path_pattern, {corpus['path_pattern']}"
            )
        try:
            in_path |= {"language": language_code(in_path.get("language"), "path_pattern")}
        except UserError as error:
            row["fault"] = row["fault"] or str(error)
            in_path["language"] = None
    row["language"] = row["language"] or in_path.get("language") or corpus["language"]
    return row["speaker"] or corpus["speaker"] or in_path.get("speaker")
