"""The recordings of a corpus: found in folders or lists, dealt into shards.

A row has `root`, `path`, `bytes`, `mtime_ns`, `speaker`, `language` and, or null:
- `known`: the text that is given, a list of `{"start_s", "end_s", "text"}` (both times null: the
  text is that of the whole recording; a null text is to be transcribed; with `speaker`, `language`
  where they change within it, and with `channel`, counted from 0 or null, where a list names one);
- `sidecar`: `[path, bytes, mtime_ns]` of the file that has the text, which is read when the
  recording is looked into;
- `fault`: why the recording cannot be used.
"""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from voicekiln.audio.probe import AUDIO_SUFFIXES
from voicekiln.corpus import layouts, sidecars
from voicekiln.corpus.layouts import Entry, language_code
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json

# lists of texts that a folder may bring (LJSpeech, Hugging Face)
FOLDER_LISTS = ("metadata.csv", "metadata.jsonl")
# folders that name no speaker
GENERIC_FOLDERS = {"wav", "wavs", "audio", "audios", "clips", "flac", "mp3", "raw", "recordings"}
SHOWN = 3


def list_recordings(
    corpus: Mapping[str, Any], default_speaker: str, note: Callable[[str], None] | None = None
) -> list[dict]:
    """All recordings of a corpus, in the order of root and path.

    A file that several sources name is one recording, with the texts of all of them.

    Args:
        corpus: the corpus's section of the configuration.
        default_speaker: who speaks where neither the configuration, a list nor a folder says.
        note: takes what the user should know and nothing stops for, a line each.

    Raises:
        UserError: a source is not there, is wrong, or holds nothing that can be used.
    """
    note = note or (lambda text: None)
    roots = [corpus["audio"]] if isinstance(corpus["audio"], str) else list(corpus["audio"])
    found: dict[str, dict] = {}
    for root in roots:
        for row in _source(root, corpus, note):
            path = os.path.abspath(os.path.join(row["root"], row["path"]))
            first = found.setdefault(path, row)
            if first is not row:
                _join(first, row)
    rows = sorted(found.values(), key=lambda row: (row["root"], row["path"]))
    if not rows:
        raise UserError(
            f"{', '.join(roots)}: no recording found. Looked for files ending in "
            f"{' '.join(sorted(AUDIO_SUFFIXES))}, in all subfolders."
        )
    _give_texts(rows, corpus, note)
    for row in rows:
        _say_who(row, corpus, default_speaker)
    return rows


def require_texts(rows: list[dict], corpus: str) -> None:
    """Stop where nobody is to listen and no recording has a text.

    Raises:
        UserError: naming what the configuration lacks.
    """
    texts = (stretch["text"] for row in rows for stretch in row["known"] or [])
    if not any(texts) and not any(row["sidecar"] for row in rows):
        raise UserError(
            f"corpora.{corpus}: no recording comes with a text, and transcribe.model is not set, "
            "so there would be no text; give `transcripts` or a Whisper model"
        )


def shard_of(path: str, shards: int) -> int:
    """The shard of a recording: a hash of its path relative to its root."""
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8]) % shards


def deal(rows: list[dict], shards: int) -> list[list[dict]]:
    """The rows of each shard."""
    dealt: list[list[dict]] = [[] for _ in range(shards)]
    for row in rows:
        dealt[shard_of(row["path"], shards)].append(row)
    return dealt


def listing_digest(rows: list[dict]) -> str:
    """Digest of a shard's listing: a file added, removed, touched or given another text."""
    return sha256_json([_printable(row) for row in rows])[:16]


def _printable(row):
    """A row whose names can be stored as text."""
    (sidecar, *stat) = row["sidecar"] or [""]
    return {**row, "path": printable(row["path"]), "sidecar": [printable(sidecar), *stat]}


def printable(name: str) -> str:
    """A file name that can be stored as text; bytes that are no UTF-8 are shown as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _source(root: str, corpus: Mapping[str, Any], note) -> Iterable[dict]:
    """The rows of one folder or list; texts that come with it are their `known`."""
    path = Path(root)
    column = corpus["transcript_column"]
    if (path / "wav.scp").is_file():
        return _listed(layouts.kaldi(path, note), path)
    if path.is_dir():
        lists: list[str] = []
        rows = list(_scan(root, lists, note))
        for name in sorted(lists) if corpus["transcripts"] is None else []:
            below = [row for row in rows if row["path"].startswith(os.path.dirname(name) + "/")]
            try:
                _attach(below if "/" in name else rows, path / name, column, note)
            except layouts.NoList as error:  # something else of that name
                note(f"{error}; it is not used")
        return rows
    if path.is_file() and path.suffix.lower() in layouts.SUFFIXES:
        return _listed(layouts.entries(path, column), path.parent)
    raise UserError(
        f"{root}: expected a folder with recordings or a manifest "
        f"({', '.join(sorted(layouts.SUFFIXES))}); it is not there. Correct `audio` in "
        "the configuration; relative paths start at the working directory."
    )


def _scan(root: str, lists: list[str], note) -> Iterator[dict]:
    """The audio files in a folder and in all below it; `lists` takes their `FOLDER_LISTS`."""
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
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(folder) as listing:
                # of a folder that is reached twice, the name does not depend on the file system
                entries = sorted(listing, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise UserError(f"{printable(folder)}: cannot be listed: {error.strerror}") from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = f"{inside}{entry.name}"
            suffix = os.path.splitext(entry.name)[1].lower()
            try:
                if entry.is_dir():
                    stack.append(path + "/")
                elif suffix in AUDIO_SUFFIXES:
                    yield _row(root, path, entry.stat())
                elif entry.name in FOLDER_LISTS:
                    lists.append(path)
                elif suffix not in sidecars.SUFFIXES:
                    others[suffix or "without a suffix"] += 1
            except OSError:  # a link to nowhere or in a ring: listed, refused by the inventory
                yield _row(root, path, None)
    if others:
        kinds = ", ".join(f"{n} {printable(suffix)}" for suffix, n in others.most_common(8))
        note(f"{root}: other files that were not looked at: {kinds}")


def _row(root: str, path: str, stat: os.stat_result | None) -> dict:
    size, mtime_ns = (stat.st_size, stat.st_mtime_ns) if stat else (-1, 0)
    row = {"root": root, "path": path, "bytes": size, "mtime_ns": mtime_ns}
    return row | dict.fromkeys(("speaker", "language", "known", "sidecar", "fault"))


def _listed(entries: Iterable[Entry], folder: Path) -> list[dict]:
    """The recordings of a list; several lines may give stretches of one recording."""
    by_audio: dict[str, list[Entry]] = {}
    for entry in entries:
        by_audio.setdefault(entry.audio, []).append(entry)
    clips = (folder / "clips").is_dir()  # where Common Voice keeps what its lists name
    rows = []
    for audio, lines in by_audio.items():
        if os.path.isabs(audio):
            audio = os.path.relpath(audio, folder)
        elif clips and not (folder / audio).exists():
            audio = f"clips/{audio}"
        try:
            stat = os.stat(folder / audio)
        except OSError:
            stat = None
        row = _row(str(folder), audio, stat)
        row["fault"] = lines[0].fault
        _tell(row, lines)
        rows.append(row)
    return rows


def _tell(row: dict, lines: list[Entry]) -> None:
    """Put into a row what the lines of a list say of it."""
    channels = any(entry.channel is not None for entry in lines)
    stretches = [entry for entry in lines if channels or entry.text or entry.start_s is not None]
    known = [{"start_s": e.start_s, "end_s": e.end_s, "text": e.text} for e in stretches]
    for key in ("speaker", "language"):
        said = [getattr(entry, key) for entry in lines]
        if len(set(said)) > 1:  # within one recording
            for stretch, entry in zip(known, stretches, strict=True):
                value = getattr(entry, key)
                stretch[key] = value and printable(value)
        row[key] = row[key] or next(filter(None, said), None)
    if channels:
        for stretch, entry in zip(known, stretches, strict=True):
            stretch["channel"] = entry.channel
    row["known"] = known or row["known"]


def _join(first: dict, again: dict) -> None:
    """What another source says of a recording."""
    for key in ("speaker", "language"):
        first[key] = first[key] or again[key]
    new = [stretch for stretch in again["known"] or [] if stretch not in (first["known"] or [])]
    first["known"] = [*(first["known"] or []), *new] or None


def _give_texts(rows, corpus, note) -> None:
    """The texts that the configuration's `transcripts` asks for."""
    source = corpus["transcripts"]
    if source == "ignore":
        for row in rows:
            row["known"] = None
    elif source == "sidecar":
        find = sidecars.Finder()
        for row in rows:
            path = None if row["known"] else find(os.path.join(row["root"], row["path"]))
            if path:
                try:
                    stat = os.stat(path)
                except OSError:  # a link to nowhere: told when the recording is looked into
                    stat = os.lstat(path)
                row["sidecar"] = [path, stat.st_size, stat.st_mtime_ns]
        used = {row["sidecar"][0] for row in rows if row["sidecar"]}
        if unused := find.seen() - used:
            shown = ", ".join(repr(printable(path)) for path in sorted(unused)[:SHOWN])
            note(f"{len(unused)} sidecars belong to no recording, or to one with another: {shown}")
    elif source is not None:
        if not Path(source).is_file():
            raise UserError(
                f"{source}: the transcripts are not there. Expected an LJSpeech metadata.csv, a "
                "manifest, or the word `sidecar` for a .txt, .srt, .vtt or .TextGrid beside each "
                "file."
            )
        _attach(rows, Path(source), corpus["transcript_column"], note)


def _attach(rows: list[dict], path: Path, column: int, note) -> None:
    """Give the rows what a list says of them; it may name them by path or by bare name."""
    by_name: dict[str, list[Entry]] = {}
    for entry in layouts.entries(path, column):
        absolute = os.path.isabs(entry.audio)
        name = os.path.relpath(entry.audio, path.parent) if absolute else entry.audio
        by_name.setdefault(name, []).append(entry)
    if not rows:
        return
    takers: dict[str, list[dict]] = {}
    for row in rows:
        from_list = os.path.relpath(os.path.join(row["root"], row["path"]), path.parent)
        stem = os.path.splitext(row["path"])[0]
        bare = os.path.basename(row["path"]), os.path.basename(stem)
        names = (from_list, row["path"], stem, *bare)
        name = next((name for name in names if name in by_name), None)
        if name is not None:
            takers.setdefault(name, []).append(row)
    unused = [lines[0] for name, lines in by_name.items() if name not in takers]
    if unused and not takers:
        raise UserError(
            f"{path}: none of its {len(unused)} names is that of a recording; the first is "
            f"{unused[0].audio!r}, there is {printable(rows[0]['path'])!r}"
        )
    if unused:
        shown = ", ".join(f"{entry.audio!r}" for entry in unused[:SHOWN])
        note(f"{path}: {len(unused)} of {len(by_name)} names are of no recording: {shown} ...")
    for name, named in takers.items():
        for row in named:
            if len(named) == 1:
                _tell(row, by_name[name])
            else:
                others = ", ".join(row["path"] for row in named[:SHOWN])
                row["fault"] = printable(
                    f"{by_name[name][0].where}: {name!r} may be any of {len(named)} recordings "
                    f"({others} ...); write its path, relative to {row['root']}"
                )


def _say_who(row, corpus, default_speaker) -> None:
    """Speaker and language of a row: from its list, the configuration, its path."""
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
    language = row["language"] or in_path.get("language") or corpus["language"]
    speaker = row["speaker"] or corpus["speaker"] or in_path.get("speaker")
    speaker = speaker or _folder_speaker(row["path"], default_speaker)
    row |= {"language": language, "speaker": printable(speaker)}
    row["fault"] = row["fault"] and printable(row["fault"])


def _folder_speaker(path: str, default: str) -> str:
    parts = path.split("/")[:-1]
    named = [part for part in parts if part.lower() not in GENERIC_FOLDERS | {".", ".."}]
    return named[0] if named else default
