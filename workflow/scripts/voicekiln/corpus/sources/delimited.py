"""Tables of text: the separator of their columns, and the fields of each line."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from voicekiln.corpus.sources import columns
from voicekiln.corpus.sources.entries import NoList
from voicekiln.errors import UserError

SEPARATORS = {"|": "|", "\t": "tabs", ";": "semicolons", ",": "commas"}
MOST_CHARS = 1 << 24  # in one field of a table

SEPARATOR_LINE = re.compile('"?sep=([|;,\t])"?')  # an optional first line that Excel writes
QUOTED = re.compile('"(?:[^"]|"")+"')

Row = tuple[int, list[str]]  # number of the line, fields


def rows(path: Path, text: str, is_recording: Callable[[str], bool]) -> tuple[str, list[Row]]:
    """The separator of a table, and its non-empty lines.

    Raises:
        UserError: it cannot be read as a table, with the line.
    """
    lines = text.split("\n")
    first = next((line for line in lines if line.strip()), None)
    if first is None:
        return "", []
    if match := SEPARATOR_LINE.fullmatch(first.strip()):
        separator = match[1]
        text = text.replace(first, "", 1)
        lines = text.split("\n")
    else:
        separator = _by_header(first, is_recording)
        if separator is None:
            separator = _by_share(path, first, lines, is_recording)
            _check_separators(path, lines, separator)
    if separator in ";,":
        return separator, list(_quoted(path, text, separator))
    split = [
        (number, [_unquoted(field.strip()) for field in line.split(separator)])
        for number, line in enumerate(lines, 1)
        if line
    ]
    return separator, [(number, row) for number, row in split if any(row)]


def _unquoted(field):
    """A field without the quotation marks that a program added.

    Those double the ones within the field; LJSpeech and Common Voice write quotation marks as they
    are.
    """
    if '""' in field and QUOTED.fullmatch(field):
        return field[1:-1].replace('""', '"')
    return field


def check_quotes(path: Path, table: Sequence[Row], n_columns: int, separator: str) -> None:
    """Stop if a field in quotation marks contains lines of the list.

    Raises:
        UserError: naming the line.
    """
    if separator not in ";,":
        return
    for number, row in table:
        inner = [line for cell in row if "\n" in cell for line in cell.split("\n")[1:]]
        if any(line.count(separator) >= n_columns - 1 for line in inner):
            raise UserError(
                f"{path}, line {number}: a field in quotation marks spans {len(inner) + 1} "
                "lines that look like lines of the list; a quotation mark is not closed"
            )


def _by_header(first, is_recording):
    """The separator of a header; None if the first line is not a header."""
    known = {}
    for separator in SEPARATORS:
        cells = [cell.strip(' "') for cell in first.split(separator)]
        if len(cells) > 1 and columns.is_header(cells, is_recording):
            known[separator] = sum(columns.known_name(cell) is not None for cell in cells)
    return max(known, key=known.get) if known else None


def _check_separators(path, lines, separator):
    """Stop if a comma is followed by a space and the first one is not: it belongs to a text."""
    if separator not in ";," or any(line.count('"') % 2 for line in lines):
        return  # a field over several lines is in quotation marks
    for number, line in enumerate(lines, 1):
        if '"' not in line:
            spaced = [field.startswith(" ") for field in line.split(separator)[1:]]
            if any(spaced) and not spaced[0]:
                raise UserError(
                    f"{path}, line {number}: {line[:80]!r} has {separator!r} both between columns "
                    "and within a text; put texts that contain it in quotation marks, or separate "
                    "the columns by | or tabs"
                )


def _by_share(path, first, lines, is_recording):
    """The separator of columns without a header: the one that nearly all lines contain."""
    lines = [line for line in lines if line.strip()]
    shares = {
        separator: sum(separator in line for line in lines) / len(lines) for separator in SEPARATORS
    }
    if shares["|"] > 0.5:
        return "|"
    if path.suffix.lower() == ".tsv":
        return "\t"
    best = max(shares.values())
    only_names = all(map(columns.has_audio_suffix, map(str.strip, lines)))
    if best == 0 and not (only_names or columns.known_name(first.strip())):
        raise NoList(
            f"{path}, line 1: names no audio file; expected columns separated by |, tabs, "
            "semicolons or commas, or an object {...} on each line"
        )
    likely = [separator for separator, share in shares.items() if share >= 0.9 * best]
    for separator in likely:
        cells = [cell.strip(' "') for cell in first.split(separator)]
        if any(columns.has_audio_suffix(cell) or is_recording(cell) for cell in cells):
            return separator
    return likely[0]


def _quoted(path, text, separator):
    """`(line, fields)` of each non-empty line of a table with quotation marks."""
    csv.field_size_limit(MOST_CHARS)
    reader = csv.reader(
        io.StringIO(text, newline="\n"), delimiter=separator, strict=True, skipinitialspace=True
    )
    start = 1
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            why = "a quotation mark is not closed or not doubled"
            if "limit" in str(error):
                why = f"a field of more than {MOST_CHARS} characters"
            raise UserError(
                f"{path}, line {start}: {why}; fields in quotation marks end with one, and those "
                'within them are doubled ("")'
            ) from error
        fields = [field.strip() for field in fields]
        if any(fields):
            yield start, fields
        start = reader.line_num + 1
