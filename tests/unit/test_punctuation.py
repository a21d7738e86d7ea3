"""Each sign has one code point within a language."""

import csv
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.text.clean import clean
from voicekiln.text.normalize import TextSettings, normalize
from voicekiln.text.punctuation import CLOSING, TABLE, localize_signs, unify_signs
from voicekiln.text.scripts import main_scripts

with open(TABLE, encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
LANGUAGES = st.sampled_from("en de es am ti ar ur hi mr bn zh ja ko el hy he bo my km xx".split())
SIGNS = sorted({c for row in ROWS for c in row["sign"]} | set(CLOSING))
TEXTS = st.text(st.sampled_from([*SIGNS, *"  aBéሰላمक你あкΩ19٣"]), max_size=12)
KINDS = st.sampled_from(["native", "latin"])


def unify(text, language, kind="native"):
    return localize_signs(clean(unify_signs(clean(text))), language, kind)


@pytest.mark.parametrize(
    "language, text, native, latin",
    [
        ("am", "ሰላም ፡ ለዓለም ፡፡", "ሰላም ለዓለም።", "ሰላም ለዓለም."),
        ("am", "ነህ፧ ደህና, አንተስ? ደህና ነኝ.", "ነህ? ደህና፣ አንተስ? ደህና ነኝ።", "ነህ? ደህና, አንተስ? ደህና ነኝ."),
        ("am", "በ1990 ዓ.ም. 12:30 3,5 ነው::", "በ1990 ዓ.ም. 12:30 3,5 ነው።", "በ1990 ዓ.ም. 12:30 3,5 ነው."),
        ("am", "እነሱም፡- አንድ; ሁለት፥", "እነሱም፦ አንድ፤ ሁለት፥", "እነሱም: አንድ; ሁለት:"),
        ("ar", "كتـاب, قلم; لماذا?", "كتاب، قلم؛ لماذا؟", "كتاب, قلم; لماذا?"),
        ("ur", "یہ کتاب ہے. ٹھیک ہے۔", "یہ کتاب ہے۔ ٹھیک ہے۔", "یہ کتاب ہے. ٹھیک ہے."),
        ("hi", "यह सच है. हाँ| ई.पू. राम ।", "यह सच है। हाँ। ई.पू. राम।", "यह सच है. हाँ. ई.पू. राम."),
        ("mr", "हे खरे आहे.", "हे खरे आहे.", "हे खरे आहे."),
        ("zh", "你好, 世界.真的？对...", "你好，世界。真的？对...", "你好, 世界. 真的? 对..."),
        ("ja", "「はい」，そうです．", '"はい"、そうです。', '"はい", そうです.'),
        ("ko", "네，그래요。", "네,그래요。", "네,그래요。"),
        ("es", "¿Qué?  ¡Sí !", "¿Qué? ¡Sí!", "¿Qué? ¡Sí!"),
        ("el", "Τι κάνεις\u037e Καλά\u0387 εσύ?", "Τι κάνεις; Καλά· εσύ;", "Τι κάνεις? Καλά: εσύ?"),
        ("hy", "Բարեւ: Ինչո՞ւ։", "Բարեւ։ Ինչո՞ւ։", "Բարեւ. Ինչո՞ւ."),
        ("en", "„No”, she said‽ 3∶1", '"No", she said?! 3:1', '"No", she said?! 3:1'),
    ],
)  # fmt: skip
def test_each_sign_has_one_code_point(language, text, native, latin):
    assert unify(text, language) == native
    assert unify(text, language, "latin") == latin


def test_normalising_applies_the_punctuation_of_the_language():
    settings = TextSettings(True, "latin", "spell", {})
    assert normalize("እንዴት ነህ፧ 12 ሰው፣ ነው።", "am", settings) == "እንዴት ነህ? አሥራ ሁለት ሰው, ነው."


@settings(max_examples=500)
@given(TEXTS, LANGUAGES, KINDS)
def test_unifying_is_idempotent(text, language, kind):
    once = unify(text, language, kind)
    assert unify(once, language, kind) == once


@settings(max_examples=500)
@given(TEXTS, LANGUAGES, KINDS)
def test_letters_marks_and_digits_are_kept(text, language, kind):
    def said(text):
        return [c for c in text if unicodedata.category(c)[0] in "LMN" and c != "ـ"]

    assert said(unify(text, language, kind)) == said(clean(text))


def test_no_replacement_is_itself_replaced():
    keys = [(row["where"], row["sign"]) for row in ROWS]
    assert len(set(keys)) == len(keys)
    assert all(row["native"] is not None and row["note"] for row in ROWS)
    for language in ("am", "ar", "hi", "zh", "ja", "el", "hy", "my", "km", "bo"):
        for kind in ("native", "latin"):
            rows = [r for r in ROWS if r["where"] in (*main_scripts(language), language)]
            becomes = {row["sign"]: row[kind] for row in rows}
            assert all(becomes.get(sign, sign) == sign for sign in becomes.values()), language
