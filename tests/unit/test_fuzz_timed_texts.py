"""Sidecars of any bytes, and valid ones with something changed: texts or a `UserError`."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.corpus.sources import sidecars, timed_texts
from voicekiln.errors import UserError
from voicekiln.text.unspoken import strip

SRT = (
    "1\n00:00:01,000 --> 00:00:02,000\n<i>ANNA:</i> It's me &amp; you.\n\n"
    "2\n00:00:02,000 --> 00:00:03,500\n- [bell] Who?\n- (sighs) ♪ la ♪ 😀\n"
)
VTT = (
    "WEBVTT\n\nNOTE x\n\n00:01.000 --> 00:02.000 align:start\n"
    "<v Anna>one<00:00:01.500><c> two</c>\n\n"
    "00:02.000 --> 00:02.010\none two\n \n\n00:02.010 --> 00:04.000\none two\nthree\n"
)
TEXTGRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 2\ntiers? <exists>\n'
    'size = 2\nitem []:\n item [1]:\n class = "IntervalTier"\n name = "Anna"\n xmin = 0\n'
    " xmax = 2\n"
    ' intervals: size = 1\n intervals [1]:\n xmin = 0\n xmax = 2\n text = "say ""a"""\n item [2]:\n'
    ' class = "TextTier"\n name = "b"\n xmin = 0\n xmax = 2\n points: size = 1\n points [1]:\n'
    ' number = 1\n mark = "x"\n'
)
EAF = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT><TIME_ORDER>'
    '<TIME_SLOT TIME_SLOT_ID="t1" TIME_VALUE="0"/><TIME_SLOT TIME_SLOT_ID="t2" TIME_VALUE="900"/>'
    '</TIME_ORDER><TIER TIER_ID="Anna" PARTICIPANT="A"><ANNOTATION><ALIGNABLE_ANNOTATION '
    'ANNOTATION_ID="a1" TIME_SLOT_REF1="t1" TIME_SLOT_REF2="t2"><ANNOTATION_VALUE>Hi &amp; ho'
    '</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION></TIER><TIER TIER_ID="w" '
    'PARENT_REF="Anna"><ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a2" ANNOTATION_REF="a1">'
    "<ANNOTATION_VALUE>x</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION></TIER>"
    "</ANNOTATION_DOCUMENT>"
)
CTM = ";; x\na 1 0.5 0.3 where 0.9\na 1 0.8 0.2 were 0.9\na 2 1.0 0.4 you 0.9\na 2 1.4 0.1 <eps>\n"
LABELS = "0.5\t2.4\tThe bell rang.\n\\\t100.0\t200.0\n3.1\t5.0\tANNA: Nobody came.\n"
TICKS = "0 5000000 sil -3.5\n5000000 8000000 where -70.1\n8000000 10000000 were -4.0\n"
STAMPS = "[0:01] Hello.\n[0:03] Who is there?\n[1:00:00] Me.\n"
VALID = {
    "a.srt": SRT,
    "a.vtt": VTT,
    "a.TextGrid": TEXTGRID,
    "a.eaf": EAF,
    "a.ctm": CTM,
    "a.txt": LABELS,
    "b.txt": STAMPS,
    "c.txt": SRT,
    "a.lab": TICKS,
}
# what such files hold where it hurts
ODD = [
    *(
        "-->",
        "->",
        "<",
        ">",
        "<v ",
        "&",
        "&amp;",
        "[",
        "]",
        "(",
        "♪",
        "*",
        '"',
        "ANNA:",
        ">> ",
        "- ",
    ),
    *("\t", "\n", "\r", " ", "\n\n", "\x00", "\ufeff", "\u2028", "\ud7ff", "٣", "😀"),
    *("1e999", "-1e999", "nan", "inf", "-7", "0", "9" * 400, "9" * 5000, "99999:00:00,000"),
    *(
        "<!DOCTYPE a [<!ENTITY b 'c'>]>",
        "<a>" * 50,
        "size = 999999",
        '"IntervalTier"',
        "WEBVTT",
        "A:",
    ),
]


@st.composite
def changed(draw, text):
    """A valid text, cut, repeated, and with odd things put in."""
    for _ in range(draw(st.integers(1, 4))):
        a, b = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
        middle = draw(st.sampled_from(["", text[a:b] * 2, *ODD]) | st.text(max_size=5))
        text = text[:a] + middle + text[draw(st.sampled_from([a, b])) :]
    return text.encode("utf-8", "surrogatepass")


def check(path, content, tier=None):
    path.write_bytes(content)
    try:
        rows = sidecars.read(path, tier, note=lambda text, *values: text % values)
    except UserError as error:
        assert str(path) in str(error) and len(str(error)) < 2000
        return
    for row in rows or []:
        assert row["text"].strip() and "\n" not in row["text"]
        if row["start_s"] is not None:
            end_s = row["end_s"]
            assert 0 <= row["start_s"] and (end_s is None or row["start_s"] < end_s < math.inf)
    starts = [row["start_s"] for row in rows or [] if row["start_s"] is not None]
    assert starts == sorted(starts)


@pytest.mark.parametrize("name", VALID)
def test_valid_files_are_read(tmp_path, name):
    path = tmp_path / name
    path.write_text(VALID[name], encoding="utf-8")
    assert len(sidecars.read(path)) >= 1


@pytest.mark.parametrize("name", VALID)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_changed_files(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / name
    check(path, data.draw(changed(VALID[name])), data.draw(st.sampled_from([None, "Anna", "w"])))


@pytest.mark.parametrize("suffix", sidecars.SUFFIXES)
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=400) | st.text(max_size=200).map(lambda t: t.encode("utf-16")))
def test_any_bytes(tmp_path_factory, suffix, content):
    check(tmp_path_factory.getbasetemp() / f"any{suffix}", content)


N = 30_000
LONG = {
    "arrows.srt": "-->" * N,
    "digits.srt": "1" * N + " --> " + "2" * N,
    "times.srt": "00:00:01,000 --> 00:00:02,000\n" * N,
    "tags.srt": "00:00:01,000 --> 00:00:02,000\n" + "<v a" * N,
    "brackets.srt": "00:00:01,000 --> 00:00:02,000\n" + "[(*♪" * N,
    "names.srt": "00:00:01,000 --> 00:00:02,000\n" + "A " * N + ":",
    "spaces.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\n" + " " * N + "x",
    "quotes.TextGrid": TEXTGRID[:60] + '"' * (2 * N + 1),
    "numbers.TextGrid": TEXTGRID[:60] + "1 " * N,
    "deep.eaf": "<ANNOTATION_DOCUMENT>" + "<a>" * N,
    "slots.eaf": EAF.replace("</TIME_ORDER>", '<TIME_SLOT TIME_VALUE="1"/>' * N + "</TIME_ORDER>"),
    "words.ctm": "".join(f"a 1 {i / 10:.1f} 0.1 word{i}\n" for i in range(N)),
    "labels.txt": "0\t1\tx\n" * N,
    "tabs.txt": "0\t1\t" * N,
    "digits.txt": "1" * N + "\t" + "2" * N + "\tx",
    "spaces.lab": "1" + " " * N + "2",
    "json.txt": '{"a":' * N,
    "tags.txt": "<a>" * N,
}


@pytest.mark.parametrize("name", LONG)
def test_long_files_take_time_in_step_with_their_length(tmp_path, name):
    """Tens of thousands of signs that begin something: quadratic work would take minutes."""
    check(tmp_path / name, LONG[name].encode())


@settings(max_examples=200, deadline=None)
@given(text=st.lists(st.sampled_from([*ODD, "sighs", "x"]) | st.text(max_size=4), max_size=20))
def test_any_text_is_stripped(text):
    assert isinstance(strip(" ".join(text)), str)


def test_a_huge_sidecar_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "a.srt", "wb") as file:
        file.truncate(timed_texts.MOST_BYTES + 1)
    with pytest.raises(UserError, match="at most"):
        sidecars.read(tmp_path / "a.srt")
