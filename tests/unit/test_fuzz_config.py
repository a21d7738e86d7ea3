"""Configurations of any content are read or refused in one message, in bounded time."""

import copy
import datetime
import tempfile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from voicekiln.config import yaml_files
from voicekiln.config.resolve import load
from voicekiln.errors import UserError

DEMO = (ROOT / "config/config.yaml").read_text()
WORDS = [
    "corpora", "runs", "audio", "language", "segment", "min_s", "base", "run", "train", "epochs",
    "no", "1e-4", "010", "1:30", "2024-01-02", "~", "null", ".nan", "-.inf", "en", "[", "]", "{",
    "}", ": ", ":", "- ", "\n", "\n  ", "\n    ", "\t", "&a ", "*a", "<<: *a", "|\n", ">\n", "'",
    '"', "#", "---\n", "...\n", "!!python/name:os.system ", "!x ", "? ", "%YAML 1.1\n", "\\ud800",
    "\x00", "\x85", "\u2028", "\ufeff", "9" * 300,
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=20),
    st.sampled_from(["a", "no", "1e-4", "a\0b", "\ud800", "/" * 5000, "~", ".", ""]),
    st.dates(),
    st.just(datetime.datetime(2024, 1, 2)),
    st.binary(max_size=4),
)
keys = st.one_of(st.sampled_from(WORDS[:10]), scalars)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=12,
)


def survives(config) -> None:
    """Fails unless the configuration is resolved, its files looked for, or it is refused."""
    try:
        load(config, ROOT)
    except UserError as error:
        assert len(str(error)) < 200_000
        str(error).encode()  # what is told can be written


def survives_in_file(text: bytes) -> None:
    """Fails unless the text is read as PyYAML reads it, or refused with the file's name."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "my.yaml")
        path.write_bytes(text)
        try:
            content, _ = yaml_files.read(path)
        except UserError as error:
            assert str(error).startswith(str(path))
            str(error).encode()
        else:
            survives(content)


few = settings(
    max_examples=200,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes and tells little more
    suppress_health_check=[HealthCheck.too_slow],
)


@few
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text(text):
    survives_in_file(text.encode())


@few
@given(st.binary(max_size=200))
def test_any_bytes(data):
    survives_in_file(data)


@few
@given(st.lists(st.sampled_from(WORDS), max_size=30))
def test_the_words_of_yaml_in_any_order(words):
    survives_in_file("".join(words).encode())


@few
@given(st.data())
def test_the_demo_with_pieces_cut_out_and_put_in(data):
    text = DEMO
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 20)))
        text = text[:start] + data.draw(st.sampled_from(["", *WORDS])) + text[end:]
    survives_in_file(text.encode())


@few
@given(st.data())
def test_the_demo_with_other_values(data):
    config = copy.deepcopy(yaml.safe_load(DEMO))
    for _ in range(data.draw(st.integers(1, 3))):
        place = config
        while True:
            key = data.draw(st.sampled_from(sorted(place, key=repr)))
            if not isinstance(place[key], dict) or not place[key] or data.draw(st.booleans()):
                break
            place = place[key]
        kind = data.draw(st.sampled_from(["value", "key", "gone"]))
        if kind == "value":
            place[key] = data.draw(values)
        else:
            value = place.pop(key)
            if kind == "key":
                place[data.draw(keys)] = value
        if not place:
            break
    survives(config)


@few
@given(st.dictionaries(keys, values, max_size=4))
def test_any_values(config):
    survives(config)


@pytest.mark.parametrize("where", ["audio", "abbreviations", "corpora", "everything"])
def test_aliases_are_counted_before_they_are_used(where):
    lines = ["a0: &a0 {x: [y, y, y, y, y, y, y, y, y]}"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    text = {
        "audio": "corpora: {v: {language: en, audio: *a39}}",
        "abbreviations": "corpora: {v: {language: en, audio: a, text: {abbreviations: *a39}}}",
        "corpora": "corpora: *a39",
        "everything": "corpora: {v: {? *a39 : *a39}}",
    }[where]
    survives_in_file("\n".join([*lines, text]).encode())
    if where != "everything":
        survives(yaml.safe_load("\n".join([*lines, text])))
