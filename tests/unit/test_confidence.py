"""Trust in transcripts: the detectors one by one, and the number made of them (N10)."""

import unicodedata

import numpy as np
import pytest
from corpus_rows import segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.corpus import confidence
from voicekiln.corpus.confidence import PARTS, hallucination, repetition, score
from voicekiln.text.distance import character_error_rate

VERSE = "It was the best of times, it was the worst of times, it was the age of wisdom"


@pytest.mark.parametrize(
    ("text", "share"),
    [
        (VERSE, 0.0),
        ("No, no, that was very, very good.", 0.0),  # twice is a manner of speaking
        ("ha ha ha ha", 0.75),
        ("Thank you, Mr. President, " * 4, 0.75),
        ("I do not know. I do not know. But he does.", 4 / 11),
        ("so we said goodbye bye bye bye bye", 12 / 27),  # with the end of goodbye
        ("aaaaaaaaaa", 0.9),
        ("的的的的的的的的", 7 / 8),
        ("ሰላም ሰላም ሰላም ሰላም ነው", 0.6),
        ("ご視聴ありがとう", 0.0),
        ("", 0.0),
        ("... !", 0.0),
    ],
)
def test_a_loop_is_counted_by_the_share_of_the_text_in_it(text, share):
    assert repetition(text) == pytest.approx(share, abs=1e-4)


@given(st.lists(st.sampled_from("abcdefghij"), min_size=3, max_size=9, unique=True))
def test_words_that_differ_are_no_loop_and_said_over_and_over_they_are(words):
    assert repetition(" ".join(words)) == 0
    assert repetition(" ".join(words * 5)) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "Thanks for watching!",
        "thanks for watching. Thanks for watching.",
        "Untertitel der Amara.org-Community",
        "Untertitel im Auftrag des ZDF für funk, 2017",
        "Sous-titres réalisés para la communauté d'Amara.org",
        "SOUS-TITRES RÉALISÉS PAR LA COMMUNAUTÉ D'AMARA.ORG",
        unicodedata.normalize("NFD", "Subtítulos realizados por la comunidad de Amara.org"),
        "ご視聴ありがとうございました。",
        "ترجمة نانسي قنقر",
        "字幕由 Amara.org 社区提供",
    ],
)
def test_invented_credits_are_known(text):
    assert hallucination(text) == 1


@pytest.mark.parametrize(
    "text",
    ["", "Thank you.", "Thanks for watching the children while I was away.", VERSE, "SWR 2000"],
)
def test_what_people_say_is_not_taken_for_invented(text):
    assert hallucination(text) == 0


def test_every_invented_text_has_a_language_and_a_source_and_matches_itself():
    lines = confidence.HALLUCINATIONS.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    assert all(len(row) == 4 and all(row) and row[1] in ("whole", "prefix") for row in rows)
    assert all(hallucination(text) for _, _, text, _ in rows)
    assert rows == sorted(rows, key=lambda row: row[0])


def test_the_error_rate_of_characters_knows_no_case_punctuation_or_spaces():
    assert character_error_rate("Well, a while ago!", "well awhile ago") == 0
    assert character_error_rate("ሰላም ነው", "ሰላምነው") == 0
    assert character_error_rate("abcd", "abxd") == 0.25
    assert character_error_rate("abcd", "") == 1
    assert (character_error_rate("...", "word"), character_error_rate("...", "!")) == (1, 0)


VALUES = st.one_of(
    st.none(), st.floats(-3, 4, allow_nan=False), st.sampled_from([0.0, 1.0, -1.0, 0.5])
)
SCORES = [name for name in PARTS if name != "pace"]


def confidence_of(**scores):
    unknown = {"avg_logprob": None, "no_speech_prob": None}
    return score(table(segment("some words", **(unknown | scores))))["confidence"][0]


@settings(max_examples=40, deadline=None)
@given(st.fixed_dictionaries({name: VALUES for name in SCORES}), st.sampled_from(SCORES))
def test_confidence_lies_in_0_to_1_and_rises_with_each_part(scores, name):
    before = confidence_of(**scores)
    known = [scores[part] for part in confidence.OF_HYPOTHESES if part in scores]
    if all(value is None for value in known):
        assert np.isnan(before)
        return
    assert 0 <= before <= 1
    if scores[name] is not None:
        better = scores | {name: PARTS[name].good}
        assert confidence_of(**better) >= before - 1e-9
        worse = scores | {name: PARTS[name].bad}
        assert confidence_of(**worse) <= before + 1e-9


def test_one_failure_tells_whatever_the_others_say_and_doubts_add_up():
    good = {"avg_logprob": 0.0, "compression_ratio": 1.4, "no_speech_prob": 0.0}
    good |= {"repetition": 0.0, "hallucination": 0.0}
    assert confidence_of(**good) == 1
    assert confidence_of(**good | {"hallucination": 1.0}) == 0
    assert confidence_of(**good | {"repetition": 0.45}) < 0.35
    one, two = good | {"no_speech_prob": 0.5}, good | {"no_speech_prob": 0.5, "avg_logprob": -0.8}
    assert confidence_of(**two) < confidence_of(**one) < 1


def test_a_given_text_is_judged_by_what_was_heard_not_by_the_recognisers_own_scores():
    given_text = {"text_source": "reference", "avg_logprob": -3.0, "hallucination": 1.0}
    assert confidence_of(**given_text, cer=0.0) == 1
    assert confidence_of(**given_text, cer=0.3) == 0.5
    assert np.isnan(confidence_of(**given_text))  # nobody listened
    assert confidence_of(text_source="corrected", avg_logprob=-3.0) == 1


def test_a_text_that_is_three_times_as_fast_as_its_language_has_low_confidence():
    usual = [segment("x" * 30, i * 3.0, language="en", text_source="reference") for i in range(20)]
    fast = segment("x" * 90, 90.0, language="en", text_source="reference")
    other = segment("x" * 90, 95.0, language="am", text_source="reference")
    scored = score(table(*usual, fast, other))
    assert list(scored["confidence"][:20]) == [1.0] * 20
    assert scored["confidence"][20] == 0
    assert np.isnan(scored["confidence"][21])
    assert scored["chars_per_s"][20] == 45


def test_golden_confidence():
    rows = [
        segment("a b", avg_logprob=-0.5, compression_ratio=1.2, no_speech_prob=0.2, repetition=0.0),
        segment(
            "a b", avg_logprob=-0.9, compression_ratio=2.2, no_speech_prob=0.4, hallucination=0.0
        ),
        segment("a b", avg_logprob=-0.4, language_prob=0.5, agreement=0.8, repetition=0.2),
        segment("a b", text_source="reference", cer=0.25),
        segment(None),
    ]
    found = [None if np.isnan(t) else t for t in score(table(*rows))["confidence"]]
    assert found == [0.747, 0.5, 0.486, 0.583, None]


def test_texts_are_inspected_by_their_source():
    rows = table(
        segment("ha ha ha ha"),
        segment("ha ha ha ha", text_source="reference"),
        segment("one two", text_source="reference", hypothesis="one too"),
        segment(None, hypothesis="one"),
    )
    found = confidence.inspect(rows)
    assert list(found["repetition"])[:1] == [0.75] and found["repetition"][1:].isna().all()
    assert found["cer"].notna().tolist() == [False, False, True, False]
    assert found["cer"][2] == pytest.approx(1 / 6, abs=1e-4)
    assert confidence.inspect(rows[:0]).empty
