"""Texts with times beside recordings."""

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.corpus.sources import timed_texts
from voicekiln.corpus.sources.inventory import examine
from voicekiln.corpus.sources.recordings import list_recordings
from voicekiln.corpus.sources.timed.utterance import SILENCE
from voicekiln.errors import UserError

# words of letters; what else a text may hold has tests of its own
texts = (
    st.lists(
        st.text(st.characters(categories=["Ll", "Lo", "Nd"]), min_size=1, max_size=8),
        min_size=1,
        max_size=5,
    )
    .map(" ".join)
    .filter(lambda text: text.lower() not in SILENCE and any(c.isalnum() for c in text))
)


@st.composite
def apart(draw, texts=texts):
    """Utterances one after the other, in ms, with different texts."""
    rows, at = [], 0
    for text in draw(st.lists(texts, max_size=6, unique_by=lambda text: text.lower())):
        at += draw(st.integers(400, 10**5))
        length = draw(st.integers(1500, 10**5))
        rows.append((at, length, f"{len(rows)}th {text}"))
        at += length
    return rows


cues = apart()


def clock(ms, comma):
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}{comma}{ms % 1000:03d}"


def rows_of(found):
    return [
        {"start_s": a / 1000, "end_s": (a + n) / 1000, "text": " ".join(text.split())}
        for a, n, text in found
    ]


def same(found, expected):
    return found == [pytest.approx(row) for row in expected]


def write(tmp_path, name, text, encoding="utf-8"):
    path = tmp_path / name
    path.write_text(text, encoding=encoding)
    return path


def into(notes):
    return lambda text, *values: notes.append(text % values)


def spans(path, **options):
    return [
        (row["start_s"], row["end_s"], row["text"]) for row in timed_texts.read(path, **options)
    ]


@given(cues, st.sampled_from(["srt", "vtt"]))
def test_cues_are_read_as_they_were_written(tmp_path_factory, found, kind):
    comma, head = (",", "") if kind == "srt" else (".", "WEBVTT\n\nNOTE no cue\n\n")
    blocks = [
        f"{i}\n{clock(a, comma)} --> {clock(a + n, comma)}\n{text}\n"
        for i, (a, n, text) in enumerate(found, 1)
    ]
    path = tmp_path_factory.mktemp("cues") / f"a.{kind}"
    path.write_text(head + "\n".join(blocks), encoding="utf-8")
    assert same(timed_texts.read(path), rows_of(found))


def test_tags_and_settings_are_no_text(tmp_path):
    path = tmp_path / "a.vtt"
    path.write_text(
        "\ufeffWEBVTT\n\n00:01.500 --> 00:02.000 align:start\n<v Anna>Rock &amp; <i>roll</i>\n"
        "again\n"
        "\n00:03.000 --> 00:04.000\n\n",
        encoding="utf-8",
    )
    expected = [{"start_s": 1.5, "end_s": 2.0, "text": "Rock & roll again", "speaker": "Anna"}]
    assert timed_texts.read(path) == expected


LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = {end}
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "TextTier"
        name = "clicks"
        xmin = 0
        xmax = {end}
        points: size = 1
        points [1]:
            number = 0.5
            mark = "x"
    item [2]:
        class = "IntervalTier"
        name = "words"
        xmin = 0
        xmax = {end}
        intervals: size = {n}
{rows}"""
SHORT = """File type = "ooTextFile"
Object class = "TextGrid"

0
{end}
<exists>
2
"TextTier"
"clicks"
0
{end}
1
0.5
"x"
"IntervalTier"
"words"
0
{end}
{n}
{rows}"""


def textgrid(found, long):
    rows = []
    for i, (start, length, text) in enumerate(found, 1):
        a, b, said = start / 1000, (start + length) / 1000, text.replace('"', '""')
        if long:
            rows.append(f'        intervals [{i}]:\n xmin = {a}\n xmax = {b}\n text = "{said}"')
        else:
            rows.append(f'{a}\n{b}\n"{said}"')
    return (LONG if long else SHORT).format(end=99999, n=len(found), rows="\n".join(rows))


@given(cues, st.booleans(), st.sampled_from(["utf-8", "utf-16"]))
def test_textgrids_are_read_in_both_formats(tmp_path_factory, found, long, encoding):
    path = tmp_path_factory.mktemp("grid") / "a.TextGrid"
    path.write_text(textgrid([*found, (0, 1, "sil"), (5, 1, " ")], long), encoding=encoding)
    assert same(timed_texts.read(path), rows_of(found))
    assert timed_texts.read(path, "words") == timed_texts.read(path)
    with pytest.raises(UserError, match="called phones; there is: clicks, words"):
        timed_texts.read(path, "phones")


def test_a_textgrids_text_may_go_over_lines(tmp_path):
    path = tmp_path / "a.TextGrid"
    rows = '0\n1\n"one\ntwo\u2028three"\n2\n3\n"four"'
    path.write_text(SHORT.format(end=2, n=2, rows=rows), encoding="utf-8")
    assert [row["text"] for row in timed_texts.read(path)] == ["one two three", "four"]
    path.write_text(SHORT.format(end=2, n=3, rows=rows), encoding="utf-8")
    with pytest.raises(UserError, match="line 26: expected a number, found the end"):
        timed_texts.read(path)


@pytest.mark.parametrize(
    "name, content, words",
    [
        (
            "a.srt",
            "1\n00:00:01 -> 2\n\n1\n0:1 --> 2\nx",
            r"a.srt, line 2: expected .*; line 5: expected",
        ),
        ("a.srt", "1\n00:00:02,0 --> 00:00:01,0\nx", "line 2: ends before it begins"),
        ("a.srt", b"\xff\xfe\xfa", "line 1: the byte 0xfa is not valid UTF-16"),
        ("a.TextGrid", "hello", "line 1: expected"),
        ("a.TextGrid", LONG.format(end=9, n=2, rows=""), "expected a number, found the end"),
    ],
)
def test_a_broken_sidecar_makes_its_recording_bad_and_no_other(tmp_path, name, content, words):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    for recording in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / recording, [0.1] * 8000, 8000)
    corpus = {"audio": str(tmp_path), "language": "en", "speaker": None}
    corpus |= {"transcripts": "sidecar", "textgrid_tier": None}
    corpus |= {"path_pattern": None}
    bad, other = list_recordings(corpus, "voice")
    row = examine(bad)
    assert row["status"] == "bad" and row["step"] == "inventory"
    with pytest.raises(UserError, match=words):
        timed_texts.read(tmp_path / name)
    assert other["sidecar"] is None


def test_cues_without_a_line_between_them_are_two(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:00,0 --> 00:00:01,0\nHello\n2\n00:00:01,0 --> 00:00:02,0\nWorld 3\n")
    assert [(row["text"], row["end_s"]) for row in timed_texts.read(path)] == [
        ("Hello", 1.0),
        ("World 3", 2.0),
    ]


def test_what_comes_after_an_empty_line_belongs_to_the_cue(tmp_path):
    for name, gap in (("a.srt", "\n"), ("b.srt", " \n"), ("c.vtt", " \n\n")):
        head = "WEBVTT\n\n" if name.endswith("vtt") else "1\n"
        two = "" if name.endswith("vtt") else "2\n"
        text = (
            f"{head}00:00:01.000 --> 00:00:05.000\nShe opened it.\n{gap}The garden was white.\n\n"
            f"{two}00:00:06.000 --> 00:00:08.000\nNobody spoke in 2024\n"
        )
        assert spans(write(tmp_path, name, text)) == [
            (1, 5, "She opened it. The garden was white."),
            (6, 8, "Nobody spoke in 2024"),
        ]


def test_a_text_may_end_in_digits(tmp_path):
    cues = [f"{i}\n{clock(i * 1000, ',')} --> {clock(i * 1000 + 900, ',')}\n" for i in (1, 2, 3)]
    text = f"{cues[0]}It was\n1984\n\n{cues[1]}2\n3\n\n{cues[2]}Go.\n"
    assert [said for _, _, said in spans(write(tmp_path, "a.srt", text))] == [
        "It was 1984",
        "2 3",
        "Go.",
    ]


def test_a_new_line_that_begins_as_the_one_before_is_no_longer_form_of_it(tmp_path):
    text = AUTOMATIC.replace(
        "no<00:00:05.420><c> no</c>", "no<00:00:05.4><c> no</c><00:00:06><c> no</c>"
    )
    text = text.replace("no no\nno<", "\u0020\nno<")
    found = spans(write(tmp_path, "a.vtt", text))
    assert [said for _, _, said in found] == ["we sailed at dawn", "no no", "no no no"]


def test_comments_styles_and_names_of_cues_are_no_text(tmp_path):
    text = (
        "WEBVTT - a title\nKind: captions\n\nSTYLE\n::cue { color: red }\n\n"
        "NOTE a remark\nof two lines\n\n"
        "first\n00:01.000 --> 00:02.000\nOne.\n\nNOTE between\n\n"
        "second\n00:02.500 --> 00:03.000\nTwo.\n"
    )
    assert spans(write(tmp_path, "a.vtt", text)) == [(1, 2, "One."), (2.5, 3, "Two.")]


AUTOMATIC = """WEBVTT
Kind: captions

00:00:00.200 --> 00:00:02.590 align:start position:0%
\u0020
we<00:00:00.620><c> sailed</c><00:00:01.040><c> at</c><00:00:01.460><c> dawn</c>

00:00:02.590 --> 00:00:02.600 align:start position:0%
we sailed at dawn
\u0020

00:00:02.600 --> 00:00:04.990 align:start position:0%
we sailed at dawn
no<00:00:03.125><c> no</c>

00:00:04.990 --> 00:00:05.000 align:start position:0%
no no
\u0020

00:00:05.000 --> 00:00:07.390 align:start position:0%
no no
no<00:00:05.420><c> no</c>
"""
PLAIN = """1
00:00:00,200 --> 00:00:02,590
we sailed at dawn

2
00:00:02,590 --> 00:00:02,600
we sailed at dawn

3
00:00:02,600 --> 00:00:04,990
we sailed at dawn
no no

4
00:00:04,990 --> 00:00:05,000
no no

5
00:00:05,000 --> 00:00:07,390
no no
no no
"""
ROLL_UP = """1
00:00:00,200 --> 00:00:02,600
WE SAILED AT DAWN

2
00:00:02,600 --> 00:00:05,000
WE SAILED AT DAWN
NO NO

3
00:00:05,000 --> 00:00:07,390
WE SAILED AT DAWN
NO NO
NO NO
"""
OVERLAPPING = """1
00:00:00,200 --> 00:00:05,000
we sailed at dawn

2
00:00:02,600 --> 00:00:07,390
no no

3
00:00:05,000 --> 00:00:07,390
no no
"""
GROWING = """1
00:00:00,200 --> 00:00:01,000
we

2
00:00:01,000 --> 00:00:01,500
we sailed

3
00:00:01,500 --> 00:00:02,600
we sailed at dawn

4
00:00:02,600 --> 00:00:03,500
no

5
00:00:03,500 --> 00:00:05,000
no no

6
00:00:05,000 --> 00:00:06,000
so

7
00:00:06,000 --> 00:00:07,390
so be it
"""


@pytest.mark.parametrize(
    "name, text",
    [("a.vtt", AUTOMATIC), ("a.srt", PLAIN), ("a.srt", ROLL_UP), ("a.srt", OVERLAPPING)],
)
def test_a_rolling_line_is_spoken_once_at_its_own_time(tmp_path, name, text):
    found = spans(write(tmp_path, name, text))
    assert [said.lower() for _, _, said in found] == ["we sailed at dawn", "no no", "no no"]
    times = [time for start, end, _ in found for time in (start, end)]
    assert times == pytest.approx([0.2, 2.6, 2.6, 5.0, 5.0, 7.4], abs=0.05)


def test_lines_that_grow_are_spoken_once(tmp_path):
    assert spans(write(tmp_path, "a.srt", GROWING)) == [
        (0.2, 2.6, "we sailed at dawn"),
        (2.6, 5.0, "no no"),
        (5.0, 7.39, "so be it"),
    ]


def test_a_line_whose_words_light_up_is_spoken_once(tmp_path):
    words = "we all live here".split()
    lines = [" ".join(f"<u>{w}</u>" if w == lit else w for w in words) for lit in words]
    assert [text for _, _, text in spans(write(tmp_path, "a.srt", srt(*lines)))] == [
        " ".join(words)
    ]


def test_a_line_that_is_spoken_twice_stays_in_other_files(tmp_path):
    text = (
        "1\n00:00:00,000 --> 00:00:01,000\nNo.\n\n2\n00:00:01,000 --> 00:00:02,000\nNo.\n\n"
        "3\n00:00:02,000 --> 00:00:03,000\nNo way.\n"
    )
    assert [said for _, _, said in spans(write(tmp_path, "a.srt", text))] == [
        "No.",
        "No.",
        "No way.",
    ]


BROKEN = """1
00:00:01,000 --> 00:00:02,000
One is fine.

2
00:00:0x,000 --> 00:00:03,000
Two has a letter in its time.

3
Three has no times.

4
00:00:05,000 --> 00:00:04,000
Four ends before it begins.

5
00:00:06,000 -> 00:00:07,000
Five has a short arrow.

6
{hours}:00:08,000 --> {hours}:00:09,000
Six is far away.

7
-00:00:01,000 --> 00:00:10,000
Seven begins too early.

8
00:00:11,000 --> 00:00:12,000
Eight is fine.

9
00:00:13,000 --> 00:00:14,000
And so is nine.

10
00:00:15,000 --> 00:00:16,000
And ten is, too.
"""


@pytest.mark.parametrize("hours", ["9" * 309, "9" * 4400, "99999"])
def test_broken_cues_are_named_with_their_lines_and_the_others_read(tmp_path, hours):
    notes = []
    path = write(tmp_path, "a.srt", BROKEN.format(hours=hours))
    found = spans(path, note=into(notes))
    assert [said.split()[0] for _, _, said in found] == ["One", "Five", "Eight", "And", "And"]
    assert len(notes) == 1 and "5 of 10 cues are left out" in notes[0]
    assert "line 6: expected" in notes[0] and "line 9: cue 3 has no line of times" in notes[0]


def test_a_file_without_cues_is_refused_with_its_content(tmp_path):
    path = write(tmp_path, "a.srt", "<html>404</html>")
    with pytest.raises(UserError, match="line 1: no cue found.*<html>404"):
        timed_texts.read(path)
    assert timed_texts.read(write(tmp_path, "b.srt", "\n")) == []
    assert timed_texts.read(write(tmp_path, "b.vtt", "WEBVTT\n\nNOTE nothing\n")) == []


def srt(*texts):
    return "\n".join(
        f"{i}\n{clock(2000 * i, ',')} --> {clock(2000 * i + 1900, ',')}\n{text}\n"
        for i, text in enumerate(texts, 1)
    )


@pytest.mark.parametrize(
    "texts, expected",
    [
        # what is not said
        (["[door\ncreaks]", ">> Who is there?"], [(None, "Who is there?")]),
        (
            ["♪ la la\nla la ♪", "If x < 5 and y > 3 we stop."],
            [(None, "If x < 5 and y > 3 we stop.")],
        ),
        (["♪ la la\n- Hello."], [(None, "Hello.")]),
        (["-Hello.\n-Hi, you.", "(SIGHS)\nFine."], [(None, "Hello. Hi, you."), (None, "Fine.")]),
        # names in capitals, after >>, repeated, or before most lines
        (["MARTHA: Only me.", "[laughs] TOM: Who?"], [("MARTHA", "Only me."), ("TOM", "Who?")]),
        ([">> Anna: Hi.", "Well."], [("Anna", "Hi."), (None, "Well.")]),
        (
            ["Anna: Hi.", "Ben: Hello.", "Well."],
            [("Anna", "Hi."), ("Ben", "Hello."), (None, "Well.")],
        ),
        (
            ["<i>Anna:</i> Hi.", "Yes.", "Anna: No.", "So."],
            [("Anna", "Hi."), (None, "Yes."), ("Anna", "No."), (None, "So.")],
        ),
        (["Speaker 1: Hi.", "speaker_2: Yes."], [("Speaker 1", "Hi."), ("speaker_2", "Yes.")]),
        (["አና፦ ሰላም።", "ቤን፦ ደህና።"], [("አና", "ሰላም።"), ("ቤን", "ደህና።")]),
        (
            ["[SPEAKER_00]: Hi.", "[SPEAKER_01] Yes."],
            [("SPEAKER_00", "Hi."), ("SPEAKER_01", "Yes.")],
        ),
        (
            ["[Anna]: Hi.", "[Door] So.", "[Anna]: Yes."],
            [("Anna", "Hi."), (None, "So."), ("Anna", "Yes.")],
        ),
        (["（太郎）こんにちは", "（拍手）"], [("太郎", "こんにちは")]),
        (["小明：你好", "小红：再见"], [("小明", "你好"), ("小红", "再见")]),
        (["ANNA: Hi.\nBEN: Hello."], [(None, "Hi. Hello.")]),
        # what is said before a colon
        (
            ["Note: this is said.", "Yes.", "Note: so is this."],
            [(None, "Note: this is said."), (None, "Yes."), (None, "Note: so is this.")],
        ),
        (
            ["He said: come.", "At 10:30.", "He said: go."],
            [(None, "He said: come."), (None, "At 10:30."), (None, "He said: go.")],
        ),
        (
            ["One thing: time.", "Yes.", "No.", "So."],
            [(None, "One thing: time."), (None, "Yes."), (None, "No."), (None, "So.")],
        ),
    ],
)
def test_speakers_are_separated_from_the_spoken_text(tmp_path, texts, expected):
    found = timed_texts.read(write(tmp_path, "a.srt", srt(*texts)))
    assert [(row.get("speaker"), row["text"]) for row in found] == expected


def test_what_is_removed_is_counted_and_stays_on_request(tmp_path):
    path = write(tmp_path, "a.srt", srt("[bell] <i>MARTHA:</i> Only &amp; always me 😀", "♪ la ♪"))
    removed = {}
    assert [row["text"] for row in timed_texts.read(path, removed=removed)] == ["Only & always me"]
    assert {kind: n for kind, (n, _) in removed.items()} == {
        "events": 1,
        "labels": 1,
        "markup": 3,
        "emoji": 1,
        "lyrics": 1,
    }
    kept = timed_texts.read(path, keep=["events", "labels", "lyrics"])
    assert [row["text"] for row in kept] == ["[bell] MARTHA: Only & always me", "♪ la ♪"]
    assert kept[0]["speaker"] == "MARTHA"


@pytest.mark.parametrize("end", ["\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_encodings_and_line_ends(tmp_path, end, encoding):
    path, notes = tmp_path / "a.srt", []
    path.write_bytes(srt("Señor Müller schläft.", "Où est-il?").replace("\n", end).encode(encoding))
    found = timed_texts.read(path, note=into(notes))
    assert [row["text"] for row in found] == ["Señor Müller schläft.", "Où est-il?"]
    assert len(notes) == (encoding == "cp1252")
