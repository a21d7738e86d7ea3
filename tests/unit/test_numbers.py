"""Numbers with their marks: spelled out if a language has a single reading, else in digits."""

import unicodedata

import num2words
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.text import context, lists, marks, numbers
from voicekiln.text.agreement import ONE_READING
from voicekiln.text.languages import TABLE
from voicekiln.text.normalize import TextSettings, normalize
from voicekiln.text.numbers import in_words, n_digits
from voicekiln.text.spelling import cardinal, native_korean, readings

DEFAULT = TextSettings(normalize=True, punctuation="native", numbers="spell", abbreviations={})
KNOWN = sorted(
    {"nb", "nn", "kk", *(code for code in num2words.CONVERTER_CLASSES if "_" not in code)}
)
LISTED = [row["language"] for row in lists.rows(TABLE)]


@pytest.mark.parametrize(
    "language, text, spoken",
    [
        ("en", "21st, 3rd and 111th", "twenty-first, third and one hundred and eleventh"),
        ("en", "a 20-year-old, a 5-star", "a twenty-year-old, a five-star"),
        ("en", "In 1984, he; since 1905.", "In nineteen eighty-four, he; since nineteen oh-five."),
        ("en", "in 1066. The year 2000", "in ten sixty-six. The year two thousand"),
        ("en", "Room №5 is № 12", "Room number five is number twelve"),
        ("en", "I have 305 cats (5 old).", "I have three hundred and five cats (five old)."),
        ("en", "305 of them, 5 CDs", "three hundred and five of them, five CDs"),
        ("de", "21 Kinder, Nr. 1, № 5", "einundzwanzig Kinder, Nummer eins, Nummer fünf"),
        ("de", "im Jahr 1990", "im Jahr neunzehnhundertneunzig"),
        ("fr", "71 pages, le 1er mai, la 2e, la 1re", "soixante et onze pages, le premier mai, la "
         "deuxième, la première"),
        ("fr", "n° 5, 50 %", "numéro cinq, cinquante pour cent"),
        ("es", "3 libros, el 2º, la 3ª vez, el 1er", "tres libros, el segundo, la tercera vez, el "
         "primer"),
        ("es", "21 %, Nº 200", "veintiuno por ciento, número doscientos"),
        ("it", "il 2º piano, 28 giorni", "il secondo piano, ventotto giorni"),
        ("pt", "o 10.º andar, a 2ª vez, 3 gatos", "o décimo andar, a segunda vez, três gatos"),
        ("nl", "de 2e en 20ste keer, 3 kinderen", "de tweede en twintigste keer, drie kinderen"),
        ("sv", "1:a, 3:e, 3 barn", "första, tredje, tre barn"),
        ("da", "3 børn", "tre børn"),
        ("tr", "%50, 3'üncü, 2'nci, 21 kişi", "yüzde elli, üçüncü, ikinci, yirmi bir kişi"),
        ("am", "1ኛ ደረጃ፣ 3ኛው፣ በ5 ሰዓት", "አንደኛ ደረጃ፣ ሦስተኛው፣ በአምስት ሰዓት"),
        ("am", "፻ ሰው", "መቶ ሰው"),
        ("ko", "3명이, 20살, 5시에", "세 명이, 스무 살, 다섯 시에"),
        ("ko", "3시 30분, 15시", "세 시 삼십 분, 십오 시"),
        ("ko", "1990년 6월 10일, 5층", "천구백구십 년 유월 십 일, 오 층"),
        ("ko", "2번째, 1번째, 3개월", "두 번째, 첫 번째, 삼 개월"),
        ("hu", "3 alma", "három alma"),
        ("id", "3 anak", "tiga anak"),
        ("vi", "thứ 2", "thứ hai"),
        ("ja", "第5回、1,000円", "第五回、千円"),
        ("fa", "۲۱ کتاب", "بیست و یک کتاب"),
        ("kk", "25", "жиырма бес"),
    ],
)  # fmt: skip
def test_numbers_with_one_reading_are_spelled_out(language, text, spoken):
    assert normalize(text, language, DEFAULT) == unicodedata.normalize("NFC", spoken)


STAYS = {
    "en": "2th;#5;§ 5;± 5;+5;-5;3-D;4x4;3 x 4;90s;'90s;5';5\";(5);5);1. The;555 1234;1/2;2½;...5;"
    "at 3.30;5 pm;007;Boeing 747;Room 305;No. 5;p. 5;Fig. 3;3 × 4;7 - 5;10: 30;5 ft;5/;F-16;"
    "the 747 landed;call 911 now;5 and 1/2;zip 12345;it cost 250;2024;"
    "1990 people;in 1500 people;May 5;5 May;12/05/2024 10:30;2024-05-12;3:05 pm;10-20;5m",
    "de": "10115 Berlin;1 Kind;um 1 Uhr;101 Tage;1990;Er wurde 3.;am 3.;§ 5;5-jährig;3er;1. Der;"
    "1 km;10.30 Uhr;3. Mai",
    "fr": "21 filles;81 pages;1 livre;2nd;12h30;5 h;3,25;5 km",
    "es": "31 casas;21 libros;1 libro;200 libras;1.001 noches;1990;a 5º;el 3º piso;3,25;5 km",
    "it": "1 casa;21 libri;1ª volta;5 km",
    "pt": "2 casas;200 pessoas;16 anos;2000 dias;1 casa",
    "nl": "1066;1990;2024;101;2ste",
    "sv": "1066;1990;2024;1 hus;21 barn;2:e;500 kr;3 maj",
    "da": "1990;1 hus;3. maj;100 mand",
    "no": "1990;1 hus;21 barn;7 hus",
    "ro": "2 case;1 casă;20 de ani;2000;al 2-lea",
    "ca": "2 cases;21;200;2000",
    "ru": "2 книги;5 книг;12 стульев;5-й;5-я;2-го;№5;№ 5;50 %;в 1990 году",
    "uk": "2 книги;5-ий;8-ма година;№ 5",
    "pl": "2 książki;5 książek;21 osób;50%;w 1990 r.",
    "he": "2 ילדים;5 ילדים",
    "ar": "2 كتب;2000;%50;3.5",
    "el": "2 βιβλία;2000;1ος",
    "tr": "1990'da;50%;5.;2'üncü",
    "ko": "2번;3권;21명;24시간;제3회;3분;5개국;010-1234-5678",
    "am": "50 ሰው;50ኛ;5-ኛ;ከ5-10;1990 ሰው;5ቱ;10:30 ሰዓት",
    "hu": "május 3;2 alma;12;5-én;3. nap;200 Ft",
    "fi": "3 lasta",
    "vi": "tháng 4;105",
    "id": "1 orang;ke-5",
    "ja": "0;5%;A4;№5;3×4",
    "bn": "3টি;100;3 মে",
    "az": "5-ci",
    "kk": "5-ші;3 мамыр;1990 жыл",
    "fa": "3 خرداد",
}  # fmt: skip


@pytest.mark.parametrize(
    "language, text", [(language, t) for language, some in STAYS.items() for t in some.split(";")]
)
def test_ambiguous_numbers_stay_in_digits(language, text):
    assert in_words(text, language) == text and n_digits(text)


@pytest.mark.parametrize("link", ["5th ", "(5 "])  # each waits for its right, left neighbour
def test_a_chain_of_numbers_takes_linear_work(link, monkeypatch):
    n_checks = []
    for module in (marks, numbers):
        for name in ("alone_before", "alone_after"):
            check = getattr(context, name)
            monkeypatch.setattr(
                module, name, lambda *args, check=check: n_checks.append(1) or check(*args)
            )
    work = []
    for n_links in (100, 400):
        n_checks.clear()
        assert not n_digits(in_words((link * n_links).strip(), "en"))
        work.append(len(n_checks))
    assert 0 < work[1] <= 4.1 * work[0]


def test_ethiopic_numbers_that_may_be_years_keep_their_signs():
    assert normalize("በ፲፱፻፺፭ ዓ.ም.", "am", DEFAULT) == "በ፲፱፻፺፭ ዓመተ ምሕረት።"


@settings(deadline=None, max_examples=400)
@given(st.sampled_from(KNOWN), st.integers(0, 12_000) | st.integers(0, 10**7))
def test_a_number_is_spelled_out_completely_or_not_at_all(language, number):
    text = in_words(f"{number}", language)
    assert text == f"{number}" or (not n_digits(text) and text == cardinal(number, language))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(ONE_READING)), st.integers(0, 2100))
def test_the_citation_form_is_a_reading_and_no_reading_contains_digits(language, number):
    found = readings(str(number), language)
    assert found and not any(n_digits(reading) for reading in found)
    assert cardinal(number, language) in found


@settings(deadline=None, max_examples=200)
@given(
    st.text(st.characters(exclude_categories=["Nd", "No", "Nl", "Sm", "Sc"])),
    st.sampled_from(KNOWN),
)
def test_a_text_without_numbers_is_unchanged(text, language):
    assert in_words(text, language) == text


PIECES = [
    *"0123456789", *" ..,,::--''()%$№º/x", "10", "1990", " km", " €", "-й", "ኛ", "'te", "th ", "st",
    " Uhr", " de ", "am ", "la ", "በ", "명", "시 ", "つ", " May ", ". Mai", "n° ", "፲፱፻", "5 ",
    "\"",
]  # fmt: skip


@settings(deadline=None, max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=9).map("".join), st.sampled_from(KNOWN))
def test_normalising_marked_numbers_is_idempotent(text, language):
    once = normalize(text, language, DEFAULT)
    assert normalize(once, language, DEFAULT) == once
    assert n_digits(once) <= n_digits(text)


@settings(deadline=None, max_examples=400)
@given(
    st.text(st.characters(codec="utf-8"), max_size=40) | st.text("0123456789 .,-/:'%", max_size=12),
    st.sampled_from(LISTED),
    st.text(max_size=30) | st.none(),
)
def test_normalising_any_text_is_idempotent_and_adds_no_digits(text, language, hypothesis):
    once = normalize(text, language, DEFAULT, hypothesis)
    assert unicodedata.is_normalized("NFC", once) and n_digits(once) <= n_digits(text)
    without = normalize(text, language, DEFAULT)
    assert normalize(without, language, DEFAULT) == without


@given(st.integers(0, 99_999))  # above, num2words drops a one: 101 000
def test_turkish_numbers_are_those_of_num2words_with_spaces(number):
    assert cardinal(number, "tr").replace(" ", "") == num2words.num2words(number, lang="tr")


@given(st.integers(2, 99).filter(lambda n: n != 20))
def test_native_korean_numbers_are_those_of_the_ordinals(number):
    assert f"{native_korean(number)} 번째" == num2words.num2words(number, lang="ko", to="ordinal")


@pytest.mark.parametrize(
    "language, number, spoken",
    [("sv", 40, "fyrtio"), ("sv", 247, "tvåhundrafyrtiosju"), ("da", 60, "tres"),
     ("da", 69, "niogtres"), ("da", 50, "halvtreds"), ("am", 16, "አሥራ ስድስት"),
     ("fr", 80, "quatre-vingts"),
     ("am", 2016, "ሁለት ሺህ አሥራ ስድስት"), ("tr", 2024, "iki bin yirmi dört")],
)  # fmt: skip
def test_errors_of_num2words_are_corrected(language, number, spoken):
    assert cardinal(number, language) == unicodedata.normalize("NFC", spoken)
