"""What the texts and lengths of a corpus lack."""

import re

import pytest
from corpus_rows import segment, table
from voicekiln.corpus.variety import monotony

PROSE = [f"word{i} and{i} more{i}, so{i % 7}{'?' if i % 9 == 0 else '.'}" for i in range(400)]


def notes(texts, length_s=lambda i: 1 + i % 6, language="en"):
    rows = [
        segment(text, 10 * i, length_s(i), language=language, status="keep")
        for i, text in enumerate(texts)
    ]
    return monotony(table(*rows))


def test_varied_texts_are_no_concern_and_few_segments_say_nothing():
    assert notes(PROSE) == []
    assert notes(["one two"] * 49, lambda i: 2) == []


@pytest.mark.parametrize(
    "texts, language, said",
    [
        ([f"one two three {i % 9}?" for i in range(300)], "en", "few different words: 12 among"),
        ([text.replace("?", ".") for text in PROSE], "en", "no text asks a question"),
        (
            [re.sub("[.,?]", "", text) for text in PROSE],
            "en",
            "no punctuation",
        ),
    ],
)
def test_what_is_lacking_is_said(texts, language, said):
    (note,) = notes(texts, language=language)
    assert said in note


def test_questions_are_known_by_the_signs_of_the_language():
    for language, sign in (("ar", "؟"), ("el", ";"), ("ja", "？"), ("hy", "՞")):
        assert notes([text.replace("?", sign) for text in PROSE], language=language) == []
    assert "question" in notes([text.replace("?", ";") for text in PROSE])[0]


def test_one_length_is_said():
    (note,) = notes(PROSE, lambda i: 3 + i % 2 / 10)
    assert "between 3.0 and 3.1 s" in note
