"""Texts with times beside recordings."""

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.corpus import subtitles
from voicekiln.corpus.inventory import examine
from voicekiln.corpus.listing import list_recordings
from voicekiln.errors import UserError

texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="<>{}&\\"),
    min_size=1,
    max_size=20,
).filter(lambda text: "--" not in text and text.lower() not in subtitles.SILENCE)
cues = st.lists(st.tuples(st.integers(0, 10**7), st.integers(1, 10**5), texts), max_size=6)


def clock(ms, comma):
    return f"{ms // 3600000:02d}:{ms // 60000 % 60:02d}:{ms // 1000 % 60:02d}{comma}{ms % 1000:03d}"


def rows_of(found):
    return [{"start_s": a / 1000, "end_s": (a + n) / 1000, "text": text} for a, n, text in found]


def same(found, expected):
    return found == [pytest.approx(row) for row in expected]


@given(cues, st.sampled_from(["srt", "vtt"]))
def test_cues_are_read_as_they_were_written(tmp_path_factory, found, kind):
    comma, head = (",", "") if kind == "srt" else (".", "WEBVTT\n\nNOTE no cue\n\n")
    blocks = [
        f"{i}\n{clock(a, comma)} --> {clock(a + n, comma)}\n{text}\n"
        for i, (a, n, text) in enumerate(found, 1)
    ]
    path = tmp_path_factory.mktemp("cues") / f"a.{kind}"
    path.write_text(head + "\n".join(blocks), encoding="utf-8")
    assert same(subtitles.read(path), rows_of(found))


def test_tags_and_settings_are_no_text(tmp_path):
    path = tmp_path / "a.vtt"
    path.write_text(
        "\ufeffWEBVTT\n\n00:01.500 --> 00:02.000 align:start\n<v Anna>Rock &amp; <i>roll</i>\n"
        "again\n"
        "\n00:03.000 --> 00:04.000\n\n",
        encoding="utf-8",
    )
    expected = [{"start_s": 1.5, "end_s": 2.0, "text": "Rock & roll again"}]
    assert subtitles.read(path) == expected


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
    assert same(subtitles.read(path), rows_of(found))
    assert subtitles.read(path, "words") == subtitles.read(path)
    with pytest.raises(UserError, match="called phones; there is: clicks, words"):
        subtitles.read(path, "phones")


def test_a_textgrids_text_may_go_over_lines(tmp_path):
    path = tmp_path / "a.TextGrid"
    rows = '0\n1\n"one\ntwo\u2028three"\n1\n2\n"four"'
    path.write_text(SHORT.format(end=2, n=2, rows=rows), encoding="utf-8")
    assert [row["text"] for row in subtitles.read(path)] == ["one two three", "four"]
    path.write_text(SHORT.format(end=2, n=3, rows=rows), encoding="utf-8")
    with pytest.raises(UserError, match="line 26: expected a number, found the end"):
        subtitles.read(path)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("a.srt", "1\n00:00:01 -> 2\n\n1\n0:1 --> 2\nx", r"a.srt, line 5: expected"),
        ("a.srt", "1\n00:00:02,0 --> 00:00:01,0\nx", "line 2: the cue ends before it begins"),
        ("a.srt", b"\xff\xfe\xfa", "expected UTF-8"),
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
    corpus |= {"transcripts": "sidecar", "transcript_column": 3, "textgrid_tier": None}
    corpus |= {"path_pattern": None}
    bad, other = list_recordings(corpus, "voice")
    row = examine(bad)
    assert row["status"] == "bad" and row["step"] == "inventory"
    with pytest.raises(UserError, match=words):
        subtitles.read(tmp_path / name)
    assert other["sidecar"] is None


def test_cues_without_a_line_between_them_are_two(tmp_path):
    path = tmp_path / "a.srt"
    path.write_text("1\n00:00:00,0 --> 00:00:01,0\nHello\n2\n00:00:01,0 --> 00:00:02,0\nWorld 3\n")
    assert [(row["text"], row["end_s"]) for row in subtitles.read(path)] == [
        ("Hello", 1.0),
        ("World 3", 2.0),
    ]
