"""The recordings of a corpus: found in folders or manifests, dealt into shards.

A row is `{"root", "path", "bytes", "mtime_ns", "speaker", "language", "known"}`; `known` is the
text that is given for the recording, a list of `{"start_s", "end_s", "text"}` (both times null: the
text is that of the whole recording), or null. A row whose sidecar cannot be read has a `fault`.
"""

import csv
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from voicekiln.audio.probe import AUDIO_SUFFIXES
from voicekiln.corpus import subtitles
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_json

MANIFEST_SUFFIXES = {".jsonl", ".json", ".csv", ".tsv"}
TIMED_SUFFIXES = (".srt", ".vtt", ".TextGrid")
AUDIO_KEYS = ("audio_filepath", "path", "audio", "file", "audio_file")  # NeMo's name first
# folders that name no speaker
GENERIC_FOLDERS = {"wav", "wavs", "audio", "audios", "clips", "flac", "mp3", "raw", "recordings"}


def list_recordings(corpus: Mapping[str, Any], default_speaker: str) -> list[dict]:
    """All recordings of a corpus, in the order of root and path.

    Args:
        corpus: the corpus's section of the configuration.
        default_speaker: who speaks where neither the configuration, the manifest nor a folder says.

    Raises:
        UserError: a root or the transcripts are not there, or hold nothing that can be used.
    """
    roots = [corpus["audio"]] if isinstance(corpus["audio"], str) else list(corpus["audio"])
    rows = []
    for root in roots:
        path = Path(root)
        if path.is_dir():
            rows += _scan(root)
        elif path.is_file() and path.suffix.lower() in MANIFEST_SUFFIXES:
            rows += _manifest(path)
        else:
            raise UserError(
                f"{root}: expected a folder with recordings or a manifest "
                f"({', '.join(sorted(MANIFEST_SUFFIXES))}); it is not there. Correct `audio` in "
                "the configuration; relative paths start at the working directory."
            )
    if not rows:
        raise UserError(
            f"{', '.join(roots)}: no recording found. Looked for files ending in "
            f"{' '.join(sorted(AUDIO_SUFFIXES))}, in all subfolders."
        )
    known = _transcripts(corpus, rows)
    for row in rows:
        row["known"] = known(row)
        row["language"] = str(row.get("language") or corpus["language"])
        speaker = row.get("speaker") or corpus["speaker"]
        speaker = speaker or _folder_speaker(row["path"], default_speaker)
        row["speaker"] = printable(str(speaker))
    return sorted(rows, key=lambda row: (row["root"], row["path"]))


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
    return sha256_json([{**row, "path": printable(row["path"])} for row in rows])[:16]


def printable(name: str) -> str:
    """A file name that can be stored as text; bytes that are no UTF-8 are shown as escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _scan(root: str) -> Iterator[dict]:
    seen: set[tuple[int, int]] = set()
    stack = [root]
    while stack:
        folder = stack.pop()
        stat = os.stat(folder)
        if (stat.st_dev, stat.st_ino) in seen:  # a link that leads back
            continue
        seen.add((stat.st_dev, stat.st_ino))
        with os.scandir(folder) as entries:
            # of a folder that is reached twice, the name does not depend on the file system
            for entry in sorted(entries, key=lambda entry: entry.name, reverse=True):
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir():
                        stack.append(entry.path)
                    elif Path(entry.name).suffix.lower() in AUDIO_SUFFIXES:
                        yield _row(root, os.path.relpath(entry.path, root))
                except OSError:  # a link to nowhere or in a ring: listed, refused by the inventory
                    yield _row(root, os.path.relpath(entry.path, root))


def _row(root: str, path: str, **extra: Any) -> dict:
    try:
        stat = os.stat(os.path.join(root, path))
        size, mtime_ns = stat.st_size, stat.st_mtime_ns
    except OSError:
        size, mtime_ns = -1, 0
    path = path.replace(os.sep, "/")
    return {"root": root, "path": path, "bytes": size, "mtime_ns": mtime_ns, **extra}


def _folder_speaker(path: str, default: str) -> str:
    parts = path.split("/")[:-1]
    named = [part for part in parts if part.lower() not in GENERIC_FOLDERS]
    return named[0] if named else default


def _manifest(path: Path) -> list[dict]:
    """Recordings of a manifest; several lines may give stretches of one recording."""
    rows: dict[str, dict] = {}
    for line, entry in _entries(path):
        audio = next((entry[key] for key in AUDIO_KEYS if entry.get(key)), None)
        if not isinstance(audio, str) or "\0" in audio:
            raise UserError(
                f"{path}, line {line}: names no audio file; expected its path under one of "
                f"{', '.join(AUDIO_KEYS)}"
            )
        if os.path.isabs(audio):
            audio = os.path.relpath(audio, path.parent)
        row = rows.setdefault(
            audio,
            _row(
                str(path.parent),
                audio,
                speaker=entry.get("speaker"),
                language=entry.get("language") or entry.get("lang"),
            ),
        )
        if entry.get("text"):
            row.setdefault("spans", []).append(_span(entry, f"{path}, line {line}"))
    return list(rows.values())


def _span(entry: Mapping[str, Any], where: str) -> dict:
    try:
        start = entry.get("offset")
        length = entry.get("duration")
        start_s = None if start in (None, "") else float(start)
        end_s = None if start_s is None or length in (None, "") else start_s + float(length)
        if not 0 <= (start_s or 0.0) < (math.inf if end_s is None else end_s):
            raise ValueError(f"{start} + {length}")
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{where}: offset and duration must be numbers of seconds, not negative ({error})"
        ) from error
    return {"start_s": start_s, "end_s": end_s, "text": str(entry["text"])}


def _entries(path: Path) -> Iterator[tuple[int, dict]]:
    """Line number and fields of each line of a JSONL, CSV or TSV manifest."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".json"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, _object(line, f"{path}, line {number}")
            else:
                delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
                reader = csv.DictReader(file, delimiter=delimiter)
                for entry in reader:
                    yield reader.line_num, entry
    except (ValueError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a manifest: {error}") from error


def _object(line: str, where: str) -> dict:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: no JSON ({error.args[0].split(':')[0]})") from error
    if not isinstance(entry, dict):
        raise UserError(f"{where}: expected an object {{...}} on each line")
    return entry


def _transcripts(corpus: Mapping[str, Any], rows: list[dict]):
    """A function that gives a row's known text (`known` of the module's docstring)."""
    source = corpus["transcripts"]
    if source is None:
        return lambda row: row.pop("spans", None)
    if source == "sidecar":
        return lambda row: row.pop("spans", None) or _sidecar(row, corpus["textgrid_tier"])
    path = Path(source)
    if not path.is_file():
        raise UserError(
            f"{source}: the transcripts are not there. Expected an LJSpeech metadata.csv, a JSONL "
            "manifest, or the word `sidecar` for a .txt, .srt, .vtt or .TextGrid beside each file."
        )
    table = _table(path, corpus["transcript_column"])

    def find(row: dict) -> list[dict] | None:
        name = row["path"]
        stem = name.rsplit(".", 1)[0]
        spans = row.pop("spans", None)
        for key in (name, stem, Path(name).name, Path(stem).name):
            if key in table:
                return table[key]
        return spans

    return find


def _sidecar(row: dict, tier: str | None) -> list[dict] | None:
    """The text beside a recording; what is wrong with it goes into the row as its `fault`."""
    base = os.path.splitext(os.path.join(row["root"], row["path"]))[0]
    try:
        for suffix in TIMED_SUFFIXES:
            if os.path.exists(base + suffix):
                return subtitles.read(Path(base + suffix), tier) or None
        for suffix in (".txt", ".lab"):
            try:
                text = Path(base + suffix).read_text(encoding="utf-8-sig").strip()
            except FileNotFoundError:
                continue
            except UnicodeDecodeError as error:
                raise UserError(
                    f"{base}{suffix}: expected UTF-8 text ({error}). Save it as UTF-8."
                ) from error
            if text:
                return [{"start_s": None, "end_s": None, "text": text}]
    except (UserError, OSError, OverflowError) as error:
        row["fault"] = printable(str(error))
    return None


def _table(path: Path, column: int) -> dict[str, list[dict]]:
    """Known texts by recording: full relative path, or its name with or without suffix."""
    if path.suffix.lower() in (".jsonl", ".json"):
        table: dict[str, list[dict]] = {}
        for line, entry in _entries(path):
            audio = next((entry[key] for key in AUDIO_KEYS if entry.get(key)), None)
            if audio and entry.get("text"):
                table.setdefault(str(audio), []).append(_span(entry, f"{path}, line {line}"))
        return table
    return _ljspeech(path, column)


def _ljspeech(path: Path, column: int) -> dict[str, list[dict]]:
    """`id|text|normalised text`, no header, no quoting (LJSpeech 1.1, README)."""
    table = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: expected UTF-8 text ({error}). Save it as UTF-8.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        fields = line.split("|")
        if len(fields) < 2:
            raise UserError(f"{path}, line {number}: expected `id|text` or `id|text|text`")
        text = fields[min(column, len(fields)) - 1].strip() or fields[1].strip()
        table[fields[0].strip()] = [{"start_s": None, "end_s": None, "text": text}]
    return table
