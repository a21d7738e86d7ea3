"""Messages about wrong values in a configuration: one line per mistake."""

import datetime
import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from voicekiln.families import facts
from voicekiln.text.language_names import code_named

MOST_VALUES = 100_000  # with every alias written out
CLOSE = 3  # suggestions for an unknown name
SHOWN = 60  # characters of a wrong value
# descriptions of the patterns in the schema
PATTERNS = {
    "^[0-9a-f]{64}$": "a SHA-256, 64 hexadecimal digits in lower case",
    "^[1-9][0-9]* epochs?$": 'a number of updates, or of epochs, such as "2 epochs"',
}
TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "object": "keys of its own, indented below it",
    "array": "a list",
    "null": "null",
}
OLD_FRAMES_PER_S = 93.75  # of earlier versions, which had F5-TTS alone: 24000 Hz / hop of 256
# keys of earlier versions, and what to write instead, given the value and the section
REPLACED: dict[tuple[str, ...], Callable[[Any, Mapping], str]] = {
    ("runs", "*", "train", "batch_frames"): lambda value, _: f"`batch_s: {_seconds(value)}`",
    ("runs", "*", "train", "update_frames"): lambda value, _: f"`update_s: {_seconds(value)}`",
    ("runs", "*", "evaluate", "steps"): lambda value, _: _moved("speak", "steps", value),
    ("runs", "*", "evaluate", "cfg_strength"): (
        lambda value, _: _moved("speak", "cfg_strength", value)
    ),
    ("corpora", "*", "transcribe", "check_known"): (
        lambda value, _: f"`check_reference: {_yaml(value)}`"
    ),
    ("corpora", "*", "validate", "min_trust"): lambda value, _: f"`min_confidence: {_yaml(value)}`",
    ("corpora", "*", "transcript_column"): lambda value, corpus: _text_column(value, corpus),
}
BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def unsound(config: Any) -> list[str]:
    """Problems that prevent validation: loops, exponential aliases, names that are not text."""
    sizes: dict[int, int] = {}
    problems: list[str] = []

    def size(value, path, above):
        if isinstance(value, str):
            if bad := re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", value):
                problems.append(f"{path}: the character U+{ord(bad[0]):04X} is not allowed")
            return 1
        if isinstance(value, float) and not math.isfinite(value):
            problems.append(f"{path}: {value} is not a usable number")
        if not isinstance(value, dict | list):
            return 1
        if id(value) in above:
            problems.append(f"{path}: an alias (*) contains itself")
            return 1
        if id(value) not in sizes:
            above = above | {id(value)}
            pairs = value.items() if isinstance(value, dict) else enumerate(value)
            total = 1
            for key, inside in pairs:
                here = f"{path}.{key}" if path else str(key)
                if isinstance(value, dict):
                    if not isinstance(key, str):
                        problems.append(
                            f"{here}: {key!r} is read as {kind(key)}, not as a name; quote it: "
                            f'"{key}"'
                        )
                    size(str(key), here, above)
                total += size(inside, here, above)
            sizes[id(value)] = total
        return sizes[id(value)]

    try:
        total = size(config, "", frozenset())
    except RecursionError:
        return ["nested too deeply"]
    if total > MOST_VALUES:
        at_most = f"at most {MOST_VALUES} are allowed"
        problems.insert(0, f"{total} values with all aliases (*) expanded; {at_most}")
    return problems[:20]


def kind(value: Any) -> str:
    """Kind of a value, in YAML's terms."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, datetime.date):
        return "a date"
    return {str: "text", list: "a list"}.get(type(value), "a map")


def repair(config: dict[str, Any], schema: Mapping[str, Any], path: str = "") -> list[str]:
    """Repair `config` in place, so that all other mistakes are found as well.

    Empty sections become {}; lines that should be indented below a section move into it.

    Returns:
        a message for each section whose lines are not indented.
    """
    problems = []
    known = schema.get("properties", {})
    (named,) = schema.get("patternProperties", {}).values() or (None,)
    for key in list(config):
        sub = known.get(key, named)
        if key not in config or sub is None or sub.get("type") != "object":
            continue  # (this line has moved)
        here = f"{path}.{key}" if path else key
        if config[key] is None:
            body = [name for name in config if name != key and _belongs(name, config, sub, known)]
            if body:
                shown = ", ".join(body[:4]) + (" ..." if len(body) > 4 else "")
                problems.append(
                    f"{here}: the lines of this section are not indented below it ({shown}); "
                    "indent them by two more spaces"
                )
            if body or sub.get("default") == {}:
                config[key] = {name: config.pop(name) for name in body}
        if isinstance(config.get(key), dict):
            problems += repair(config[key], sub, here)
    return problems


def _belongs(name, config, sub, known):
    """Whether the key `name` belongs to the section `sub` next to it."""
    if name in known:
        return False
    names = sub.get("patternProperties")
    if names:  # `corpora:`, and the corpora not indented
        ((_, section),) = names.items()
        value = config[name]
        return isinstance(value, dict) and bool(set(value) & set(section["required"]))
    if name not in sub.get("properties", ()):
        return False
    value = config[name]
    return not (isinstance(value, dict) and set(sub.get("required", ())) <= set(value))


def mistakes(error, schema: Mapping[str, Any]) -> Iterator[tuple[tuple, str]]:
    """Path and message of each mistake that an error of jsonschema covers.

    Args:
        schema: the whole schema.
    """
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties":
        for key in error.instance:
            if key not in error.schema.get("properties", ()):
                if not any(re.search(p, key) for p in error.schema.get("patternProperties", ())):
                    yield (*path, key), _unknown(key, path, error.instance, error.schema, schema)
    elif error.validator == "oneOf":
        inner = _nearest(error)
        where = tuple((inner or error).absolute_path)
        yield where, _wrong(inner, where) if inner else _no_form(error)
    elif error.validator == "required":
        for key in error.validator_value:
            if key not in error.instance:
                about = error.schema["properties"][key]["description"]
                yield path, f"{key} is missing ({about})"
    else:
        about = error.schema.get("description")
        text = _wrong(error, path)
        yield path, text + (f" ({about})" if about and len(text) < 200 else "")


def _unknown(key, path, value, here, schema):
    if (name := (path[:1] + ("*",) + path[2:] + (key,))) in REPLACED and key in value:
        if value[key] is None:
            return "this key was replaced; remove it, because null was its default"
        return f"this key was replaced; write {REPLACED[name](value[key], value)} instead"
    if "patternProperties" in here:
        return "a name may have letters, digits, _ and -, and must start with a letter or a digit"
    known = list(here.get("properties", ()))
    places = _sections(schema).get(key, ()) if path else ()
    if elsewhere := [place for place in places if place.split(".")[0] == path[0]]:
        return f"unknown key; it belongs in {' or '.join(elsewhere)}"
    close = difflib.get_close_matches(key, known, CLOSE)
    if close:
        return f"unknown key; did you mean {' or '.join(close)}? ({_documented(path)})"
    return f"unknown key ({_documented(path)})"


def _documented(path):
    """Reference to the description of a section's keys."""
    if len(path) > 2:
        section = ".".join(path[2:])
    elif len(path) == 2:
        section = f"{path[0]}.<{ {'corpora': 'corpus', 'runs': 'run'}[path[0]] }>"
    else:
        section = path[0] if path else "Configuration"
    return f"its keys are in config/README.md, section {section}"


def _sections(schema, above=""):
    """Sections that have a key, by key."""
    found: dict[str, list[str]] = {}
    for key, sub in schema.get("properties", {}).items():
        if above:
            found.setdefault(key, []).append(above)
        inner = sub
        here = f"{above}.{key}" if above else key
        if "patternProperties" in sub:
            (inner,) = sub["patternProperties"].values()
            here += ".<name>"
        for name, places in _sections(inner, here).items():
            found.setdefault(name, []).extend(places)
    return found


def _wrong(error, path):
    value, rule = error.instance, error.validator
    shown = _shown(value)
    if rule in BOUNDS:
        limits = [f"{BOUNDS[b]} {error.schema[b]:g}" for b in BOUNDS if b in error.schema]
        return f"{shown} is out of range; expected {' and '.join(limits)}"
    if rule == "enum":
        if path and path[-1] == "family" and value in facts.planned():
            return f"{value} is planned and not available yet; expected {_or(facts.names())}"
        allowed = ["null" if v is None else str(v) for v in error.validator_value]
        close = difflib.get_close_matches(str(value).lower(), allowed, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        return f"{shown} is not an allowed value; {hint}expected {_or(allowed)}"
    if rule == "pattern":
        if path and path[-1] == "language":
            return _language(value)
        return f"{shown} is not valid; expected {PATTERNS[error.validator_value]}"
    if rule == "type":
        expected = error.validator_value
        expected = [expected] if isinstance(expected, str) else expected
        return f"expected {_or([TYPES[t] for t in expected])}, found {shown}" + _trap(
            value, expected
        )
    if rule in ("minItems", "minLength"):
        return "expected at least one entry or character, found none"
    if rule == "uniqueItems":
        return f"{shown} has an entry twice"
    return f"{shown} is not allowed"


def _shown(value):
    if isinstance(value, list | dict):
        return kind(value)
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    if isinstance(value, bool) or value is None:
        text = {True: "true", False: "false", None: "null"}[value]
    return text if len(text) <= SHOWN else text[: SHOWN - 4] + " ..."


def _nearest(error):
    """For a value with several allowed forms, the mistake within the form whose type it has."""
    for inner in error.context:
        if inner.validator not in ("type", "enum") or inner.absolute_path != error.absolute_path:
            return inner
    return None


def _no_form(error):
    forms = error.validator_value
    types = [form["type"] for form in forms if "type" in form]
    words = [str(value) for form in forms for value in form.get("enum", ())]
    expected = _or([TYPES[kind] for kind in types] + words)
    return f"expected {expected}, found {_shown(error.instance)}" + _trap(error.instance, types)


def _or(words):
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _trap(value, expected):
    """Hint about how YAML reads unquoted words, if that may be the mistake."""
    if "string" in expected and isinstance(value, bool):
        words = "yes, on and true" if value else "no, off and false"
        example = "yes" if value else "no"
        hint = f'quote the word: "{example}"'
        return f"; YAML reads {words} as {_shown(value)}: {hint}"
    if "string" in expected and isinstance(value, int | float | datetime.date):
        return f'; YAML reads this as {kind(value)}: quote it, "{value}"'
    if isinstance(value, str) and {"number", "integer"} & set(expected):
        if re.fullmatch(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+", value):
            number = re.sub(r"^([-+]?\d+)\.?(?=[eE])", r"\1.0", value)
            number = re.sub(r"[eE](?=\d)", "e+", number)
            return f"; YAML reads {value} as text: write {number}"
        if re.fullmatch(r"[-+]?\d+,\d+", value):
            return f"; use a decimal point: {value.replace(',', '.')}"
        if re.fullmatch(r"[-+]?\d+(\.\d+)?", value):
            return f"; remove the quotes: {value}"
        if word := re.fullmatch(r"[-+]?\d+(\.\d+)? *(s|ms|dB|Hz|%|h|min)", value):
            return f"; remove the unit {word[2]}"
    if isinstance(value, str) and "boolean" in expected and value.lower() in ("true", "false"):
        return f"; remove the quotes: {value.lower()}"
    return ""


def _language(value):
    code = code_named(value)
    hint = f"did you mean {code}? " if code else ""
    return f'"{value[:SHOWN]}" is not a language code; {hint}expected one such as en or am'


def _seconds(frames):
    """The same size in seconds; earlier versions counted mel frames."""
    try:
        return round(float(frames) / OLD_FRAMES_PER_S, 2)
    except (TypeError, ValueError):
        return _yaml(frames)


def _moved(section, key, value):
    return f"`{section}: {{{key}: {_yaml(value)}}}` in the run"


def _text_column(value, corpus):
    if isinstance(corpus.get("columns"), dict):
        return f"`text: {_yaml(value)}` in columns"
    return f"`columns: {{text: {_yaml(value)}}}`"


def _yaml(value):
    """A value as a configuration file has it, on one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=math.inf).split("\n")[0]
