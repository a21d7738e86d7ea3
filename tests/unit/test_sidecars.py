"""Text files beside recordings: labels with times, subtitles, plain texts, and what is none."""

import pytest
from voicekiln.corpus.sources import sidecars, timed_texts
from voicekiln.errors import UserError


def into(notes):
    return lambda text, *values: notes.append(text % values)


def read(tmp_path, text, name="a.txt", **options):
    path = tmp_path / name
    path.write_bytes(text.encode())
    rows = sidecars.read(path, None, **options)
    return rows and [(row["start_s"], row["end_s"], row["text"]) for row in rows]


LABELS = """
0.500000\t2.400000\tThe bell rang.
3.100000\t5.000000\tNobody came.
"""
SPECTRAL = """
0,5\t2,4\tThe bell rang.
\\\t100.0\t2000.0
3,1\t5,0\tNobody came.
"""
SPACES = """
0.5 2.4 The bell rang.
3.1 5.0 Nobody came.
"""
COMMAS = """
0.5, 2.4, The bell rang.
3.1, 5.0, Nobody came.
"""
MIXED = """
0,0.5,[bell]
0.5,2.4,The bell rang.
3.1,5,Nobody came.
"""
SEMICOLONS = """
0.5;2.4;The bell rang.
3.1;5;Nobody came.
"""
CLOCK = """
00:00:00.500\t00:00:02.400\tThe bell rang.
0:03.1\t0:05\tNobody came.
"""
ARROWS = """
[00:00.500 --> 00:02.400]  The bell rang.
[00:03.100 --> 00:05.000]  Nobody came.
"""
TABLE = """
start\tend\ttext
500\t2400\tThe bell rang.
3100\t5000\tNobody came.
"""
CUES = """
1
00:00:00,500 --> 00:00:02,400
The bell rang.

2
00:00:03,100 --> 00:00:05,000
Nobody came.
"""
TICKS = """
0 5000000 sil
5000000 24000000 The bell rang.
31000000 50000000 Nobody came.
"""


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "name, text",
    [("a.txt", LABELS), ("a.txt", SPECTRAL), ("a.txt", SPACES), ("a.txt", COMMAS), ("a.txt", MIXED)]
    + [("a.txt", SEMICOLONS), ("a.txt", CLOCK), ("a.txt", ARROWS), ("a.txt", TABLE)]
    + [("a.txt", CUES), ("a.lab", TICKS), ("a.lab", LABELS)],
)
def test_lines_with_times_are_labels(tmp_path, name, text, end):
    rows = read(tmp_path, text.strip().replace("\n", end) + end, name)
    assert [row[2] for row in rows] == ["The bell rang.", "Nobody came."]
    assert [row[:2] for row in rows] == [pytest.approx((0.5, 2.4)), pytest.approx((3.1, 5.0))]


def test_a_time_alone_before_each_line_lasts_to_the_next(tmp_path):
    assert read(tmp_path, "[0:01] Hello.\n[0:03] Who is there?\n[1:00:00] Me.\n") == [
        (1, 3, "Hello."),
        (3, 3600, "Who is there?"),
        (3600, None, "Me."),
    ]


@pytest.mark.parametrize(
    "text, timed",
    [
        ("0:01 Hello there.\n0:03 Who is there?\n", True),
        ("12:30 Hello there.\n12:32 Who is there?\n12:35 It is me.\n", True),
        ("[12:30] Hello there.\n[12:32] Who is there?\n", True),
        ("12:30 The train leaves.\n12:31 It arrives.\n", False),  # a minute or a second later
        ("08:00 We get up.\n09:30 We have breakfast.\n13:00 Lunch.\n", False),  # 90 s for a line
        ("[0:05] Who is there?\n[0:03] Hello there.\n", False),
        ("[0:01] Hello there.\n0:03 Who is there?\n", False),
    ],
)
def test_clock_times_that_may_be_spoken_are_no_times(tmp_path, text, timed):
    notes = []
    path = tmp_path / "a.txt"
    path.write_text(text)
    rows = sidecars.read(path, note=lambda *said: notes.append(said[0] % said[1:]))
    if timed:
        assert [row["start_s"] is not None for row in rows] == [True] * text.count("\n")
        assert notes == []
    else:
        assert [row["text"] for row in rows] == [" ".join(text.split())]
        assert len(notes) == 1 and "a.txt: its lines start with clock times" in notes[0]


@pytest.mark.parametrize(
    "text",
    [
        "1 2 buckle my shoe\n3 4 knock at the door\n",
        "In 1999 we left.\nIn 2001 we came back.\n",
        "10:30 is when we left.\n",
        "3.5 km and then 4.5 more",
        "[laughs] Hello.",
        "[1] A note.",
        "{LG} well",
        "<i>She</i> said so.",
        "If x < 5 and y > 3 we stop.",
        "404 people came.",
    ],
)
def test_other_texts_are_those_of_the_whole_recording(tmp_path, text):
    for name in ("a.txt", "a.lab"):
        assert read(tmp_path, text, name) == [(None, None, " ".join(text.split()))]


def test_lines_that_are_not_labels_are_reported(tmp_path):
    notes = []
    text = "0.5\t2.4\tOne.\n3.1\t2.0\tTwo.\n3.5\tx\tThree.\n4\t4\tFour.\n" + "".join(
        f"{i}\t{i}.5\tMore.\n" for i in range(5, 15)
    )
    found = read(tmp_path, text, note=into(notes))
    assert len(found) == 11 and len(notes) == 1
    for why in (
        "3 of 14",
        "line 2: ends before it begins",
        "line 3: expected",
        "line 4: ends where",
    ):
        assert why in notes[0]


WORDS = "0 5000000 sil\n5000000 8000000 where\n8000000 10000000 were\n10000000 14000000 you\n"
CTM = ";; made by a recogniser\na 1 0.5 0.3 where 0.98\na 1 0.8 0.2 were 0.9\na 1 1.0 0.4 you 1\n"


def test_words_of_hts_and_ctm_are_joined(tmp_path):
    more = "20000000 23000000 at\n23000000 25000000 the\n25000000 31000000 harbour\n"
    for text in (WORDS + more, (WORDS + more).replace("\n", " -71.25\n")):
        assert [row[2] for row in read(tmp_path, text, "a.lab")] == [
            "where were you",
            "at the harbour",
        ]
    ctm = CTM + "a 1 2.0 0.3 at\na 1 2.3 0.2 the\na 1 2.5 0.6 harbour\n"
    found = read(tmp_path, ctm, "a.ctm")
    assert [row[2] for row in found] == ["where were you", "at the harbour"]
    assert [row[:2] for row in found] == [pytest.approx((0.5, 1.4)), pytest.approx((2.0, 3.1))]
    others = ctm + ctm.replace("a 1", "b 1")
    assert read(tmp_path, others, "a.ctm") == found
    with pytest.raises(UserError, match="words of 2 recordings .* none of c"):
        read(tmp_path, others, "c.ctm")


def test_xwaves_labels_contain_the_end_of_each_word(tmp_path):
    text = "signal a\nnfields 1\n#\n  0.5 125 pau\n 0.8 125 where\n 1.0 125 were\n 1.4 125 you\n"
    assert read(tmp_path, text + " 1.6 125 then\n", "a.lab") == [(0.5, 1.6, "where were you then")]


def test_labels_before_the_lines_of_a_plain_text_are_removed(tmp_path):
    text = "Anna: Hi.\nBen: Hello.\nAnna: Note: well."
    removed = {}
    assert read(tmp_path, text, removed=removed) == [(None, None, "Hi. Hello. Note: well.")]
    assert removed == {"labels": [3, "Anna:"]}
    assert read(tmp_path, text, keep=["labels"]) == [(None, None, text.replace("\n", " "))]


def test_two_channels_of_a_ctm_are_distinguished(tmp_path):
    (tmp_path / "a.ctm").write_text(CTM + CTM.replace("a 1", "a 2"))
    rows = timed_texts.read(tmp_path / "a.ctm")
    assert [(row["channel"], row["text"]) for row in rows] == [
        (0, "where were you"),
        (1, "where were you"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "0 1000000 x^x-sil+w=eh@1_1\n1000000 1800000 x^sil-w+eh=r@1_2\n",
        "".join(
            f"{i * 700000} {(i + 1) * 700000} {p}\n"
            for i, p in enumerate("w eh r w er y uw".split())
        ),
    ],
)
def test_speech_sounds_are_no_text(tmp_path, text):
    with pytest.raises(UserError, match="speech sounds, not words"):
        read(tmp_path, text, "a.lab")


@pytest.mark.parametrize(
    "text",
    [
        "<html>404</html>",
        "<!DOCTYPE html>\n<html><body>Not found</body></html>",
        '<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>',
        "<TEI xmlns='x'><text>Hello</text></TEI>",
        '{"error": "not found"}',
        '{"error": "cut o',
        '[{"text": "Hello"}]',
        "404: Not Found",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
        "{\\rtf1\\ansi Hello}",
        "[" * 100_000,
    ],
)
def test_markup_and_messages_of_servers_are_no_text(tmp_path, text):
    if text.startswith("[["):  # nested too deep to be read as data, and no markup
        assert read(tmp_path, text)
        return
    for name in ("a.txt", "a.lab"):
        with pytest.raises(UserError, match="expected a transcript, found"):
            read(tmp_path, text, name)


def test_an_empty_sidecar_gives_no_text(tmp_path):
    for name in ("a.txt", "a.lab", "a.srt", "a.vtt", "a.ctm", "a.eaf", "a.TextGrid"):
        assert read(tmp_path, " \n", name) is None
