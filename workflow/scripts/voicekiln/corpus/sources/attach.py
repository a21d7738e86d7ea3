"""Lines of a list -> rows of the recordings that they name."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from voicekiln.corpus.sources import lists, names
from voicekiln.corpus.sources.entries import Entry
from voicekiln.errors import UserError

SHOWN = 3


def row_of(root: str, path: str, stat: os.stat_result | None) -> dict:
    """The row of a file without any facts from lists; `stat` is None if the file is missing."""
    size, mtime_ns = (stat.st_size, stat.st_mtime_ns) if stat else (-1, 0)
    row = {"root": root, "path": path, "bytes": size, "mtime_ns": mtime_ns}
    return row | dict.fromkeys(("speaker", "language", "reference_texts", "sidecar", "fault"))


def listed(
    entries: Iterable[Entry], folder: names.Folder, note: Callable[[str], None]
) -> list[dict]:
    """Rows of the recordings of a list; several lines may give utterances of one recording."""
    located: dict[str, dict] = {}
    rows: dict[str, tuple[dict, list[Entry]]] = {}
    for entry in entries:
        if entry.audio not in located:
            located[entry.audio] = _locate(entry.audio, folder)
        row = located[entry.audio]
        rows.setdefault(row["path"], (row, []))[1].append(entry)
    for row, lines in rows.values():
        row["fault"] = row["fault"] or lines[0].fault
        _apply(row, lines)
    loose = [(audio, row["path"]) for audio, row in located.items() if _is_loose(audio, row)]
    if loose:
        name, path = loose[0]
        note(
            f"{len(loose)} of the names that the list in {folder.path} gives differ from their "
            f"files in case or suffix: {name!r} is read as {names.printable(path)!r} ..."
        )
    return [row for row, _ in rows.values()]


def _is_loose(audio, row):
    """Whether the name of the file that was found differs from the name in the list."""
    path = row["path"]
    if row["bytes"] < 0 or path.endswith(audio):
        return False
    name, file = (names.one_form(os.path.basename(names.slashes(n))) for n in (audio, path))
    return file not in (name, name + os.path.splitext(file)[1])


def _locate(audio: str, folder: names.Folder) -> dict:
    """The row of the file that a name in a list refers to."""
    name, fault = names.tidy(audio), None
    try:
        stat = os.stat(os.path.join(folder.path, name))
    except OSError:
        stat = None
        if names.DRIVE.match(audio):
            fault = (
                f"{audio!r} is a path on a Windows drive; expected a path relative to the "
                "list's folder"
            )
        else:
            try:
                found = folder.find(audio)
                stat = found and os.stat(os.path.join(folder.path, found))
                name = found or names.slashes(audio)
            except (UserError, OSError) as error:
                fault = str(error)
    if os.path.isabs(name):
        name = os.path.relpath(name, folder.path)
    return row_of(folder.path, name, stat or None) | {"fault": fault}


def _apply(row: dict, lines: list[Entry]) -> None:
    """Set the texts, speaker and language of a row from its lines of a list."""
    channels = any(entry.channel is not None for entry in lines)
    utterances = [entry for entry in lines if channels or entry.text or entry.start_s is not None]
    texts = [{"start_s": e.start_s, "end_s": e.end_s, "text": e.text} for e in utterances]
    for key in ("speaker", "language"):
        value = getattr(lines[0], key)
        if len(lines) > 1:
            values = [getattr(entry, key) for entry in lines]
            value = next(filter(None, values), None)
            if len(set(values)) > 1:  # within one recording
                for utterance, entry in zip(texts, utterances, strict=True):
                    name = getattr(entry, key)
                    utterance[key] = name and names.speaker(name)
        row[key] = row[key] or value
    if channels:
        for utterance, entry in zip(texts, utterances, strict=True):
            utterance["channel"] = entry.channel
    row["reference_texts"] = texts or row["reference_texts"]


def attach(rows: list[dict], path: Path, choice: lists.Choice, note) -> str:
    """Add the texts, speakers and languages of a list to rows that it names by path or bare name.

    Returns:
        the summary of how the list was read.
    """
    known: set[str] = set()

    def is_recording(name):
        if not known:
            known.update(names.last_part(row["path"]) for row in rows)
        return names.last_part(name) in known

    read = lists.read(path, choice, is_recording, note)
    by_name: dict[str, list[Entry]] = {}
    for entry in read.entries:
        absolute = os.path.isabs(entry.audio)
        name = os.path.relpath(entry.audio, path.parent) if absolute else names.tidy(entry.audio)
        by_name.setdefault(name, []).append(entry)
    if not rows:
        return read.summary
    takers, looser = names.match(by_name, _forms(rows, path.parent))
    for about, n, example in looser:
        note(f"{path}: {n} of its names {about}, such as {example}")
    unused = [lines[0] for name, lines in by_name.items() if name not in takers]
    if unused and not takers:
        raise UserError(
            f"{path}: none of its {len(unused)} names matches a recording; the first name is "
            f"{unused[0].audio!r}, the first recording {names.printable(rows[0]['path'])!r}"
        )
    if unused:
        shown = ", ".join(f"{entry.audio!r}" for entry in unused[:SHOWN])
        note(f"{path}: {len(unused)} of {len(by_name)} names match no recording: {shown} ...")
    named = {i for found in takers.values() for i in found}
    if rest := [row["path"] for i, row in enumerate(rows) if i not in named]:
        shown = ", ".join(repr(names.printable(name)) for name in rest[:SHOWN])
        note(f"{path}: {len(rest)} of {len(rows)} recordings are not in it: {shown} ...")
    lines_of: dict[int, list[Entry]] = {}
    for name, named in takers.items():
        for i in named:
            lines_of.setdefault(i, []).extend(by_name[name])
            if len(named) > 1:
                others = ", ".join(rows[k]["path"] for k in named[:SHOWN])
                rows[i]["fault"] = names.printable(
                    f"{by_name[name][0].where}: {name!r} matches {len(named)} recordings ({others} "
                    f"...); write its path, relative to {rows[i]['root']}"
                )
    for i, lines in lines_of.items():
        if not rows[i]["fault"]:
            _apply(rows[i], lines)
    return read.summary


def _forms(rows, folder: Path) -> list[tuple[str, ...]]:
    """The names by which a list in `folder` may refer to each recording, most exact first."""
    from_list = {root: os.path.relpath(root, folder) for root in {row["root"] for row in rows}}
    forms = []
    for row in rows:
        path, base = row["path"], from_list[row["root"]]
        stem = os.path.splitext(path)[0]
        whole = path if base == "." else os.path.normpath(f"{base}/{path}")
        forms.append((whole, path, stem, path.rpartition("/")[2], stem.rpartition("/")[2]))
    return forms
