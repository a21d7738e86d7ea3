"""Corrections by hand, replayed on every rebuild (N15, S4-97)."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from corpus_rows import RATE_HZ, recording, segment, table
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.corpus import corrections, decisions
from voicekiln.corpus.corrections import (
    Correction,
    correct,
    match,
    names_of_copies,
    read,
)
from voicekiln.errors import UserError

SHA = "0123456789abcdef" * 4


def correction(start_s, end_s, line=1, content="r0", text=None, status=None):
    return Correction(line, content, start_s, end_s, text, status, "")


def at(*rows):
    """Segments of one recording, each `(start_s, length_s)`."""
    return table(*(segment("a text", start, length) for start, length in rows))


def test_corrections_follow_their_span():
    segments = table(segment("wrnog", 0), segment("noise", 4), segment("fine", 8))
    corrected, conflicts = correct(
        segments,
        [
            correction(0.05, 2.05, text="wrong"),
            correction(4, 6, status="drop"),
            correction(8, 9, text="half the span"),
            correction(0, 2, content="r9", text="elsewhere"),
        ],
    )
    assert list(corrected["text"]) == ["wrong", "noise", "fine"]
    assert list(corrected["text_source"]) == ["corrected", "hypothesis", "hypothesis"]
    assert list(corrected["reason"].dropna()) == ["marked by hand"]
    assert [row["why"] for row in conflicts] == [
        "fits no segment: the best overlap is 0.50 of the longer of the two",
        "no such recording",
    ]


def test_of_two_corrections_of_one_segment_the_last_line_wins_and_the_first_is_listed():
    lines = [correction(0, 2, 3, text="first"), correction(0.01, 2, 7, text="last")]
    corrected, conflicts = correct(at((0, 2)), lines)
    assert list(corrected["text"]) == ["last"]
    assert [(row["line"], row["why"]) for row in conflicts] == [
        (3, "line 7 is for the same segment")
    ]


def test_a_segment_that_other_settings_cut_otherwise_is_a_conflict():
    lines = [correction(0, 4, text="both halves")]
    assert correct(at((0, 4)), lines)[1] == []
    corrected, conflicts = correct(at((0, 2), (2, 2)), lines)
    assert list(corrected["text"]) == ["a text", "a text"]
    assert "0.50" in conflicts[0]["why"]


def test_a_corrected_text_leaves_the_scores_of_the_old_one_behind():
    corrected, _ = correct(at((0, 2), (4, 2)), [correction(0, 2, text="heard by a person")])
    assert np.isnan(corrected["avg_logprob"][0]) and corrected["avg_logprob"][1] == -0.2


def test_a_text_given_by_hand_ends_a_drop_for_want_of_text_and_no_other():
    mute = segment(None, 0, status="drop", step="transcribe", reason="no reference text")
    cut = segment("cu", 4, status="drop", step="align", reason="word cut at end")
    lines = [correction(0, 2, text="a text"), correction(4, 6, text="cut")]
    corrected, _ = correct(table(mute, cut), lines)
    assert list(corrected["status"]) == ["keep", "drop"]
    assert pd.isna(corrected["reason"][0]) and corrected["reason"][1] == "word cut at end"


@pytest.mark.parametrize(
    "step, reason, comes_back",
    [
        ("align", "word cut at end", True),
        ("segment", "too little speech", True),
        ("segment", "overlaps the previous one", False),
        ("deduplicate", "same text", True),
        ("deduplicate", "same audio", False),
        ("deduplicate", "copy of a recording", False),
        ("validate", "recogniser unsure", True),
        ("validate", "no text", False),
    ],
)
def test_keep_by_hand_overrides_what_is_a_matter_of_taste(step, reason, comes_back):
    row = segment("a", 0, status="drop", step=step, reason=reason, value=1.0, limit=2.0)
    corrected, conflicts = correct(table(row), [correction(0, 2, status="keep")])
    assert conflicts == []
    assert list(corrected["status"]) == ["keep" if comes_back else "drop"]
    later = [
        decisions.apply(
            decisions.undone(table(row | {"marked": mark})), decisions.taken(table(row))
        )
        for mark in ("keep", None)
    ]
    assert later[0]["status"][0] == corrected["status"][0]
    assert pd.isna(later[0]["value"][0]) == comes_back
    assert later[1]["status"][0] == "drop"


def test_drop_by_hand_is_the_reason_whatever_dropped_it_before():
    row = segment("a", 0, status="drop", step="align", reason="word cut at end", value=1.0)
    corrected, _ = correct(table(row), [correction(0, 2, status="drop")])
    assert (corrected["step"][0], corrected["reason"][0]) == ("correct", "marked by hand")
    assert pd.isna(corrected["value"][0])


spans = st.tuples(st.integers(0, 40), st.integers(1, 12), st.sampled_from(["r0", "r1", "r2"]))


@given(st.lists(spans, max_size=12), st.lists(spans, max_size=8))
def test_the_search_finds_what_comparing_all_with_all_does(cut, wanted):
    segments = table(*(segment("x", a / 4, n / 4, recording=name) for a, n, name in cut))
    lines = [correction(a / 4, (a + n) / 4, i, name) for i, (a, n, name) in enumerate(wanted)]
    rows, why = match(segments, lines)
    for c, row, reason in zip(lines, rows, why, strict=True):
        shares = [0.0] * len(segments)
        for i, r in enumerate(segments.itertuples()):
            start, end = r.start / RATE_HZ, r.end / RATE_HZ
            if r.recording_id == c.content:
                common = max(0.0, min(end, c.end_s) - max(start, c.start_s))
                shares[i] = common / max(end - start, c.end_s - c.start_s)
        best = max(shares, default=0.0)
        if row >= 0:
            assert shares[row] == pytest.approx(best) and best >= 0.9 and not reason
        else:
            assert best < 0.9 or "same segment" in reason


def test_a_correction_is_compared_with_the_segments_it_meets_alone(monkeypatch):
    n, per_recording = 50_000, 500
    start = np.arange(n) % per_recording * 3 * RATE_HZ
    names = [f"r{i // per_recording}" for i in range(n)]
    segments = pd.DataFrame(
        {"recording_id": names, "start": start, "end": start + 2 * RATE_HZ, "rate_hz": RATE_HZ}
    )
    lines = [
        correction(start[i] / RATE_HZ, start[i] / RATE_HZ + 1.9, i, names[i])
        for i in range(0, n, 10)
    ]
    pairs = []
    repeat = np.repeat
    monkeypatch.setattr(np, "repeat", lambda a, *rest: pairs.append(r := repeat(a, *rest)) or r)
    rows, why = match(segments, lines)
    assert rows.tolist() == list(range(0, n, 10)) and not any(why)
    assert max(map(len, pairs)) == len(lines)  # each is compared with the one segment it meets


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


GOOD = {"content_sha256": SHA, "start_s": 0, "end_s": 1.5, "text": "ok"}


def test_lines_are_read_with_their_numbers(tmp_path):
    file = tmp_path / "mine.jsonl"
    text = json.dumps(GOOD | {"text": "a\u2028b"}, ensure_ascii=False)
    file.write_bytes(b"\xef\xbb\xbf\r\n" + text.encode() + b"\r\n\n")
    (line,) = read(file)
    assert (line.line, line.text, line.raw) == (2, "a\u2028b", text)
    assert read(tmp_path / "absent.jsonl") == [] and read(None) == []
    edges = {"new_start_s": 0.1, "new_end_s": 2}
    (line,) = read(write(tmp_path / "edges.jsonl", GOOD | {"text": None} | edges))
    assert (line.new_start_s, line.new_end_s, line.text) == (0.1, 2.0, None)


@pytest.mark.parametrize(
    "change",
    [
        {"content_sha256": "abc"},
        {"content_sha256": 7},
        {"start_s": -1},
        {"start_s": 2},
        {"end_s": "1.5"},
        {"end_s": float("nan")},
        {"start_s": True},
        {"text": None},
        {"text": ["a"]},
        {"status": "maybe"},
        {"status": []},
        {"new_start_s": 0.5},
        {"new_end_s": 0.5},
        {"new_start_s": 1, "new_end_s": 1},
        {"new_start_s": -1, "new_end_s": 1},
        {"new_start_s": 0, "new_end_s": float("inf")},
        {"new_start_s": "0", "new_end_s": 1},
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, change):
    file = write(tmp_path / "corrections.jsonl", GOOD, GOOD | change)
    with pytest.raises(UserError, match=r"corrections\.jsonl, line 2: expected an object"):
        read(file)


@pytest.mark.parametrize("line", ["[]", "{", "3", '"text"', '{"content_sha256": "a"}'])
def test_a_line_that_is_no_correction_is_named(tmp_path, line):
    file = tmp_path / "corrections.jsonl"
    file.write_text(line)
    with pytest.raises(UserError, match="line 1"):
        corrections.read(file)


def test_a_correction_may_name_any_of_the_files_with_the_same_samples():
    """Which of them is used may change when one comes."""
    rows = [
        recording("b" * 16, status="ok", audio_sha256="same"),
        recording("a" * 16, status="copy", audio_sha256="same"),
        recording("c" * 16, status="copy", audio_sha256="of none that is used"),
    ]
    copies = names_of_copies(pd.DataFrame(rows))
    assert copies == {"a" * 16: "b" * 16}
    segments = table(segment("heard", recording="b" * 16))
    line = replace(correction(0, 2, text="right"), content="a" * 64)
    corrected, conflicts = correct(segments, [line], copies)
    assert corrected["text"].tolist() == ["right"] and conflicts == []
    assert correct(segments, [line])[1][0]["why"] == "no such recording"
