"""Second texts in Latin letters or phonemes."""

import csv
import importlib.util
import random
import sys
from functools import cache
from itertools import product

import pytest
from conftest import ROOT
from voicekiln import extras
from voicekiln.config.resolve import resolve
from voicekiln.errors import UserError
from voicekiln.text.languages import TABLE
from voicekiln.text.romanize import knows, romanize, romanizer

loaded = cache(romanizer)  # loading takes seconds
AMHARIC = ("ሰላም ለዓለም። እንዴት ነህ፣ ወንድሜ?", "am")


def needs(tool):
    return pytest.mark.skipif(
        extras.missing(tool) is not None,
        reason=f"{tool} is not installed: {extras.missing(tool)}",
    )


@needs("uroman")
@pytest.mark.parametrize(
    "text, language, latin",
    [
        (*AMHARIC, "salaame laaalame. enedeete nahe, wanedemee?"),
        ("Привет, мир!", "ru", "Privet, mir!"),
        ("नमस्ते दुनिया।", "hi", "namaste duniyaa."),
        ("Straße über", "de", "Strasse ueber"),
        ("plain", "xx", "plain"),
    ],
)
def test_uroman_writes_latin_letters(text, language, latin):
    assert loaded("uroman")(text, language) == latin


@needs("epitran")
@pytest.mark.parametrize(
    "text, language, phonemes",
    [
        (*AMHARIC, "səlam ləaləm። ɨnɨdet nəh፣ wənɨdɨme?"),
        ("ሰላም ንዓለም", "ti", "səlam nɨʕaləm"),
        ("Heute? Tag!", "de", "hɔɪ̯tə? taːk!"),
        ("Привет, мир!", "ru", "prʲivʲet, mʲir!"),
        ("hello", "en", None),
    ],
)
def test_epitran_writes_phonemes_regardless_of_punctuation(text, language, phonemes):
    assert loaded("epitran")(text, language) == phonemes


@needs("epitran")
def test_epitran_supports_the_languages_of_the_table():
    from epitran import Epitran

    with open(TABLE, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert len({row["language"] for row in rows}) == len(rows)
    folder = importlib.util.find_spec("epitran").submodule_search_locations[0]
    for row in rows:
        if row["epitran"]:
            assert (ROOT / folder / "data" / "map" / f"{row['epitran']}.csv").is_file(), row
            assert row["epitran"] not in Epitran.special


@pytest.mark.parametrize("tool", [pytest.param(t, marks=needs(t)) for t in ("uroman", "epitran")])
def test_results_do_not_depend_on_other_texts(tool):
    """Loaded three times, which takes seconds: all texts, in another order, and one alone."""
    words = "ሰላም ለዓለም። እንዴት ነህ፣ ወንድሜ 12 mir".split()
    pairs = [(" ".join(text), "am") for n in range(4) for text in product(words, repeat=n)]
    shuffled = random.Random(0).sample(pairs, len(pairs))
    together = dict(zip(pairs, romanize(pairs, tool), strict=True))
    assert romanize(shuffled, tool) == [together[pair] for pair in shuffled]
    assert romanize(pairs[-1:], tool) == [together[pairs[-1]]]


def test_no_tool_is_loaded_without_texts():
    loaded = {name: module for name, module in sys.modules.items() if "uroman" in name}
    for name in loaded:
        del sys.modules[name]
    assert romanize([], "uroman") == []
    assert "uroman" not in sys.modules
    sys.modules.update(loaded)


def config(tool, language="am"):
    corpus = {"audio": "in", "language": language, "transcripts": "sidecar"}
    return {"corpora": {"voice": corpus | {"text": {"romanize": tool}}}}


@pytest.mark.parametrize("tool", ["uroman", "epitran"])
def test_a_missing_tool_is_reported_with_the_install_command(tool, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    command = f"pip install --no-deps {tool}=="
    with pytest.raises(UserError, match=f"corpora.voice.text.romanize is {tool}.*{command}"):
        resolve(config(tool))
    with pytest.raises(UserError, match=command):
        romanize([("a", "en")], tool)


def test_unsupported_languages_and_missing_romanized_texts_are_reported(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    assert knows("epitran", "am") and not knows("epitran", "en") and knows("uroman", "xx")
    with pytest.raises(UserError, match="epitran, which has no rules for the language en"):
        resolve(config("epitran", "en"))
    base = {"checkpoint": "a.pt", "vocab": "v.txt", "model": "F5TTS_v1_Base"}
    run = {"corpus": "voice", "family": "f5", "base": base, "train_on": "romanized"}
    resolve(config("uroman") | {"runs": {"r": run}})
    with pytest.raises(UserError, match="runs.r.train_on is romanized, but corpora.voice.text"):
        resolve(config(None) | {"runs": {"r": run}})
