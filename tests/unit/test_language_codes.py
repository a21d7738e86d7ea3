"""Language codes are reduced to one short code each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.config.resolve import resolve
from voicekiln.corpus.sources.entries import language_code
from voicekiln.errors import UserError
from voicekiln.text import lists
from voicekiln.text.languages import TABLE, is_listed, short_code
from voicekiln.text.normalize import TextSettings, normalize

ROWS = lists.rows(TABLE)
DEFAULT = TextSettings(normalize=True, punctuation="native", numbers="spell", abbreviations={})


@pytest.mark.parametrize(
    "code, short",
    [
        ("de", "de"), ("deu", "de"), ("ger", "de"), ("DE", "de"), ("de-AT", "de"), ("amh", "am"),
        ("eng", "en"), ("en-US", "en"), ("fra", "fr"), ("fre", "fr"), ("pt_BR", "pt"),
        ("zh-Hant-TW", "zh"), ("cmn", "zh"), ("yue", "yue"), ("fil", "tl"), ("swh", "sw"),
        ("iw", "he"), ("xyz", "xyz"), ("qq", "qq"),
    ],
)  # fmt: skip
def test_codes_are_shortened_everywhere(code, short):
    assert short_code(code) == language_code(code, "here") == short
    corpus = {"audio": "a", "language": code, "transcripts": "sidecar", "transcribe": {}}
    corpus["transcribe"]["language"] = code
    filled = resolve({"corpora": {"c": corpus}})["corpora"]["c"]
    assert filled["language"] == filled["transcribe"]["language"] == short
    assert is_listed(short) == (short not in ("xyz", "qq"))


def test_auto_is_not_a_code():
    corpus = {"audio": "a", "language": "en", "transcribe": {"language": "auto"}}
    filled = resolve({"corpora": {"c": corpus | {"transcripts": "sidecar"}}})
    assert filled["corpora"]["c"]["transcribe"]["language"] == "auto"


@given(st.sampled_from(ROWS))
def test_no_code_belongs_to_two_languages(row):
    assert short_code(row["language"]) == row["language"]
    for code in row["other_codes"].split():
        assert short_code(code) == row["language"]


@pytest.mark.parametrize("code", ["english", "e", "", "12", "en US"])
def test_an_invalid_code_is_reported(code):
    with pytest.raises(UserError, match=r"list\.csv, line 3: expected a language code"):
        language_code(code, "list.csv, line 3")


@pytest.mark.parametrize(
    "code, text, spoken",
    [
        ("deu", "Am Tisch sitzen 3 Kinder.", "Am Tisch sitzen drei Kinder."),
        ("ger", "z. B. 3", "zum Beispiel drei"),
        ("fra", "J'ai 3 chats.", "J'ai trois chats."),
        ("amh", "3 ልጆች ::", "ሦስት ልጆች።"),
        ("en-GB", "Mr. Smith", "Mister Smith"),
    ],
)
def test_texts_are_normalised_whatever_the_code(code, text, spoken):
    assert normalize(text, code, DEFAULT) == spoken
