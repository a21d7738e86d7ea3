"""Edges moved by hand (row 46): where they go, what is refused, what is measured again."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from corpus_rows import RATE_HZ, recording, segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.audio.segment import SegmentSettings
from voicekiln.config.resolve import resolve
from voicekiln.corpus.corrections import Correction
from voicekiln.corpus.ledger import ledger
from voicekiln.corpus.segments.respan import LEAST_S, move, moves
from voicekiln.corpus.segments.segments import ReferenceSpans, cut
from voicekiln.store import tables
from voicekiln.store.items import Store

MINIMAL = {"corpora": {"c": {"audio": "a", "language": "en", "transcripts": "sidecar"}}}
DEFAULTS = resolve(MINIMAL)["corpora"]["c"]
SEGMENT = SegmentSettings(**DEFAULTS["segment"])
RECORDINGS = tables.frame([recording("r0", 30.0), recording("r1", 9.0)], tables.RECORDINGS)


def line(number, start_s, end_s, new_start_s, new_end_s, content="r0", **more):
    more = {"text": None, "status": None, "raw": ""} | more
    times = {"new_start_s": new_start_s, "new_end_s": new_end_s}
    return Correction(number, content, start_s, end_s, **more, **times)


def three():
    """Segments at 2-4, 5-7 (dropped) and 10-12 s, and one of another recording."""
    return table(
        segment("a", 2, 2.0, split="train"),
        segment("b", 5, 2.0, status="drop", step="validate", reason="too short"),
        segment("c", 10, 2.0, split="train"),
        segment("d", 2, 2.0, "r1", split="val"),
    )


def planned(*lines, rows=None):
    spans, refused = moves(three() if rows is None else rows, RECORDINGS, list(lines))
    in_seconds = {row: (a / RATE_HZ, b / RATE_HZ) for row, (a, b) in spans.items()}
    return in_seconds, [(one["line"], one["why"].split(": ", 1)[1]) for one in refused]


def test_an_edge_goes_where_it_is_put():
    assert planned(line(1, 2, 4, 1.7, 4.25), line(2, 10, 12, 10.5, 12)) == (
        {0: (1.7, 4.25), 2: (10.5, 12.0)}, [],
    )  # fmt: skip


def test_a_correction_without_new_edges_or_with_the_old_ones_moves_nothing():
    assert planned(Correction(1, "r0", 2, 4, "text", None, ""), line(2, 10, 12, 10, 12)) == ({}, [])


@pytest.mark.parametrize(
    ("span", "why"),
    [
        ((2, 5.5), "5.00-7.00 s is another segment"),  # also one that was dropped
        ((3, 3.05), "shorter than 0.1 s"),
        ((4, 4.5), "does not overlap the old one"),
        ((3, 31), "the recording ends at 30.00 s"),
    ],
)
def test_a_span_that_cannot_be_is_refused_and_listed(span, why):
    found, refused = planned(line(4, 2, 4, *span))
    assert found == {} and refused[0][0] == 4 and why in refused[0][1]


def test_neighbours_may_both_be_moved_and_of_two_that_collide_the_later_line_stays():
    both = line(1, 2, 4, 2, 5.5), line(2, 5, 7, 5.5, 7)
    assert planned(*both) == ({0: (2.0, 5.5), 1: (5.5, 7.0)}, [])
    assert planned(line(1, 2, 4, 2, 4.8), line(2, 5, 7, 4.6, 7)) == (
        {0: (2.0, 4.8)}, [(2, "2.00-4.80 s is another segment")],
    )  # fmt: skip


TIMES = st.floats(0, 30).map(lambda s: round(s, 2))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), TIMES, TIMES), max_size=4))
def test_whatever_is_asked_for_no_two_segments_overlap_and_the_ledger_adds_up(wanted):
    rows = three()
    old = [(2, 4), (5, 7), (10, 12)]
    lines = [
        line(i, *old[row], *sorted(times)) for i, (row, *times) in enumerate(wanted, 1)
        if abs(times[0] - times[1]) > 0
    ]  # fmt: skip
    spans, _ = moves(rows, RECORDINGS, lines)
    for row, (start, end) in spans.items():
        rows.loc[row, ["start", "end"]] = start, end
    here = rows[rows["recording_id"] == "r0"].sort_values("start")
    assert (here["start"].to_numpy()[1:] >= here["end"].to_numpy()[:-1]).all()
    assert ((here["end"] - here["start"]) >= LEAST_S * RATE_HZ).all()
    account = ledger(RECORDINGS, rows)  # raises if it does not add up
    assert account["samples_in"] == 39 * RATE_HZ


@pytest.fixture
def stored(tmp_path):
    """A recording: a buzz from 1 to 3 s in faint noise."""
    rng = np.random.default_rng(0)
    samples = 0.001 * rng.standard_normal(6 * RATE_HZ)
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    samples[RATE_HZ : 3 * RATE_HZ] += 0.2 * np.sin(2 * np.pi * 150 * t)
    store = Store(tmp_path, "normalize")
    key = store.key(content="a")
    part = store.workfile(key, "flac")
    soundfile.write(part, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
    store.put(key, {"clipped": []}, flac=part)
    return store, key


def test_a_moved_segment_is_measured_as_one_that_was_cut_there(stored):
    store, key = stored
    rows = table(
        segment("cut", 1.5, 2.0, item=key, forced_cut="both"), segment("other", 5, 0.5, item=key)
    )
    acoustics = pd.DataFrame(
        {
            "segment_id": rows["segment_id"],
            "fingerprint": [b"old", b"other"],
            "speaker_features": [np.ones(3, np.float32)] * 2,
        }
    )
    span = (RATE_HZ, 4 * RATE_HZ)
    found, sounds = move(rows, acoustics, {0: span}, store, SEGMENT)
    first = found.iloc[0]
    assert (first["start"], first["end"]) == span
    assert first["segment_id"] == f"r0_{RATE_HZ}_{4 * RATE_HZ}" == sounds["segment_id"][0]
    assert first["forced_cut"] is pd.NA or first["forced_cut"] is None
    assert first["text"] == "cut" and first["audio_sha256"] != rows["audio_sha256"][0]
    [expected] = cut(store, key, ReferenceSpans([list(span)], []), [], SEGMENT)["segments"]
    for name in ("level_db", "silence_share", "clipped_share", "audio_sha256"):
        assert first[name] == expected[name]
    assert pd.isna(first["mos_overall"])
    assert first["snr_db"] > 20 and sounds["fingerprint"][0] != b"old"
    assert list(sounds["speaker_features"][0]) == [1, 1, 1]
    pd.testing.assert_series_equal(found.iloc[1], rows.iloc[1])
    assert sounds["fingerprint"][1] == b"other"
    seen = []

    def rate(samples, rate_hz):
        seen.append((len(samples), rate_hz))
        return {"mos_signal": 3.5, "mos_background": 4.0, "mos_overall": 3.0}

    scored, _ = move(rows, acoustics, {0: span}, store, SEGMENT, rate)
    assert scored["mos_overall"][0] == 3.0 and seen == [(3 * RATE_HZ, RATE_HZ)]
    one_edge, _ = move(rows, acoustics, {0: (RATE_HZ, rows["end"][0])}, store, SEGMENT)
    assert one_edge["forced_cut"][0] == "end"


def test_nothing_to_move_changes_nothing(stored):
    rows = three()
    acoustics = pd.DataFrame({"segment_id": rows["segment_id"], "fingerprint": [b""] * 4})
    found, sounds = move(rows, acoustics, {}, stored[0], SEGMENT)
    pd.testing.assert_frame_equal(found, rows)
    pd.testing.assert_frame_equal(sounds, acoustics)
