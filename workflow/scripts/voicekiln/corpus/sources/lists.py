"""Lists of recordings in common formats: JSON, or tables with or without a header.

JSON has one object per line (NVIDIA NeMo's manifests) or is an array of objects. Tables are
separated by `|` (LJSpeech, VITS, Coqui, F5-TTS), tabs (Common Voice), semicolons or commas.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from voicekiln.corpus.sources import columns, contents, delimited, json_lists
from voicekiln.corpus.sources.columns import TIMES, Column, Reading
from voicekiln.corpus.sources.entries import Entry, NoList, channel_number, language_code, span
from voicekiln.corpus.sources.names import bare
from voicekiln.errors import UserError
from voicekiln.text.decoding import decode, read_bytes

SUFFIXES = {".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".list", ".lst"}


@dataclass(frozen=True)
class Choice:
    """The columns of lists that the configuration names.

    Attributes:
        columns: position or name of each field; None if the list has no such column.
    """

    columns: Mapping[str, int | str | None] = field(default_factory=dict)


class Summary(str):
    """A note on how a source was read; not a warning."""


@dataclass(frozen=True)
class List:
    """The entries of a list, and a line on how its columns were read."""

    entries: list[Entry]
    summary: Summary


def read(
    path: Path,
    choice: Choice | None = None,
    is_recording: Callable[[str], bool] = lambda name: False,
    note: Callable[[str], None] = lambda text: None,
) -> List:
    """The lines of a list.

    Args:
        choice: the columns that the configuration names.
        is_recording: whether a name is that of a recording, to distinguish columns.
        note: called with each warning.

    Raises:
        UserError: with file, line and what was expected there.
    """
    choice = choice or Choice()
    content = read_bytes(path)
    text, guessed = decode(content, path)
    if guessed:
        note(guessed)
    form = _form(content[: 1 << 16])
    json = path.suffix.lower() in (".jsonl", ".ndjson", ".json")
    if json or text.lstrip().startswith("{"):
        rows = json_lists.rows(path, text)
        names = [(name, name) for name in json_lists.keys(path, rows)]
        chosen = _chosen(path, choice, names)
        reading = columns.by_name(names, chosen, str(path))
        if "text" not in chosen and not reading.of.get("text"):
            _stop_at_texts(rows, names, reading, path)
        _check_one_reading(rows, reading, dict(names))
        return _list(path, rows, reading, dict(names), form)
    return _table(path, text, choice, is_recording, form, note)


def _form(head):
    """Unusual encoding or line ends, for the summary of a list."""
    marks = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\xef\xbb": "a byte order mark"}
    found = [marks[head[:2]]] if head[:2] in marks else []
    if b"\0" in head and not found:
        found.append("UTF-16")
    if b"\r" in head and b"\n" not in head:
        found.append("line ends of an old Mac")
    return f" ({', '.join(found)})" if found else ""


# tables


def _table(path, text, choice, is_recording, form, note):
    separator, rows = delimited.rows(path, text, is_recording)
    if not rows:
        return List([], Summary(f"{path}: 0 lines"))
    if any(len(row) > 1 for _, row in rows):
        form = f" separated by {delimited.SEPARATORS[separator]}{form}"
    named = any(isinstance(column, str) for column in choice.columns.values())
    if named or columns.is_header(rows[0][1], is_recording):
        return _with_header(path, rows, choice, separator, form)
    return _without_header(path, rows, choice, separator, is_recording, form, note)


def _with_header(path, rows, choice, separator, form):
    (number, header), *rows = rows
    where = f"{path}, line {number}"
    names = [(name or f"column {i + 1}", i) for i, name in enumerate(header)]
    width = len(header)
    while width and not header[width - 1]:  # what a spreadsheet leaves behind the last column
        width -= 1
    for number, row in rows:
        if any(row[len(header) :]) or len(row) > len(header) + 1:
            raise UserError(
                f"{path}, line {number}: {len(row)} fields under a header of {len(header)}; put "
                "texts that contain the separator in quotation marks"
            )
    delimited.check_quotes(path, rows, len(header), separator)
    names = names[:width]
    chosen = _chosen(path, choice, names)
    reading = columns.by_name(names, chosen, where)
    if not reading.of.get("file"):
        reading = _file_by_content(rows, names, reading, where)
    if "text" not in chosen and not reading.of.get("text"):
        _stop_at_texts(rows, names, reading, where)
    name = f"{path}, line "
    lines = [(name + str(number), row) for number, row in rows]
    _check_one_reading(lines, reading, {i: name for name, i in names})
    return _list(path, lines, reading, {i: name for name, i in names}, form)


def _check_one_reading(rows, reading, names):
    """Stop if two columns have names for the text, or for the file, and different values."""
    for key in ("file", "text"):
        found = reading.of.get(key, [])
        for column in found[1:]:
            for where, row in rows:
                first, other = _values(row, found[:1]), _values(row, [column])
                if None not in (first, other) and _differ(key, first, other):
                    one, two = names[found[0]][:40], names[column][:40]
                    raise UserError(
                        f"{where}: {one!r} and {two!r} may each be the {key} and differ; name the "
                        f"right one in the configuration: `columns: {{{key}: {one}}}`"
                    )


def _differ(key, first, other):
    if key == "text" or not (isinstance(first, str) and isinstance(other, str)):
        return first != other
    return bare(first) != bare(other)


def _file_by_content(rows, names, reading, where):
    """`reading` with the only column that contains names of audio files, whatever its name."""
    free = [(name, i) for name, i in names if name in reading.unused]
    found = []
    for name, i in free:
        values = [row[i] for _, row in rows if i < len(row) and row[i]]
        if values and all(map(columns.has_audio_suffix, values)):
            found.append((name, i))
    if len(found) != 1:
        several = f"{columns.listed(found)} may each be" if found else "none is recognised as"
        raise NoList(
            f"{where}: names no audio file; of the columns {columns.listed(names)} {several} the "
            "file's. Name it in the configuration, for example `columns: {file: ...}`"
        )
    name, i = found[0]
    unused = [other for other in reading.unused if other != name]
    return Reading({**reading.of, "file": [i]}, reading.scales, unused)


def _stop_at_texts(rows, names, reading, where):
    """Stop if no column is used as the text and an unused one contains texts."""
    for name, i in names:
        if name in reading.unused:
            values = [_values(row, [i]) for _, row in rows]
            values = [value for value in values if isinstance(value, str)]
            if values and contents.holds_texts(values):
                raise UserError(
                    f"{where}: no column is named as the text; {name[:40]!r} may be it. Set "
                    f"`columns: {{text: {name[:40]}}}` in the configuration, or `columns: {{text: "
                    "null}` if the list has no texts"
                )


def _without_header(path, rows, choice, separator, is_recording, form, note):
    widths = Counter(len(row) for _, row in rows)
    width = max(widths, key=lambda n: (widths[n], n))
    least = 2 if separator in "|\t" else width  # a comma may belong to a text, rarely a |
    for number, row in rows:
        if not min(least, width) <= len(row) <= width:
            raise UserError(
                f"{path}, line {number}: found {len(row)} fields where {width} are expected; lists "
                "whose texts contain the separator need quotation marks or another separator"
            )
    delimited.check_quotes(path, rows, width, separator)
    names = [(f"column {i + 1}", i) for i in range(width)]
    shown = dict.fromkeys(range(width), "")
    if any(_is_unknown_header(rows, i) for i in range(width)):
        shown = dict(enumerate(rows[0][1]))
        rows = rows[1:]
    chosen = _chosen(path, choice, names)
    if chosen.get("text") is not None:
        _check_text_column(path, rows, chosen["text"], note)
    fields = [row for _, row in rows]
    reading = contents.by_content(fields, chosen, is_recording, str(path), separator in "|\t")
    if reading is None:
        raise NoList(
            f"{path}, line {rows[0][0]}: names no audio file; expected a header with one of "
            f"{', '.join(columns.NAMES['file'].split()[:6])}, or lines of `id|text`"
        )
    name = f"{path}, line "
    lines = [(name + str(number), row) for number, row in rows]
    return _list(path, lines, reading, shown, form)


def _check_text_column(path, rows, i, note):
    """Warn if the column that columns.text names clearly contains no texts."""
    held = contents.no_texts([row for _, row in rows], i)
    if held:
        number, row = next((line for line in rows if i < len(line[1]) and line[1][i]), rows[0])
        note(
            f"{path}: columns.text is {i + 1}, but column {i + 1} seems to contain {held} and no "
            f"texts (line {number}: {' | '.join(row)[:80]!r}); if so, set columns.text to the "
            "column of the texts, or to auto"
        )


def _is_unknown_header(rows, i):
    """Whether the first line is a header of unknown names: in the i-th column, all lines but the
    first contain the name of an audio file."""
    named = (i < len(row) and columns.has_audio_suffix(row[i]) for _, row in rows)
    return len(rows) > 1 and not next(named) and all(named)


def _chosen(path, choice, names) -> dict[str, Column | None]:
    """The columns of this list that the configuration names."""
    columns_by_name = {columns.compact(name): column for name, column in names}
    found: dict[str, Column | None] = {}
    for key, column in choice.columns.items():
        if column is None and key == "file":
            raise UserError(f"{path}: columns.file is null, but a list must name its recordings")
        if column is None:
            found[key] = None
        elif isinstance(column, int):
            if not 1 <= column <= len(names) or isinstance(names[column - 1][1], str):
                raise UserError(
                    f"{path}: columns.{key} is {column}, and the list has "
                    + ("names" if names and isinstance(names[0][1], str) else f"{len(names)}")
                    + f" columns ({columns.listed(names)})"
                )
            found[key] = column - 1
        elif columns.compact(column) in columns_by_name:
            found[key] = columns_by_name[columns.compact(column)]
        else:
            raise UserError(
                f"{path}: columns.{key} is {column}, but no column has that name; the columns are "
                f"{columns.listed(names)}"
            )
    return found


# what both become


def _list(path, rows: Sequence[tuple[str, Any]], reading: Reading, names, form) -> List:
    """The entries of rows, with their summary."""
    if not reading.of.get("file") and rows:
        known = ", ".join(columns.NAMES["file"].split()[:6])
        raise UserError(
            f"{rows[0][0]}: names no audio file; expected its path under one of {known}"
        )
    entries = [_entry(where, row, reading) for where, row in rows]
    return List(entries, Summary(_summary(path, entries, reading, names, form)))


def _values(row, found: Sequence[Column]):
    """The value of the first of these columns that is not empty in a row."""
    for column in found:
        if isinstance(column, str):
            value = row.get(column)
        else:
            value = row[column] if column < len(row) else None
        if value is not None and value != "":
            return value
    return None


def _entry(where, row, reading: Reading) -> Entry:
    of = reading.of
    audio, text, speaker = (_values(row, of.get(key, ())) for key in ("file", "text", "speaker"))
    if isinstance(audio, dict):  # Hugging Face: {"path": ..., "bytes": ...}
        audio = audio.get("path")
    if not isinstance(audio, str) or "\0" in audio or not audio.strip():
        raise UserError(f"{where}: names no audio file; expected its path")
    for name, value in (("file", audio), ("text", text), ("speaker", speaker)):
        if isinstance(value, str):
            if not value.isascii() and _has_surrogate(value):
                raise UserError(
                    f"{where}: half of a character (a lone surrogate) in {value[:40]!r}"
                )
        elif isinstance(value, dict | list):
            raise UserError(f"{where}: expected the {name} as a string, found {str(value)[:40]!r}")
    start_s, end_s, language, channel = None, None, None, None
    if of.get("start"):
        times = [_values(row, of.get(key, ())) for key in TIMES]
        start_s, end_s = span(*times, reading.scales, where)
    if of.get("language"):
        language = language_code(_values(row, of["language"]), where)
    if of.get("channel"):
        channel = channel_number(_values(row, of["channel"]), where)
    return Entry(
        where,
        audio.strip(),
        None if text is None else str(text).strip() or None,
        start_s,
        end_s,
        speaker=None if speaker is None else str(speaker).strip() or None,
        language=language,
        channel=channel,
    )


def _has_surrogate(text):
    return any("\ud800" <= c <= "\udfff" for c in text)


def _summary(path, entries, reading, names, form):
    """A line on how a list was read."""
    found = []
    for key in columns.FIELDS:
        if not reading.of.get(key):
            continue
        column = reading.of[key][0]
        name = names.get(column) or (f"column {column + 1}" if isinstance(column, int) else column)
        name = name[:40]
        found.append(key if columns.compact(name) == key else f"{key} ({name})")
    lines = f"{len(entries):,}".replace(",", " ") + (" line" if len(entries) == 1 else " lines")
    speakers = {entry.speaker for entry in entries if entry.speaker}
    who = f"; {len(speakers)} speaker{'s' * (len(speakers) > 1)}" if speakers else ""
    if reading.of.get("text") and (without := sum(not entry.text for entry in entries)):
        who += f"; {without} without a text"
    unused = [str(name)[:40] for name in reading.unused]
    more = ", ..." if len(unused) > 12 else ""
    left = f"; not used: {', '.join(unused[:12])}{more}" if unused else ""
    return f"{path}: {lines}{form}; columns: {', '.join(found)}{left}{who}"
