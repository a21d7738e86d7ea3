"""TextGrids and ELAN documents with several tiers; words and phones of aligners."""

import random

import pytest
from voicekiln.corpus.sources import timed_texts
from voicekiln.corpus.sources.timed import tiers
from voicekiln.errors import UserError
from voicekiln.text.clean import letters


def textgrid(*tiers, end=60):
    """A long TextGrid; a tier is (name, [(start, end, text), ...])."""
    head = (
        f'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = {end}\n'
        f"tiers? <exists>\nsize = {len(tiers)}\nitem []:\n"
    )
    for i, (name, rows) in enumerate(tiers, 1):
        head += (
            f'    item [{i}]:\n        class = "IntervalTier"\n        name = "{name}"\n'
            f"        xmin = 0\n        xmax = {end}\n        intervals: size = {len(rows)}\n"
        )
        for k, (start, stop, text) in enumerate(rows, 1):
            head += (
                f"        intervals [{k}]:\n            xmin = {start}\n"
                f'            xmax = {stop}\n            text = "{text}"\n'
            )
    return head


def eaf(*tiers, slots=True):
    """An ELAN document; a tier is (attributes, [(start_ms, end_ms, text), ...])."""
    order, body, n = [], "", 0
    for attributes, rows in tiers:
        body += f"<TIER {attributes}>\n"
        for start, end, text in rows:
            if isinstance(start, str):
                inner = f'<REF_ANNOTATION ANNOTATION_ID="r{n}" ANNOTATION_REF="{start}">'
                close = "REF_ANNOTATION"
            else:
                order += [(2 * n, start), (2 * n + 1, end)]
                inner = (
                    f'<ALIGNABLE_ANNOTATION ANNOTATION_ID="a{n}" TIME_SLOT_REF1="ts{2 * n}" '
                    f'TIME_SLOT_REF2="ts{2 * n + 1}">'
                )
                close = "ALIGNABLE_ANNOTATION"
            body += f"<ANNOTATION>{inner}<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></{close}>"
            body += "</ANNOTATION>\n"
            n += 1
        body += "</TIER>\n"
    times = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="ts{i}"' + (f' TIME_VALUE="{ms}"/>' if slots else "/>")
        for i, ms in order
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT>\n'
        f'<HEADER TIME_UNITS="milliseconds"/>\n<TIME_ORDER>{times}</TIME_ORDER>\n{body}'
        "</ANNOTATION_DOCUMENT>\n"
    )


def into(notes):
    return lambda text, *values: notes.append(text % values)


def read(tmp_path, text, name="a.TextGrid", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    rows = timed_texts.read(path, **options)
    return [(row["start_s"], row["end_s"], row.get("speaker"), row["text"]) for row in rows]


ANNA = [(0, 0.5, ""), (0.5, 2, "Where were you?"), (4, 5.5, "All night?")]
BEN = [(2.2, 3.8, "At the harbour."), (5.8, 7, "All night.")]
TALK = [
    (0.5, 2, "Anna", "Where were you?"),
    (2.2, 3.8, "Ben", "At the harbour."),
    (4, 5.5, "Anna", "All night?"),
    (5.8, 7, "Ben", "All night."),
]
SENTENCES = [(0.5, 1.4, "Where were you?"), (2.0, 3.1, "At the harbour.")]
WORDS = [
    (0, 0.5, ""),
    (0.5, 0.8, "where"),
    (0.8, 1.0, "were"),
    (1.0, 1.4, "you"),
    (1.4, 2.0, "sil"),
    (2.0, 2.3, "at"),
    (2.3, 2.5, "the"),
    (2.5, 3.1, "harbour"),
]
PHONES = [(0.5 + i / 10, 0.6 + i / 10, phone) for i, phone in enumerate("W EH R W ER Y UW".split())]
JOINED = [(0.5, 1.4, None, "where were you"), (2.0, 3.1, None, "at the harbour")]


def test_the_tiers_of_several_speakers_are_all_read(tmp_path):
    assert read(tmp_path, textgrid(("Anna", ANNA), ("Ben", BEN))) == TALK
    # one who says nothing here is a speaker all the same
    assert read(tmp_path, textgrid(("Anna", ANNA), ("Cleo", []))) == TALK[::2]
    only_ben = [(*row[:2], None, row[3]) for row in TALK[1::2]]
    assert read(tmp_path, textgrid(("Anna", ANNA), ("text", BEN)), tier="text") == only_ben


def test_a_single_tiers_name_is_no_speaker(tmp_path):
    assert {row[2] for row in read(tmp_path, textgrid(("segmentos", ANNA)))} == {None}


@pytest.mark.parametrize(
    "tiers",
    [
        [("words", WORDS), ("phones", PHONES)],
        [("ORT-MAU", WORDS), ("KAN-MAU", WORDS), ("MAU", PHONES)],
        [("tier 1", WORDS), ("tier 2", PHONES)],
    ],
)
def test_words_of_an_aligner_are_joined_at_pauses(tmp_path, tiers):
    assert read(tmp_path, textgrid(*tiers)) == JOINED


def test_a_few_words_of_a_tier_of_words_are_joined(tmp_path):
    for name in ("words", "ORT-MAU", "Wort"):
        assert read(tmp_path, textgrid((name, WORDS[:3]))) == [(0.5, 1.0, None, "where were")]


def test_a_tier_of_any_name_is_read_where_it_is_the_only_one(tmp_path):
    assert len(read(tmp_path, textgrid(("notes", ANNA)))) == 2


def test_an_aligners_tiers_of_several_speakers(tmp_path):
    later = [(a + 10, b + 10, text) for a, b, text in WORDS]
    tiers = [("Anna - words", WORDS), ("Anna - phones", PHONES), ("Ben - words", later)]
    expected = [(*row[:2], "Anna", row[3]) for row in JOINED]
    expected += [(a + 10, b + 10, "Ben", text) for a, b, _, text in JOINED]
    assert read(tmp_path, textgrid(*tiers)) == expected
    assert read(tmp_path, textgrid(*tiers), tier="words") == expected


def test_sentences_come_before_the_words_they_are_made_of(tmp_path):
    notes = []
    tiers = [("word", WORDS), ("utterance", SENTENCES), ("phone", PHONES)]
    found = read(tmp_path, textgrid(*tiers), note=into(notes))
    assert found == [(a, b, None, text) for a, b, text in SENTENCES] and not notes


def test_translations_and_comments_are_ignored_and_reported(tmp_path):
    other = [(a, b, "¿Dónde? En el puerto."[i::2]) for i, (a, b, _) in enumerate(SENTENCES)]
    for name in ("translation", "spanish"):
        notes = []
        found = read(
            tmp_path,
            textgrid(("text", SENTENCES), (name, other)),
            note=into(notes),
        )
        assert [row[3] for row in found] == [text for _, _, text in SENTENCES]
        assert len(notes) == 1 and name in notes[0] and "textgrid_tier" in notes[0]


def test_long_speech_without_a_pause_is_cut_at_its_longest_one(tmp_path):
    words = [(i / 2, i / 2 + (0.4 if i == 35 else 0.5), f"w{i}") for i in range(60)]
    found = read(tmp_path, textgrid(("words", words)))
    assert all(end - start <= 15 for start, end, _, _ in found)
    assert " ".join(row[3] for row in found) == " ".join(text for _, _, text in words)
    assert any(row[3].endswith(" w35") for row in found)


def test_words_of_a_script_without_spaces_are_joined_without(tmp_path):
    words = [(i / 4, i / 4 + 0.25, text) for i, text in enumerate("今日 は 晴れ です 。".split())]
    assert read(tmp_path, textgrid(("words", words))) == [(0, 1.25, None, "今日は晴れです。")]


@pytest.mark.parametrize(
    "changed, message",
    [
        (("size = 1", "size = 1e999"), "line 7: expected the number of items"),
        (("size = 1", "size = -1"), "line 7: expected the number of items"),
        (("intervals: size = 3", "intervals: size = 1e9"), "expected the number of items"),
        (("intervals: size = 3", "intervals: size = 30"), "found the end of the file"),
        (("xmax = 60", "xmax = 1e999"), None),
        (("xmax = 2\n", "xmax = 1e999\n"), "1 of 2 cues .* beyond 48 hours: 'Where were you"),
        (("xmin = 0.5", "xmin = -7"), "1 of 2 cues .* begins before 0 s: 'Where were you"),
        (("xmin = 0.5", f"xmin = {'9' * 4400}"), "1 of 2 cues .* beyond 48 hours"),
        (("ooTextFile", "ooBinaryFile"), "Save as text file"),
    ],
)
def test_odd_numbers_are_errors_with_a_line_or_broken_intervals(tmp_path, changed, message):
    notes = []
    text = textgrid(("one", ANNA)).replace(*changed)
    if message is None or message.startswith("1 of 2"):
        found = read(tmp_path, text, note=into(notes))
        assert found[-1] == (4, 5.5, None, "All night?")
    if message is None:
        assert not notes
    elif message.startswith("1 of 2"):
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(*notes)
    else:
        with pytest.raises(UserError, match=message):
            read(tmp_path, text)


def ms(rows):
    return [(round(1000 * a), round(1000 * b), text) for a, b, text in rows]


def test_elan_documents(tmp_path):
    two = [('TIER_ID="Anna"', ms(ANNA)), ('TIER_ID="Ben"', ms(BEN))]
    assert read(tmp_path, eaf(*two), "a.eaf") == TALK
    named = [
        ('TIER_ID="x" PARTICIPANT="Anna"', ms(ANNA)),
        ('TIER_ID="y" PARTICIPANT="Ben"', ms(BEN)),
    ]
    assert read(tmp_path, eaf(*named), "a.eaf") == TALK


def test_dependent_tiers_are_read_on_request_alone(tmp_path):
    tiers = [
        ('TIER_ID="text"', ms(SENTENCES)),
        (
            'TIER_ID="es" PARENT_REF="text"',
            [("a0", None, "¿Dónde?"), ("a1", None, "En"), ("a1", None, "casa")],
        ),
    ]
    notes = []
    found = read(tmp_path, eaf(*tiers), "a.eaf", note=into(notes))
    assert [row[3] for row in found] == [text for _, _, text in SENTENCES] and "es" in notes[0]
    found = read(tmp_path, eaf(*tiers), "a.eaf", tier="es")
    assert found == [(0.5, 1.4, None, "¿Dónde?"), (2.0, 3.1, None, "En casa")]
    with pytest.raises(UserError, match="no tier of intervals called de; there is: text, es"):
        read(tmp_path, eaf(*tiers), "a.eaf", tier="de")


BOMB = '<!DOCTYPE d [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    "text, message",
    [
        (eaf().replace("<ANNOTATION_DOC", BOMB + "<ANNOTATION_DOC", 1), "line 2: document types"),
        ("<html>404</html>", "line 1: expected an ELAN document, found <html>"),
        ("<ANNOTATION_DOCUMENT>" + "<a>" * 100, "within more than 50 others"),
        ("not xml", "line 1: expected an ELAN document: "),
        (eaf(('TIER_ID="x"', ms(ANNA)))[:-30], "expected an ELAN document: "),
        (eaf(('TIER_ID="x"', ms(ANNA)), slots=False), "time slots have no time: 'Where were"),
    ],
)
def test_what_is_no_elan_document_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, "a.eaf")


def test_many_tiers_of_different_speech_are_each_read_once(tmp_path, monkeypatch):
    """The letters of a tier are taken once, however many others it is compared with."""
    calls = []
    monkeypatch.setattr(tiers, "letters", lambda text: calls.append(text) or letters(text))
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghij", k=6)) for _ in range(999)]
    speech = [
        (f"Speaker {i}", [(9 * k + i / 9, 9 * k + 7, " ".join(draw.choices(words, k=9)))
                          for k in range(5)])
        for i in range(60)
    ]  # fmt: skip
    one = speech[7][1]
    copies = [
        ("Copy - words", [(a + 7 * k / 9, a + 7 * (k + 1) / 9, w)
                          for a, _, text in one for k, w in enumerate(text.split())]),
        ("Copy - translation", [(a, b, " ".join(draw.choices(words, k=9))) for a, b, _ in one]),
    ]  # fmt: skip
    path = tmp_path / "a.TextGrid"
    path.write_text(textgrid(*speech, *copies))
    rows = timed_texts.read(path)
    assert {row["speaker"] for row in rows} == {name for name, _ in speech}
    assert len(rows) == 300
    assert len(calls) <= 62
