"""Every voice is heard (S4-40): which sentences, by whom, after which clip."""

import pytest
from corpus_rows import segment, table
from voicekiln.errors import UserError
from voicekiln.voice.references import Range, references, stems
from voicekiln.voice.sentences import likely_language, plan, speaking

GOOD_S = Range(2, 5, 10, 12)
SETTINGS = {"sentences": [], "n_sentences": 2, "speakers": "all"}
EN = ["The weather is lovely this morning.", "She was looking for the other one.", "What is this?"]
DE = ["Das Wetter ist heute wirklich schön.", "Er sucht nach dem anderen Buch.", "Was ist das?"]


def corpus():
    """anna has most and reads two languages, ben is never validated."""
    rows, at = [], 0.0
    for speaker, language, texts, length_s in (
        ("anna", "en", EN, 8.0), ("anna", "de", DE, 7.0), ("ben", "en", EN, 6.0),
    ):  # fmt: skip
        for i, text in enumerate(texts):
            more = {"speaker": speaker, "language": language, "split": "train"}
            rows.append(segment(text, at, length_s + i / 10, **more))
            at += 10
    for i, (text, language) in enumerate([("One.", "en"), ("Two.", "en"), ("Drei.", "de")]):
        more = {"speaker": "anna", "language": language, "split": "val"}
        rows.append(segment(text, at + 10 * i, 2.0, **more))
    return table(*rows)


def lines(**changed):
    segments = corpus()
    found = references(segments, GOOD_S)
    return [
        (line.text, line.reference.speaker, line.reference.language)
        for line in plan(segments, found, SETTINGS | changed)
    ]


def test_every_speaker_reads_validation_texts_of_every_language_of_theirs():
    assert lines() == [
        ("One.", "anna", "en"), ("Two.", "anna", "en"), ("Drei.", "anna", "de"),
        ("One.", "ben", "en"), ("Two.", "ben", "en"),
    ]  # fmt: skip
    assert lines(n_sentences=0) == []


def test_a_sentence_is_spoken_after_a_clip_of_its_language():
    said = ["The morning was this one.", "Das ist heute nach dem Buch."]
    expected = [(said[0], "anna", "en"), (said[1], "anna", "de"), (said[0], "ben", "en")]
    assert lines(sentences=said) == expected
    named = [{"text": said[0], "language": "en"}, {"text": said[1], "language": "de"}]
    assert lines(sentences=named) == expected
    foreign = [{"text": "Bonjour.", "language": "fr"}]
    assert lines(sentences=foreign) == [("Bonjour.", "anna", "en"), ("Bonjour.", "ben", "en")]


def test_speakers_are_all_some_or_named():
    found = references(corpus(), GOOD_S)
    assert [one.speaker for one in speaking(found, "all")] == ["anna", "ben"]
    assert [one.speaker for one in speaking(found, 1)] == ["anna"]
    assert [one.speaker for one in speaking(found, ["ben"])] == ["ben"]
    assert {speaker for _, speaker, _ in lines(speakers=1)} == {"anna"}
    with pytest.raises(UserError, match="by carla, dora; expected some of anna, ben"):
        speaking(found, ["carla", "ben", "dora"])


def test_files_are_named_for_speakers_and_never_collide():
    names = ["anna", "Anna", "a/b", "a b", "..", "ሰላም", None]
    rows = [segment(f"{i}", 10 * i, 6.0, speaker=n, split="train") for i, n in enumerate(names)]
    rows.append(segment("de", 100, 2.0, speaker="anna", language="de", split="train"))
    rows[0]["language"] = "en"
    found = references(table(*rows), GOOD_S)
    named = stems([one.record() for one in found])
    by = dict(zip([(one.speaker, one.language) for one in found], named, strict=True))
    assert by[("anna", "en")] == "anna" and by[("anna", "de")] == "anna.de"
    assert by[("ሰላም", "")] == "ሰላም" and by[("..", "")].startswith("speaker")
    assert len({stem.casefold() for stem in by.values()}) == len(rows)
    assert not any(set("/. ") & set(stem) for key, stem in by.items() if key[1] != "de")


def test_the_language_of_a_sentence_is_inferred_from_its_letters():
    assert likely_language("Where is the other book?", {"en": EN, "de": DE}) == "en"
    assert likely_language("Das schöne Wetter", {"en": EN, "de": DE}) == "de"
    assert likely_language("Привет", {"de": DE, "ru": ["Привет, как дела?"]}) == "ru"
    assert likely_language("anything", {"en": EN}) == "en"
