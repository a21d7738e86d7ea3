"""Numbers, dates and times are spelled out by a hypothesis."""

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.text.hypothesis_match import closest_reading
from voicekiln.text.normalize import TextSettings, normalize
from voicekiln.text.numbers import n_digits
from voicekiln.text.spelling import readings

DEFAULT = TextSettings(normalize=True, punctuation="native", numbers="spell", abbreviations={})


@pytest.mark.parametrize(
    "language, text, hypothesis, spoken",
    [
        ("es", "En la mesa hay 21 libros.", "en la mesa hay veintiún libros", "En la mesa hay "
         "veintiún libros."),
        ("es", "Hay 21 libros.", "hay veintiun libros", "Hay veintiún libros."),
        ("es", "Vinieron 500 personas.", "vinieron quinientas personas", "Vinieron quinientas "
         "personas."),
        ("es", "Compró 1 casa en el 3º piso.", "compro una casa en el tercer piso", "Compró una "
         "casa en el tercer piso."),
        ("es", "el 12/05/2024 a las 10:30", "el doce de mayo de dos mil veinticuatro a las diez y "
         "media", "el doce de mayo de dos mil veinticuatro a las diez y media"),
        ("de", "Ich habe 1 Kind, um 1 Uhr.", "ich habe ein kind um ein uhr", "Ich habe ein Kind, "
         "um ein Uhr."),
        ("de", "Es war 1990.", "es war neunzehnhundertneunzig", "Es war neunzehnhundertneunzig."),
        ("de", "am 3.5.2024 um 10:30 Uhr", "am dritten mai zweitausendvierundzwanzig um zehn uhr "
         "dreißig", "am dritten Mai zweitausendvierundzwanzig um zehn Uhr dreißig"),
        ("de", "am 03.05.2024 um 10.30 Uhr", "am dritten fünften zweitausendvierundzwanzig um halb "
         "elf", "am dritten fünften zweitausendvierundzwanzig um halb elf"),
        ("ru", "Я прочитал 2 книги.", "я прочитал две книги", "Я прочитал две книги."),
        ("ru", "В 1990 году", "в тысяча девятьсот девяностом году", "В тысяча девятьсот девяностом "
         "году"),
        ("ru", "Это 5-й дом 2-го числа.", "это пятый дом второго числа", "Это пятый дом второго "
         "числа."),
        ("ru", "12.05.2024 в 10:30", "двенадцатого мая две тысячи двадцать четвертого года в "
         "десять тридцать", "двенадцатого мая две тысячи двадцать четвёртого года в десять "
         "тридцать"),
        ("en", "On 12/05/2024 at 10:30 he", "on the twelfth of may twenty twenty four at half past "
         "ten he", "On the twelfth of May twenty twenty-four at half past ten he"),
        ("en", "On 12/05/2024 he", "on december fifth two thousand twenty four he", "On December "
         "fifth two thousand twenty-four he"),
        ("en", "In 2024 it", "in twenty twenty four it", "In twenty twenty-four it"),
        ("en", "at 3:05 pm. May 5.", "at three oh five p m may fifth", "at three oh five pm. May "
         "fifth."),
        ("en", "Call 007 in room 305 now", "call double oh seven in room three oh five now",
         "Call double oh seven in room three oh-five now"),
        ("en", "The 1960s, 10-20 people", "the nineteen sixties ten to twenty people",
         "The nineteen sixties, ten to twenty people"),
        ("en", "There were 101 of them", "there were one hundred one of them",
         "There were one hundred one of them"),
        ("fr", "21 filles à 10h30", "vingt et une filles à dix heures trente",
         "vingt et une filles à dix heures trente"),
        ("it", "21 libri alle 10:30", "ventun libri alle dieci e mezza",
         "ventun libri alle dieci e mezza"),
        ("pt", "2 casas em 16/05/2024", "duas casas em dezesseis de maio de dois mil e vinte e "
         "quatro", "duas casas em dezesseis de maio de dois mil e vinte e quatro"),
        ("nl", "Hij kwam in 1990 om 10:30.", "hij kwam in negentienhonderd negentig om half elf",
         "Hij kwam in negentienhonderdnegentig om half elf."),
        ("pl", "2 książki", "dwie książki", "dwie książki"),
        ("uk", "8-ма година", "восьма година", "восьма година"),
        ("he", "2 ילדים", "שני ילדים", "שני ילדים"),
        ("ko", "책 3권", "책 세 권", "책 세권"),
        ("tr", "1990'da geldi", "bin dokuz yüz doksanda geldi", "bin dokuz yüz doksanda geldi"),
        ("am", "በ1990 ዓ.ም. ነበር", "በአሥራ ዘጠኝ መቶ ዘጠና ዓመተ ምሕረት ነበር",
         "በአሥራ ዘጠኝ መቶ ዘጠና ዓመተ ምሕረት ነበር"),
        ("am", "ከ10:30 ሰዓት፣ በ7፡30", "ከአስር ሰዓት ተኩል በሰባት ሰላሳ", "ከአሥር ሰዓት ተኩል፣ በሰባት ሠላሳ"),
        ("es", "1.001 noches, 3,25 de", "mil una noches tres coma veinticinco de",
         "mil una noches, tres coma veinticinco de"),
        ("de", "1.234,5 von", "tausendzweihundertvierunddreißig komma fünf von",
         "tausendzweihundertvierunddreißig Komma fünf von"),
        ("en", "3.25 of", "three point two five of", "three point two five of"),
        ("sv", "1990 kom", "nittonhundranittio kom", "nittonhundranittio kom"),
        ("ar", "سنة 2000", "سنة ألفين", "سنة ألفين"),
    ],
)  # fmt: skip
def test_the_reading_in_the_hypothesis_is_chosen(language, text, hypothesis, spoken):
    got = normalize(text, language, DEFAULT, hypothesis)
    assert got == unicodedata.normalize("NFC", spoken)


@pytest.mark.parametrize(
    "language, text, hypothesis",
    [
        ("en", "In 2024 he", "in 2024 he"),
        ("en", "In 2024 he", "yesterday we went home"),
        ("en", "In 2024 he", ""),
        ("en", "The §5 rule", "the five rule"),
        ("ru", "5 5", "пять пять"),
        ("es", "Compró 1 casa", "compró casa"),
        ("es", "Compró 1 casa", "compró unu casa"),
        ("hi", "5 लड़के", "पांच लड़के"),
    ],
)
def test_an_unclear_hypothesis_leaves_digits(language, text, hypothesis):
    assert normalize(text, language, DEFAULT, hypothesis) == text


def test_a_long_chain_of_ambiguous_numbers_terminates_quickly():
    text = ", ".join(["00"] * 30) + "."
    begin = time.process_time()
    assert normalize(text, "en", DEFAULT, "zero " * 38) == text
    assert time.process_time() - begin < 5


def test_an_inexact_reading_needs_a_margin():
    forms = readings("21", "es")
    assert closest_reading(forms, "veintiuna", "es") == "veintiuna"
    assert closest_reading(forms, "veintiuma", "es") is None, "as near to veintiuno"
    assert (
        closest_reading(readings("1990", "de"), "neunzenhundertneunzig", "de")
        == "neunzehnhundertneunzig"
    )
    assert closest_reading(forms, "", "es") is closest_reading((), "uno", "es") is None


@settings(deadline=None, max_examples=150)
@given(st.sampled_from("en de fr es it pt ru am".split()), st.integers(0, 9999), st.data())
def test_every_reading_is_recovered_from_a_hypothesis(language, number, data):
    reading = data.draw(st.sampled_from(readings(str(number), language)))
    text = normalize(f"xyzzy {number} plugh", language, DEFAULT, f"xyzzy {reading} plugh")
    assert not n_digits(text) and closest_reading((reading,), text[6:-6], language) == reading
