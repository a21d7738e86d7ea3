"""What the texts and lengths of a corpus lack."""

import re

import pytest
from corpus_rows import segment, table
from voicekiln.corpus.variety import alphabet, monotony, names

PANGRAM = "quick brown foxes jump over lazy dogs with vexing"
ENDS = ".?!......"
SPELLED = str.maketrans("0123456789", "abcdefghij")
PROSE = [
    f"Two {PANGRAM if i % 10 == 0 else ''} Anna word{i} and{i} again{i}, more{i % 7}{ENDS[i % 9]}"
    for i in range(400)
]


def notes(texts, length_s=lambda i: 1 + i % 6, language="en", pace=lambda i: 10 + i % 8):
    rows = [
        segment(text, 10 * i, length_s(i), language=language, status="keep", chars_per_s=pace(i))
        for i, text in enumerate(texts)
    ]
    return monotony(table(*rows))


def test_varied_texts_are_no_concern_and_few_segments_say_nothing():
    assert notes(PROSE) == []
    assert notes(["one two"] * 49, lambda i: 2) == []


@pytest.mark.parametrize(
    "texts, language, said",
    [
        ([f"{PROSE[0]}! {i % 9}?" for i in range(300)], "en", "few different words: 2"),
        ([text.replace("?", ".") for text in PROSE], "en", "no text asks a question"),
        ([text.replace("!", ".") for text in PROSE], "en", "no text has an exclamation mark"),
        ([text.replace("Anna", "anna") for text in PROSE], "en", "no text contains a name"),
        ([text.replace("q", "k") for text in PROSE], "en", "in the texts never: q:"),
        ([text.replace("q", "k") for text in PROSE] + ["quiz"] * 3, "en", "than 5 times: q:"),
        (
            [re.sub("[.,?!]", "", text) for text in PROSE],
            "en",
            "no punctuation",
        ),
        (
            [text.replace("Two ", "").translate(SPELLED) for text in PROSE],
            "en",
            "contains a number or a date",
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


@pytest.mark.parametrize(
    "language, texts",
    [
        ("en", "The clock struck seventeen"),
        ("de", "Es waren dreißig Leute"),
        ("fr", "Il avait vingt francs"),
        ("ru", "Их было двадцать"),
        ("es", "Son las quince"),
        ("am", "ሃያ ሰዎች"),
        ("en", "It was 1984"),
    ],
)
def test_numbers_are_known_as_words_and_as_digits(language, texts):
    assert not [note for note in notes([texts] * 60, language=language) if "number" in note]
    without = [note for note in notes(["la ma so"] * 60, language=language) if "number" in note]
    assert len(without) == 1 and "record texts with numbers" in without[0]


@pytest.mark.parametrize(
    "text, named",
    [
        ("Then Mary went home.", True),
        ("She said: Go home. Then I went.", False),
        ("I think I'm late, I know.", False),
        ("«Да», сказал он Ивану", True),
        ("THEN", False),
        ("then mary went", False),
        ("“Stop!” She ran.", False),
    ],
)
def test_a_capital_inside_a_sentence_is_a_name(text, named):
    assert names(text) == named


@pytest.mark.parametrize("language, letter", [("de", "ö"), ("ru", "щ"), ("tr", "ğ")])
def test_letters_of_other_languages_are_missed(language, letter):
    texts = [f"{'äöü' if language == 'de' else ''} {alphabet(language)} {i}" for i in range(400)]
    assert not [n for n in notes(texts, language=language) if "letters of" in n]
    less = [text.replace(letter, "") for text in texts]
    [note] = [n for n in notes(less, language=language) if "letters of" in n]
    assert f"never: {letter}:" in note


def test_letters_say_nothing_where_the_alphabet_is_not_known():
    assert alphabet("am") == "" and alphabet("") == ""


def test_one_pace_is_said():
    (note,) = notes(PROSE, pace=lambda i: 14 + i % 2 / 10)
    assert "between 14.0 and 14.1 characters a second" in note and "record" in note
    assert notes(PROSE, pace=lambda i: None) == []


def test_one_length_is_said():
    (note,) = notes(PROSE, lambda i: 3 + i % 2 / 10)
    assert "between 3.0 and 3.1 s" in note
