"""Lists in JSON: one object per line, or an array of objects."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from voicekiln.errors import UserError

MOST_KEYS = 1000

Row = tuple[str, dict[str, Any]]  # file and line, the object


def rows(path: Path, text: str) -> list[Row]:
    """The objects of a list.

    Raises:
        UserError: with the line that is malformed.
    """
    is_array = text.lstrip()[:1] == "[" and "{" in text
    return _array(path, text) if is_array else _lines(path, text)


def _lines(path, text):
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            fields = json.loads(line)
        except RecursionError as error:
            raise UserError(f"{where}: this JSON is nested too deeply") from error
        except ValueError as error:
            raise UserError(f"{where}: this is not JSON ({error.args[0].split(':')[0]})") from error
        if not isinstance(fields, dict):
            raise UserError(f"{where}: expected an object {{...}} on each line")
        rows.append((where, fields))
    return rows


def _array(path, text):
    try:
        items = json.loads(text)
    except (RecursionError, ValueError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{path}: this is not JSON ({why})") from error
    for n, item in enumerate(items, 1):
        if not isinstance(item, dict):
            raise UserError(f"{path}, item {n}: expected an object {{...}}")
    return [(f"{path}, item {n}", item) for n, item in enumerate(items, 1)]


def keys(path: Path, found: Sequence[Row]) -> list[str]:
    """All keys of these objects.

    Raises:
        UserError: there are too many.
    """
    known: dict[str, None] = {}
    for _, fields in found:
        known.update(dict.fromkeys(fields))
        if len(known) > MOST_KEYS:
            raise UserError(f"{path}: more than {MOST_KEYS} different keys; expected a list")
    return sorted(known)
