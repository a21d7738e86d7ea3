"""Abbreviations are expanded, and full stops after them kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.text import lists
from voicekiln.text.abbreviations import TABLE, write_out

ROWS = lists.rows(TABLE)


@pytest.mark.parametrize(
    "language, text, spoken",
    [
        ("en", "Apples, pears, etc.", "Apples, pears, et cetera."),
        ("en", "etc. Then he left", "et cetera. Then he left"),
        ("en", "apples etc. are fine, etc., etc.?", "apples et cetera are fine, et cetera, et "
         "cetera?"),
        ("en", 'He said "etc." It', 'He said "et cetera." It'),
        ("en", "apples, etc...", "apples, et cetera..."),
        ("en", "I saw Dr. Who.", "I saw Doctor Who."),
        ("de", "Äpfel usw.", "Äpfel und so weiter."),
        ("de", "Äpfel usw. Dann kam er bzw. sie.", "Äpfel und so weiter. Dann kam er "
         "beziehungsweise sie."),
        ("it", "mele, ecc. Poi", "mele, eccetera. Poi"),
        ("es", "peras, etc. ¿Y tú?", "peras, etcétera. ¿Y tú?"),
        ("nl", "peren enz.", "peren enzovoort."),
        ("ru", "груши и т. д. Потом", "груши и так далее. Потом"),
        ("sv", "päron osv.", "päron och så vidare."),
        ("am", "የት/ቤቱ ዶ/ር በፍ/ቤት", "የትምህርት ቤቱ ዶክተር በፍርድ ቤት"),
        ("am", "ት.ቤት ወ.ሮ ዶ.ር. አበበ", "ትምህርት ቤት ወይዘሮ ዶክተር አበበ"),
        ("am", "ጠ/ሚ/ር እና ጠ/ሚኒስትሩ", "ጠቅላይ ሚኒስትር እና ጠቅላይ ሚኒስትሩ"),
        ("am", "ለፌ/ም/ቤት ወ/ሮ/ት", "ለፌ/ም/ቤት ወ/ሮ/ት"),
        ("am", "ዶ/ርና ፕ/ር ጠ/ሚ/ሩን", "ዶክተርና ፕሮፌሰር ጠቅላይ ሚኒስትሩን"),
        ("am", "በ1990 ዓ.ም. ነበር በ1991 ዓ.ም.", "በ1990 ዓመተ ምሕረት ነበር በ1991 ዓመተ ምሕረት."),
    ],
)  # fmt: skip
def test_abbreviations_are_expanded(language, text, spoken):
    assert write_out(text, language, {}) == spoken


@given(st.sampled_from([row for row in ROWS if row["short"].endswith(".")]))
def test_a_full_stop_at_the_end_of_a_text_is_kept(row):
    assert write_out(f"x {row['short']}", row["language"], {}).endswith(f"{row['long']}.")


def test_the_table_has_no_duplicates_and_no_unknown_kind():
    assert len({(row["language"], row["short"]) for row in ROWS}) == len(ROWS)
    assert {row["kind"] for row in ROWS} == {"", "last", "stem", "open"}
