"""What the lines of a list say about recordings."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from voicekiln.corpus.sources import lists, names
from voicekiln.corpus.sources.entries import Entry
from voicekiln.errors import UserError

SHOWN = 3


def row_of(root: str, path: str, stat: os.stat_result | None) -> dict:
    size, mtime_ns = (stat.st_size, stat.st_mtime_ns) if stat else (-1, 0)
    row = {"root": root, "path": path, "bytes": size, "mtime_ns": mtime_ns}
    return row | dict.fromkeys(("speaker", "language", "reference_texts", "sidecar", "fault"))


def listed(
    entries: Iterable[Entry], folder: names.Folder, note: Callable[[str], None]
) -> list[dict]:
    """The recordings of a list; several lines may give stretches of one recording."""
    located: dict[str, dict] = {}
    rows: dict[str, tuple[dict, list[Entry]]] = {}
    for entry in entries:
        if entry.audio not in located:
            located[entry.audio] = _locate(entry.audio, folder)
        row = located[entry.audio]
        rows.setdefault(row["path"], (row, []))[1].append(entry)
    for row, lines in rows.values():
        row["fault"] = row["fault"] or lines[0].fault
        _tell(row, lines)
    loose = [(audio, row["path"]) for audio, row in located.items() if _is_loose(audio, row)]
    if loose:
        name, path = loose[0]
        note(
            f"{len(loose)} of the names that the list in {folder.path} gives differ from their "
            f"files in case or suffix: {name!r} is taken for {names.printable(path)!r} ..."
        )
    return [row for row, _ in rows.values()]


def _is_loose(audio, row):
    """Whether a file was found whose name is not quite the one in the list."""
    path = row["path"]
    if row["bytes"] < 0 or path.endswith(audio):
        return False
    name, file = (names.one_form(os.path.basename(names.slashes(n))) for n in (audio, path))
    return file not in (name, name + os.path.splitext(file)[1])


def _locate(audio: str, folder: names.Folder) -> dict:
    """The row of a file that a list names."""
    name, fault = names.tidy(audio), None
    try:
        stat = os.stat(os.path.join(folder.path, name))
    except OSError:
        stat = None
        if names.DRIVE.match(audio):
            fault = (
                f"{audio!r} is a path with backslashes on a Windows drive; write it from the "
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


def _tell(row: dict, lines: list[Entry]) -> None:
    """Put into a row what the lines of a list say of it."""
    channels = any(entry.channel is not None for entry in lines)
    stretches = [entry for entry in lines if channels or entry.text or entry.start_s is not None]
    known = [{"start_s": e.start_s, "end_s": e.end_s, "text": e.text} for e in stretches]
    for key in ("speaker", "language"):
        value = getattr(lines[0], key)
        if len(lines) > 1:
            values = [getattr(entry, key) for entry in lines]
            value = next(filter(None, values), None)
            if len(set(values)) > 1:  # within one recording
                for stretch, entry in zip(known, stretches, strict=True):
                    said = getattr(entry, key)
                    stretch[key] = said and names.speaker(said)
        row[key] = row[key] or value
    if channels:
        for stretch, entry in zip(known, stretches, strict=True):
            stretch["channel"] = entry.channel
    row["reference_texts"] = known or row["reference_texts"]


def attach(rows: list[dict], path: Path, choice: lists.Choice, note) -> str:
    """Give the rows what a list says of them, which may name them by path or by bare name.

    Returns:
        how the list was understood.
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
    takers, said = names.match(by_name, _forms(rows, path.parent))
    for about, n, example in said:
        note(f"{path}: {n} of its names {about}, such as {example}")
    unused = [lines[0] for name, lines in by_name.items() if name not in takers]
    if unused and not takers:
        raise UserError(
            f"{path}: none of its {len(unused)} names is that of a recording; the first is "
            f"{unused[0].audio!r}, there is {names.printable(rows[0]['path'])!r}"
        )
    if unused:
        shown = ", ".join(f"{entry.audio!r}" for entry in unused[:SHOWN])
        note(f"{path}: {len(unused)} of {len(by_name)} names belong to no recording: {shown} ...")
    named = {i for found in takers.values() for i in found}
    if rest := [row["path"] for i, row in enumerate(rows) if i not in named]:
        shown = ", ".join(repr(names.printable(name)) for name in rest[:SHOWN])
        note(f"{path}: {len(rest)} of {len(rows)} recordings are not in it: {shown} ...")
    told: dict[int, list[Entry]] = {}
    for name, named in takers.items():
        for i in named:
            told.setdefault(i, []).extend(by_name[name])
            if len(named) > 1:
                others = ", ".join(rows[k]["path"] for k in named[:SHOWN])
                rows[i]["fault"] = names.printable(
                    f"{by_name[name][0].where}: {name!r} may be any of {len(named)} recordings "
                    f"({others} ...); write its path, relative to {rows[i]['root']}"
                )
    for i, lines in told.items():
        if not rows[i]["fault"]:
            _tell(rows[i], lines)
    return read.summary


def _forms(rows, folder: Path) -> list[tuple[str, ...]]:
    """The names by which a list in `folder` may mean each recording, the most exact first."""
    from_list = {root: os.path.relpath(root, folder) for root in {row["root"] for row in rows}}
    forms = []
    for row in rows:
        path, base = row["path"], from_list[row["root"]]
        stem = os.path.splitext(path)[0]
        whole = path if base == "." else os.path.normpath(f"{base}/{path}")
        forms.append((whole, path, stem, path.rpartition("/")[2], stem.rpartition("/")[2]))
    return forms
