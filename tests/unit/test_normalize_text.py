"""Texts are normalised to their spoken form."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.text.clean import clean, letters
from voicekiln.text.normalize import TextSettings, normalize
from voicekiln.text.numbers import ethiopic_number, n_digits

DEFAULT = TextSettings(normalize=True, punctuation="native", numbers="spell", abbreviations={})
LANGUAGES = st.sampled_from(["en", "de", "fr", "am", "ar", "ru", "xx"])


@pytest.mark.parametrize(
    "language, text, spoken",
    [
        ("en", "“Hello” – she said… it’s me", '"Hello" - she said... it\'s me'),
        ("en", "Wait—what ?", "Wait - what?"),
        ("fr", "Vraiment ? Oui !", "Vraiment? Oui!"),
        ("en", "It cost 1,234.5.", "It cost one thousand, two hundred and thirty-four point five."),
        ("en", "in 1984, on the 21st", "in nineteen eighty-four, on the twenty-first"),
        ("de", "1.200 Leute, 3,5 davon", "eintausendzweihundert Leute, drei Komma fünf davon"),
        ("en", "at 12:30 on 1/2/2020, v1.2.3, 2-3 km", "at 12:30 on 1/2/2020, v1.2.3, 2-3 km"),
        ("en", "$5, €1, £0.50 and 10%", "five dollars, one euro, fifty pence and ten percent"),
        ("en", "$1,200.56", "one thousand, two hundred dollars and fifty-six cents"),
        ("en", "$1.01, $2.00, $0.00", "one dollar and one cent, two dollars, zero dollars"),
        ("en", "$5 million, 3 million km", "five million dollars, three million kilometers"),
        ("en", "$5m, US$5, €3/kg, 5 €/kg, 7 km/s²", "$5m, US$5, €3/kg, 5 €/kg, 7 km/s²"),
        ("en", "1 km, 1500 km, 9 m²", "one kilometer, one thousand, five hundred kilometers, "
         "nine square meters"),
        ("en", "$3.5, 2.5 kg", "three point five dollars, two point five kilograms"),
        ("en", "-5 °C, 70°F, 90°", "minus five degrees Celsius, seventy degrees Fahrenheit, "
         "ninety degrees"),
        ("en", "5 m tall, 5 men", "five meters tall, five men"),
        ("de", "3,5 kg, 1 %, 100 km/h", "drei Komma fünf Kilogramm, 1 %, "
         "einhundert Kilometer pro Stunde"),
        ("de", "5,50 €, 1 €, 2 Millionen €", "fünf Euro und fünfzig Cent, 1 €, "
         "zwei Millionen Euro"),
        ("de", "100%ig", "100%ig"),
        ("de", "am 3. Mai, der 1. Mai", "am dritten Mai, der erste Mai"),
        ("de", "in der 3. Klasse, die 2. Runde", "in der dritten Klasse, die zweite Runde"),
        ("de", "im 19. Jahrhundert", "im neunzehnten Jahrhundert"),
        ("de", "der 2. Weltkrieg, ab 3. Mai", "der 2. Weltkrieg, ab 3. Mai"),
        ("de", "Es war am 3. Dann kam er.", "Es war am 3. Dann kam er."),
        ("ja", "はい，5本、3.5", "はい、五本、3.5"),
        ("am", "በ5%", "በአምስት በመቶ"),
        ("fr", "1 234 567 pages", "1 234 567 pages"),
        ("en", "std::vector", "std::vector"),
        ("de", "Es sind 3.", "Es sind drei."),
        ("ja", "100本", "百本"),
        ("fr", "12\u202f345 pages", "douze mille trois cent quarante-cinq pages"),
        ("am", "በ2000", "በሁለት ሺህ"),
        ("am", "ሰላም፡፡ ለዓለም", "ሰላም። ለዓለም"),
        ("uk", "м\u02bcята", "м\u02bcята"),
        ("en", "It was 5.", "It was five."),
        ("de", "z.B. Dr. Maier & Sohn", "zum Beispiel Doktor Maier und Sohn"),
        ("en", "MP3 and B2B stay", "MP3 and B2B stay"),
        ("am", "ሰላም ፡ ለዓለም ።", "ሰላም ለዓለም።"),
        ("am", "፲፪ ሰው", "አሥራ ሁለት ሰው"),
        ("ar", "كتـــاب ، ٢٠", "كتاب، 20"),
    ],
)  # fmt: skip
def test_spoken_form(language, text, spoken):
    assert normalize(text, language, DEFAULT) == unicodedata.normalize("NFC", spoken)


def test_user_abbreviations_take_precedence():
    settings = TextSettings(True, "native", "spell", {"Dr.": "Drive", "VK": "VoiceKiln"})
    assert normalize("VK on Elm Dr.", "en", settings) == "VoiceKiln on Elm Drive."


def test_numbers_can_be_kept_and_normalising_disabled():
    assert normalize("in 1984 …", "en", TextSettings(True, "native", "keep", {})) == "in 1984..."
    assert normalize(" in 1984 … ", "en", TextSettings(False, "native", "spell", {})) == "in 1984 …"


@pytest.mark.parametrize(
    "signs, value",
    [("፩", 1), ("፲፪", 12), ("፻", 100), ("፪፻፶", 250), ("፲፱፻፺", 1990), ("፪፼፫፻", 20_300)],
)  # fmt: skip
def test_ethiopic_numbers(signs, value):
    assert ethiopic_number(signs) == value


@settings(deadline=None)
@given(st.text(max_size=60), LANGUAGES)
def test_normalising_is_idempotent_and_yields_nfc(text, language):
    once = normalize(text, language, DEFAULT)
    assert normalize(once, language, DEFAULT) == once
    assert unicodedata.is_normalized("NFC", once)


words = st.text(st.characters(categories=["Lu", "Ll", "Lo"]), min_size=1, max_size=9)


@given(st.lists(words, max_size=8), LANGUAGES)
def test_words_are_unchanged(some, language):
    text = " ".join(some)
    if not {"Mme", "Mlle", "Dr"} & set(some):
        assert letters(normalize(text, language, DEFAULT)) == letters(clean(text).replace("ـ", ""))


PIECES = [
    *"0123456789",
    *"..,,- %€$£°/²m",
    "km",
    "°C",
    " million",
    " Mai",
    "am ",
    "der ",
    "in ",
    "በ",
]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), LANGUAGES)
def test_normalising_measures_and_prices_is_idempotent(text, language):
    once = normalize(text, language, DEFAULT)
    assert normalize(once, language, DEFAULT) == once


@pytest.mark.parametrize(
    "text",
    ["₹500", "500 ₽", "¥500", "#5", "5¢", "3‰", "x=5", "5×3", "user@5.com", "5^2", "10³", "2½"],
)
def test_a_number_beside_an_unknown_sign_is_kept(text):
    """Read without its sign it would say something else; it is listed, or dropped, as it is."""
    assert normalize(text, "en", DEFAULT) == text and n_digits(text)
