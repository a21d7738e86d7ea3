"""The texts of a corpus: spoken, dropped for their numbers, listed."""

import pytest
from corpus_rows import segment, table
from voicekiln import extras
from voicekiln.corpus.texts import spoken, with_digits
from voicekiln.text.normalize import TextSettings


def texts(*rows, **changed):
    section = {"normalize": True, "punctuation": "native", "numbers": "spell", "abbreviations": {}}
    return spoken(table(*rows), TextSettings(**section | changed))


ROWS = [
    segment("It is 5 km.", 0, language="en"),
    segment("At 12:30 it is.", 4, language="en"),
    segment("At 12:45.", 8, language="en", marked="keep"),
    segment("B2B “so” ", 12, language="en", text_source="corrected"),
    segment(None, 16, language="en"),
    segment("At 9:15.", 20, language="en", status="drop", step="align", reason="why"),
]


def test_what_is_not_in_words_is_kept_and_listed():
    result = texts(*ROWS)
    assert result["text"][0] == "It is five kilometers." and result["text"][3] == "B2B “so”"
    assert result["status"].tolist() == ["keep"] * 5 + ["drop"]
    listed = with_digits(result)
    assert listed["n_digits"].to_dict() == {1: 4, 2: 4, 3: 1}
    assert result["romanized"].isna().all()


def test_or_dropped_with_the_number_of_digits_but_for_what_is_marked_keep():
    result = texts(*ROWS, numbers="drop")
    dropped = result[result["status"] == "drop"]
    assert dropped["reason"].to_dict() == {
        1: "numbers not in words",
        3: "numbers not in words",
        5: "why",
    }
    assert dropped["value"].dropna().to_dict() == {1: 4.0, 3: 1.0}
    assert dropped["limit"].dropna().to_dict() == {1: 0.0, 3: 0.0}
    assert list(with_digits(result).index) == [2]


@pytest.mark.skipif(extras.missing("uroman") is not None, reason=str(extras.missing("uroman")))
def test_second_texts_are_made_of_kept_texts_alone():
    made = texts(*ROWS, romanize="uroman")["romanized"]
    expected = ["It is five kilometers.", "At 12:30 it is.", "At 12:45.", "B2B “so”"]
    assert made.dropna().tolist() == expected and made.isna().tolist() == [False] * 4 + [True] * 2


def test_a_language_without_rules_is_named_once(caplog):
    rows = [segment("a 5", 0, language="xyz"), segment("b", 4, language="xyz")]
    texts(*rows, segment("c", 8, language="en"), segment(None, 12, language="qqq"))
    [record] = caplog.records
    assert "language xyz of 2 texts" in record.getMessage()


def test_numbers_of_given_texts_are_spelled_as_they_were_heard():
    given = segment("Hay 21 casas.", 0, language="es", hypothesis="hay veintiuna casas")
    digits = segment("Hay 21 casas.", 4, language="es", hypothesis="hay 21 casas")
    alone = segment("Hay 21 casas.", 8, language="es", text_source="hypothesis")
    result = texts(given, digits, alone)
    assert result["text"].tolist() == ["Hay veintiuna casas.", "Hay 21 casas.", "Hay 21 casas."]
    assert list(with_digits(result).index) == [1, 2]
