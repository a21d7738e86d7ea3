import pytest
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.text.clean import clean, comparable, script_share


@pytest.mark.parametrize(
    "text, cleaned",
    [
        ("  two \n words\t", "two words"),
        ("cafe\u0301", "café"),
        ("bell\a and nul\0", "bell and nul"),
        ("ሰላም ለዓለም።", "ሰላም ለዓለም።"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("\ufeffone\u00a0two\u200b\u200f, soft\u00adhyphen", "one two, softhyphen"),
    ],
)
def test_clean(text, cleaned):
    assert clean(text) == cleaned


@given(st.text())
def test_clean_is_idempotent_and_one_line(text):
    once = clean(text)
    assert clean(once) == once
    assert len(once.splitlines()) <= 1


@pytest.mark.parametrize(
    "a, b",
    [("It's fine.", "it s fine"), ("STRASSE", "straße"), ("ﬁne", "fine"), ("a,b", "a b")],
)
def test_comparable_ignores_case_and_punctuation(a, b):
    assert comparable(a) == comparable(b)


def test_comparable_keeps_marks_and_letters_of_any_script():
    assert comparable("ሰላም፣ ለዓለም።") == "ሰላም ለዓለም"
    assert comparable("بِسْمِ") != comparable("بسم")


def test_script_share():
    assert script_share("ሰላም", "ETHIOPIC") == 1.0
    assert script_share("abcd ሰላም1", "ETHIOPIC") == pytest.approx(3 / 7)
    assert script_share("12 !", "LATIN") == 1.0
