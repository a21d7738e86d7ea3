"""Typographic variants of letters."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.text.forms import ordinary_letters

EVERY = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]


@pytest.mark.parametrize(
    "text, ordinary",
    [
        ("He found the ﬁrst oﬀer, ﬆill ﬅill.", "He found the first offer, still still."),
        ("Ｔ恤 ＡＢＣ１２％！", "T恤 ABC12%!"),
        ("ｶﾞｷﾞﾊﾟｰ｡ ﾡ", "ガギパー。 ㄱ"),
        ("ﻣﺮﺣﺒﺎ ﻻ ﷺ ﹶ", "مرحبا لا صلى الله عليه وسلم \u064e"),
        ("𝐁𝐨𝐥𝐝 ℌ", "Bold H"),
        ("ĳs ǆ ŀl", "ijs dž l·l"),
        ("שׁ ﬡ ﭏ", "שׁ א אל"),
        ("5℃ 9℉", "5°C 9°F"),
    ],
)
def test_variants_become_ordinary_letters(text, ordinary):
    assert ordinary_letters(text) == unicodedata.normalize("NFC", ordinary)


@pytest.mark.parametrize(
    "text", ["10² m³ ½", "№ 5 ª º", "Ⅳ ⅷ", "™ ℠ ㎏ ㈱ ①", "น้ำ ຫນ ໝ", "ㄱㅋㅋ", "և", "ʰ ˢᵗ"]
)
def test_variants_with_another_meaning_are_kept(text):
    assert ordinary_letters(text) == text


def test_every_character_is_mapped_idempotently_to_nfc():
    for character in EVERY:
        once = ordinary_letters(character)
        assert ordinary_letters(once) == once and unicodedata.is_normalized("NFC", once)


def test_digits_change_only_in_width():
    for character in EVERY:
        if unicodedata.category(character)[0] == "N":
            once = ordinary_letters(character)
            assert once == character or unicodedata.decomposition(character).startswith("<wide>")


@given(st.text(st.characters(codec="utf-8")))
def test_texts_are_mapped_idempotently_to_nfc(text):
    once = ordinary_letters(text)
    assert ordinary_letters(once) == once and unicodedata.is_normalized("NFC", once)
