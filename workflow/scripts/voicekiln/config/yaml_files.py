"""Strict reader of configuration files: mistakes that YAML accepts are errors with their line.

Snakemake's own parser is lenient: a duplicate key replaces the first one, `no` is false, and `010`
is 8. Therefore these files are read a second time.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from voicekiln.config.explain import MOST_VALUES
from voicekiln.errors import UserError

MOST_BYTES = 1_000_000
# how YAML 1.1 reads unquoted words and numbers, by their tags
READ_AS = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "null": "null",
    "timestamp": "a date",
}
CORE_TAGS = {
    f"tag:yaml.org,2002:{kind}" for kind in (*READ_AS, "str", "seq", "map", "merge", "value")
}
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
OCTAL = re.compile(r"[-+]?0[0-7_]+")
Lines = dict[tuple, str]


def read(path: Path) -> tuple[dict[str, Any], Lines]:
    """Content of a configuration file, and file and line of each key ("my.yaml, line 3").

    Raises:
        UserError: with each mistake and its line.
    """
    text = _text(path)
    try:
        found = json.loads(text, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        node = _compose(path, text)
    else:
        return _of_json(path, found), {}
    problems = [text for _, text in sorted(_Walk().problems(node))]
    if problems:
        raise UserError("\n  ".join([f"{path} cannot be used:", *problems]))
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"{path}: expected `corpora:` and `runs:` at the start of a line")
    try:
        return yaml.SafeLoader("").construct_document(node), dict(_lines(path, node))
    except (ValueError, TypeError, OverflowError, yaml.YAMLError) as error:
        raise UserError(f"{path}: a value cannot be read ({error})") from None


def read_all(paths: Iterable[Path]) -> tuple[dict[str, Any], Lines]:
    """Content and lines of several configuration files, merged as Snakemake merges them.

    Raises:
        UserError: with each mistake and its line.
    """
    whole: dict[str, Any] = {}
    found: Lines = {}
    for path in paths:
        content, its_lines = read(path)
        _merge(whole, content)
        found |= its_lines
    return whole, found


def _merge(below, above):
    """Put the values of `above` into `below`."""
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(below.get(key), dict):
            _merge(below[key], value)
        else:
            below[key] = deepcopy(value)


def lines(paths: Iterable[Path | str]) -> Lines:
    """File and line of each key in several configuration files, of which later ones win.

    Raises:
        UserError: with each mistake and its line.
    """
    found: Lines = {}
    for path in paths:
        found |= read(Path(os.path.relpath(path)))[1]
    return found


def _text(path):
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise UserError(f"{path}: too large ({size} bytes); expected a small YAML file")
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such configuration file (targets must come before --configfile, not after)"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None


class _Pairs(dict):
    """A JSON object with its duplicate keys in `twice`."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.twice = [key for key, n in Counter(key for key, _ in pairs).items() if n > 1]


def _of_json(path, found):
    if not isinstance(found, dict):
        raise UserError(f"{path}: expected an object with `corpora` and `runs`")
    stack: list[Any] = [found]
    while stack:
        value = stack.pop()
        if isinstance(value, _Pairs) and value.twice:
            raise UserError(f"{path}: the key {value.twice[0]} occurs twice in one object")
        if isinstance(value, dict | list):
            stack += value.values() if isinstance(value, dict) else value
    return found


def _compose(path, text):
    try:
        empty = yaml.MappingNode("tag:yaml.org,2002:map", [])
        return yaml.compose(text, Loader=yaml.SafeLoader) or empty
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}, line {mark.line + 1}, column {mark.column + 1}" if mark else str(path)
        raise UserError(f"{where}: {_syntax(error, text, mark)}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise UserError(
            f"{path}, line {line}: the character U+{error.character:04X} is not allowed; delete it"
        ) from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None
    except (ValueError, OverflowError) as error:  # numeric escapes beyond Unicode
        raise UserError(f"{path}: not YAML ({error})") from None


def _syntax(error, text, mark):
    """Plain message for an error of the parser, with a remedy."""
    problem = error.problem or ""
    lines = text.split("\n")
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        return "a tab is used to indent; indent with spaces"
    if "mapping values are not allowed" in problem:
        return (
            "unexpected colon; check that this line is indented like its neighbours, and quote any "
            "text that contains a colon"
        )
    if "expected a single document" in str(error.context or "") + problem:
        return "a second document starts here; remove the line ---"
    if "block end" in problem or "block collection" in problem:
        return "this line is indented differently from its neighbours; align it with them"
    if "undefined alias" in problem:
        return f"{problem}; quote texts that start with *"
    if "could not find expected ':'" in problem:
        return "a colon is missing after the key, or this line is not indented below its key"
    return f"{problem}; check quotes, brackets and indentation here"


Mistake = tuple[tuple[int, int], str]  # line and column from 0, and the text with them from 1


class _Walk:
    """Search of the nodes of a document for mistakes."""

    def __init__(self):
        self._sizes: dict[int, int | None] = {}
        self._above: set[int] = set()

    def problems(self, node: yaml.Node) -> Iterator[Mistake]:
        """Every mistake in `node`; only its size, if it is too large to search."""
        try:
            size = self._size(node)
        except RecursionError:
            yield (0, 0), "nested too deeply"
            return
        if size is None:
            yield (0, 0), "an alias (*) contains itself"
        elif size > MOST_VALUES:
            text = f"{size} values with all aliases (*) expanded; at most {MOST_VALUES} are allowed"
            yield (0, 0), text
        else:
            seen: set[int] = set()
            stack = [node]
            while stack:
                node = stack.pop()
                if id(node) in seen:
                    continue
                seen.add(id(node))
                for place, text in self._of(node):
                    mark = place.start_mark
                    where = f"line {mark.line + 1}, column {mark.column + 1}"
                    yield (mark.line, mark.column), f"{where}: {text}"
                if isinstance(node, yaml.MappingNode):
                    stack += [value for _, value in node.value]
                elif isinstance(node, yaml.SequenceNode):
                    stack += node.value

    def _size(self, node):
        """Number of values in a node with its aliases expanded; None if it contains itself."""
        if id(node) in self._above:
            return None
        if id(node) not in self._sizes:
            inside = []
            if isinstance(node, yaml.MappingNode):
                inside = [part for pair in node.value for part in pair]
            elif isinstance(node, yaml.SequenceNode):
                inside = node.value
            self._above.add(id(node))
            sizes = [self._size(one) for one in inside]
            self._above.remove(id(node))
            self._sizes[id(node)] = None if None in sizes else 1 + sum(sizes)
        return self._sizes[id(node)]

    def _of(self, node):
        kind = node.tag.rpartition(":")[2]
        if node.tag not in CORE_TAGS:
            yield node, f"the tag {node.tag} is not allowed"
        elif isinstance(node, yaml.ScalarNode):
            yield from self._of_scalar(node, kind)
        elif isinstance(node, yaml.MappingNode):
            yield from self._of_keys(node)

    def _of_scalar(self, node, kind):
        value = node.value
        if node.style is not None:
            return
        if kind in ("int", "float") and SEXAGESIMAL.fullmatch(value):
            hint = f'write a text as "{value}", or a time in seconds'
            yield node, f"YAML reads {value} as a number in base 60; {hint}"
        elif kind == "int" and OCTAL.fullmatch(value) and value.strip("+-0_"):
            hint = f'write it without the leading zero, or a text as "{value}"'
            yield node, f"YAML reads {value} as an octal number; {hint}"
        elif kind == "timestamp":
            yield node, f'YAML reads {value} as a date; write "{value}"'

    def _of_keys(self, node):
        lines: dict[str, int] = {}
        for key, value in node.value:
            kind = key.tag.rpartition(":")[2]
            if not isinstance(key, yaml.ScalarNode):
                yield key, "expected a name before the colon, found a list or a map"
            elif kind == "merge":
                continue
            elif kind == "int" and node.flow_style and value.value == "":
                yield key, f"{key.value} has no value; use a decimal point (0.5, not 0,5)"
            elif kind in READ_AS:
                name = key.value or "(nothing)"
                hint = f'quote it: "{key.value or "name"}":'
                yield key, f"YAML reads the name {name} as {READ_AS[kind]}; {hint}"
            elif key.value in lines:
                hint = f"first in line {lines[key.value]}; rename or remove one"
                yield key, f"{key.value} occurs twice, {hint}"
            else:
                lines[key.value] = key.start_mark.line + 1


def _lines(path, node, above=()):
    for key, value in node.value:
        here = (*above, key.value)
        yield here, f"{path}, line {key.start_mark.line + 1}"
        if isinstance(value, yaml.MappingNode):
            yield from _lines(path, value, here)
