"""Stretches that come with a recording: which become segments, and who speaks in them."""

import pytest
from hypothesis import given as cases
from hypothesis import strategies as st
from voicekiln.corpus.segments.rows import segment_rows
from voicekiln.corpus.segments.segments import distinct, outside, reference_spans, speaker_at

RATE_HZ = 1000
RECORDING = {
    "recording_id": "r",
    "root": "in",
    "path": "a.wav",
    "item": "i",
    "rate_hz": RATE_HZ,
    "speaker": "of the folder",
    "language": "en",
}


def stretch(start_s, end_s, text="said", **who):
    return {"start_s": start_s, "end_s": end_s, "text": text, **who}


def rows_of(known, seconds=100):
    known = distinct(known)
    spans = reference_spans(known, RATE_HZ, seconds * RATE_HZ)
    segments = [{"start": start, "end": end} for start, end in spans.spans]
    return list(segment_rows(RECORDING, known, spans, segments)), spans


def test_what_lies_beyond_the_end_is_no_segment():
    """A text file made for the whole of a recording that was cut later."""
    rows, spans = rows_of([stretch(0, 2), stretch(9, 12), stretch(11, 12), stretch(12, 14)], 10)
    assert [(row["start"], row["end"], row["status"]) for row in rows] == [
        (0, 2000, "keep"),
        (9000, 10000, "drop"),  # most of what is said there is not in the recording
    ]
    assert rows[1]["reason"] == "cue lies beyond the end of the recording"
    assert spans.left_out == {"cue lies beyond the end of the recording": 2}
    rows, _ = rows_of([stretch(9, 10.5)], 10)
    assert [row["status"] for row in rows] == ["keep"]


@pytest.mark.parametrize(
    "start_s, end_s, reason",
    [
        (11, 12, "cue lies beyond the end of the recording"),
        (1e308, 1.7e308, "cue lies beyond the end of the recording"),
        (float("inf"), float("inf"), "cue lies beyond the end of the recording"),
        (float("nan"), 3, "cue lies beyond the end of the recording"),
        (-7, -3, "cue starts before 0 s"),
        (-7, 2, "cue starts before 0 s"),
        (-1e308, 2, "cue lies beyond the end of the recording"),
    ],
)
def test_texts_outside_the_recording_say_why(start_s, end_s, reason):
    known = distinct([stretch(start_s, end_s)])
    assert outside(known, RATE_HZ, 10 * RATE_HZ) == reason
    spans = reference_spans(known, RATE_HZ, 10 * RATE_HZ)
    assert spans is None or spans.refused == {0: reason}
    assert outside([*known, *distinct([stretch(0, 2)])], RATE_HZ, 10 * RATE_HZ) is None


def test_two_speakers_at_once_are_both_dropped_and_a_short_overlap_neither():
    rows, _ = rows_of([stretch(0, 3, speaker="A"), stretch(2, 5, speaker="B"), stretch(6, 8)], 9)
    assert [(row.get("reason"), row["status"]) for row in rows] == [
        ("another speaker starts within it", "drop"),
        ("overlaps the previous one", "drop"),
        (None, "keep"),
    ]
    rows, _ = rows_of([stretch(0, 3, speaker="A"), stretch(2.95, 5, speaker="B")], 9)
    assert [(row["start"], row["end"], row["status"]) for row in rows] == [
        (0, 3000, "keep"),
        (3000, 5000, "keep"),
    ]


def test_a_segment_has_the_speaker_of_its_own_line():
    rows, _ = rows_of([stretch(4, 6, "b", speaker="B"), stretch(0, 10, "a", speaker="A")])
    assert [(row["text"], row["speaker"], row["status"]) for row in rows] == [("a", "A", "keep")]
    rows, _ = rows_of([stretch(0, 5, "a", speaker="A"), stretch(4, 8, "b", speaker=None)])
    assert [(row["speaker"], row["status"]) for row in rows] == [
        ("A", "keep"),
        ("of the folder", "drop"),
    ]


def test_a_turn_without_a_text_is_a_segment_to_be_heard():
    rows, _ = rows_of([stretch(0, 5, None, speaker="A"), stretch(5, 9, "known", speaker="B")])
    assert [(row["text"], row["text_source"], row["speaker"]) for row in rows] == [
        (None, None, "A"),
        ("known", "reference", "B"),
    ]


def test_in_cut_speech_the_time_says_who_speaks():
    known = distinct([stretch(0, 50, "a", speaker="A"), stretch(50, 99, "b", language="de")])
    assert reference_spans(known, RATE_HZ, 100 * RATE_HZ, whole_s=15) is None
    assert speaker_at(known, 10) == {"speaker": "A"}
    assert speaker_at(known, 60) == {"language": "de"} and speaker_at(known, 99.5) == {}


times = st.tuples(st.floats(0, 20), st.floats(0.001, 9)).map(lambda t: (t[0], t[0] + t[1]))


@cases(st.lists(times, min_size=1, max_size=12), st.integers(1, 15_000))
def test_spans_are_disjoint_within_the_recording_and_of_some_length(stretches, n_samples):
    known = distinct([stretch(start, end, f"{i}") for i, (start, end) in enumerate(stretches)])
    spans = reference_spans(known, RATE_HZ, n_samples)
    if spans is None:
        assert all(round(start * RATE_HZ) >= n_samples for start, _ in stretches)
        return
    edges = [edge for span in spans.spans for edge in span]
    assert edges == sorted(edges) and 0 <= edges[0] and edges[-1] <= n_samples
    assert all(start < end for start, end in spans.spans)
    assert len(spans.spans) == len(spans.entries) == len(known) - sum(spans.left_out.values())


def test_two_texts_of_a_stretch_are_both_kept():
    (one,) = distinct([stretch(0, 1, "too"), stretch(0, 1, "two"), stretch(0, 1, "Two!")])
    assert one["texts"] == ["too", "two"] and one["text"] is None
    with pytest.raises(KeyError):
        one["speaker"]


def test_a_stretch_without_an_end_ends_where_the_next_begins():
    rows, _ = rows_of([stretch(0, None, "one"), stretch(5, None, "two")], 9)
    assert [(row["start"], row["end"], row["text"]) for row in rows] == [
        (0, 5000, "one"),
        (5000, 9000, "two"),
    ]


def test_stretches_come_before_a_text_of_the_whole():
    rows, _ = rows_of([stretch(None, None, "one two"), stretch(0, 1, "one"), stretch(1, 2, "two")])
    assert [row["text"] for row in rows] == ["one", "two"]
