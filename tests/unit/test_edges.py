"""Words cut by the edges of segments: found, mended, or the segment dropped (N11).

In the pictures a character is 50 ms: `#` speech, `.` silence; `[` and `]` are a segment's edges.
"""

import json
import random

import numpy as np
import pandas as pd
import pytest
import soundfile
from corpus_rows import segment
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.audio import segment as cutting
from voicekiln.audio.normalize import NormalizeSettings, normalize
from voicekiln.config.resolve import resolve
from voicekiln.corpus.segments import edges
from voicekiln.corpus.segments.edges import Segment, check
from voicekiln.corpus.segments.segments import ReferenceSpans, cut, still_forced
from voicekiln.store import tables
from voicekiln.store.items import Store

CONFIG = {"corpora": {"c": {"audio": "in", "language": "en", "transcripts": "sidecar"}}}
DEFAULTS = resolve(CONFIG)["corpora"]["c"]
NORMALIZE = NormalizeSettings(**DEFAULTS["normalize"])
SEGMENT = cutting.SegmentSettings(**DEFAULTS["segment"])
RATE_HZ = 24000
WIDTH = 5  # frames of a character


def pieces_of(picture, **more):
    """The segments in a picture and the loudness of its frames."""
    marks = [(i, c) for i, c in enumerate(picture) if c in "[]"]
    at = [(i - n) * WIDTH * RATE_HZ // 100 for n, (i, _) in enumerate(marks)]
    found = [Segment(a, b, **more) for a, b in zip(at[::2], at[1::2], strict=True)]
    sound = picture.replace("[", "").replace("]", "")
    loud = np.repeat([{"#": 0.9, ".": 0.0, "+": 0.4}[c] for c in sound], WIDTH)
    return found, loud


def checked(picture, max_s=15.0, **more):
    found, loud = pieces_of(picture, **more)
    n_samples = len(loud) * RATE_HZ // 100
    results = check(found, loud, RATE_HZ, n_samples, max_s)
    unit = WIDTH * RATE_HZ / 100
    return [result.cut or (result.start / unit, result.end / unit) for result in results]


def test_edges_in_silence_stay():
    assert checked("..[.####.]..") == [(2, 8)]
    assert checked("..[####].....") == [(2, 6)]  # tight, but no word crosses


def test_an_edge_inside_speech_moves_to_the_next_quiet_place():
    [(start, end)] = checked("....[####]###.....")
    assert start == 4 and 9 + 2 < end <= 9 + 2 + 3  # three more of speech, and some quiet
    [(start, end)] = checked(".....##[####]....")
    assert 2 < start < 5 and end == 11


def test_where_there_is_no_quiet_place_near_the_segment_is_dropped():
    assert checked("....[####]###############") == ["end"]
    assert checked("##############[####]....") == ["start"]


def test_a_neighbour_is_not_entered():
    assert checked("...[####][####]...") == ["end", "start"]
    first, second = checked("...[####]#..[.####]...")
    assert first[1] <= second[0] and first[1] > 8


def test_the_rest_of_a_word_is_not_in_what_was_recognised_of_its_first_part():
    assert checked("....[####]###....", reference=False) == ["end"]
    assert checked("....[####]#....", reference=False) != ["end"]


def test_a_recognised_segment_does_not_grow_beyond_its_limit():
    assert checked("....[####]#.....", max_s=0.3, reference=False) != ["end"]
    assert checked("....[####]#.....", max_s=0.2, reference=False) == ["end"]


def test_word_times_tell_a_faint_sound_at_the_edge_from_a_word():
    assert checked("....[++##]+++++++++++++") == ["end"]
    assert checked("....[##++]+++++++++++++", reference=False) == ["end"]
    assert checked("....[##++]+++++++++++++", reference=False, quiet_end=True) == [(4, 8)]


def test_clips_that_are_trimmed_tightly_are_not_taken_for_cut():
    assert checked("[+###.]") == [(0, 5)]
    assert checked("[####.]") == ["start"]


def test_what_is_not_checked_bounds_its_neighbours_all_the_same():
    found, loud = pieces_of("...[####][##]...")
    found[1] = Segment(found[1].start, found[1].end, checked=False)
    first, second = check(found, loud, RATE_HZ, len(loud) * RATE_HZ // 100, 15.0)
    assert first.cut == "end"
    assert (second.start, second.end, second.cut) == (found[1].start, found[1].end, None)


@given(st.text("#.+", min_size=4, max_size=60), st.data())
def test_segments_stay_disjoint_only_grow_and_are_clean_afterwards(sound, data):
    loud = np.repeat([{"#": 0.9, ".": 0.0, "+": 0.4}[c] for c in sound], WIDTH)
    n_samples = len(loud) * RATE_HZ // 100
    places = st.lists(st.integers(0, n_samples), min_size=2, max_size=8, unique=True)
    at = sorted(data.draw(places))
    kinds = st.tuples(st.booleans(), st.booleans())
    found = [
        Segment(a, b, reference=kind[0], checked=kind[1])
        for a, b in zip(at[::2], at[1::2], strict=False)
        for kind in [data.draw(kinds)]
    ]
    results = check(found, loud, RATE_HZ, n_samples, 15.0)
    for piece, result in zip(found, results, strict=True):
        assert 0 <= result.start <= piece.start < piece.end <= result.end <= n_samples
        if result.cut:
            assert (result.start, result.end) == (piece.start, piece.end)
            assert result.loudness > result.limit
    assert all(a.end <= b.start for a, b in zip(results, results[1:], strict=False))
    mended = [
        Segment(r.start, r.end, reference=p.reference, checked=p.checked and not r.cut)
        for p, r in zip(found, results, strict=True)
    ]
    again = check(mended, loud, RATE_HZ, n_samples, 15.0)
    assert [(r.start, r.end, r.cut) for r in again] == [(r.start, r.end, None) for r in results]


# real speech


@pytest.fixture
def normalised(shared_data, tmp_path):
    """A store with one recording of the shared folder: the store, and the item's key."""

    def make(name):
        [source] = [p for p in shared_data.glob(f"{name}.*") if p.suffix in (".flac", ".wav")]
        store = Store(tmp_path, "normalize")
        key = store.key(name=name)
        part = store.workfile(key, "flac")
        clipped = normalize(source, part, NORMALIZE).clipped
        store.put(key, {"clipped": clipped}, flac=part)
        return store, key

    return make


SESSIONS = ("am_spk098_session", "de_kerstin_session", "en_lj_001-0019_0032")


@pytest.mark.parametrize("name", SESSIONS)
def test_cuts_inside_takes_are_found_and_clean_ones_are_left_alone(shared_data, normalised, name):
    store, key = normalised(f"long/{name}")
    flac = store.path(key, ".flac")
    loud, rate_hz = edges.loudness(flac)
    n_samples = soundfile.info(flac).frames
    labels = pd.read_csv(shared_data / "long" / f"{name}.segments.tsv", sep="\t")
    takes = labels[labels["label"] == "speech"]

    def outcome(piece):
        [result] = check([piece], loud, rate_hz, n_samples, 15.0)
        if result.cut:
            return "dropped"
        return "left" if (result.start, result.end) == (piece.start, piece.end) else "mended"

    pad, rng = 0.15, random.Random(0)
    cuts = []
    for take in takes.itertuples():
        for _ in range(10):
            at = round(rng.uniform(take.start_s + 0.3, take.end_s - 0.3) * rate_hz)
            ends = round(max(0, take.start_s - pad) * rate_hz), round((take.end_s + pad) * rate_hz)
            cuts += [Segment(ends[0], at), Segment(at, min(ends[1], n_samples))]
    found = [outcome(piece) for piece in cuts]
    counts = {kind: found.count(kind) for kind in ("left", "mended", "dropped")}
    spans = cutting.segment(flac, SEGMENT, []).spans
    alarms = sum(
        outcome(Segment(start, end, reference=reference)) != "left"
        for start, end in spans
        for reference in (True, False)
    )
    print(
        f"{name}: {len(cuts)} cuts inside takes: {counts}; {alarms} of {len(spans)} clean alarmed"
    )
    assert alarms == 0
    assert counts["left"] <= 0.3 * len(cuts)


@pytest.mark.parametrize("name", SESSIONS)
def test_noise_is_not_taken_for_words_at_the_edges(normalised, tmp_path, name):
    """White noise 10 dB below the louder half of the session."""
    store, key = normalised(f"long/{name}")
    samples, rate_hz = soundfile.read(store.path(key, ".flac"), dtype="float32")
    power = np.sort(samples**2)
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    noise *= np.sqrt(power[len(power) // 2 :].mean()) * 10 ** (-10 / 20)
    flac = tmp_path / "noisy.flac"
    soundfile.write(flac, np.clip(samples + noise, -1, 1) / 2, rate_hz, subtype="PCM_16")
    loud, _ = edges.loudness(flac)
    spans = cutting.segment(flac, SEGMENT, []).spans
    found = check([Segment(*span) for span in spans], loud, rate_hz, len(samples), 15.0)
    assert [[r.start, r.end] for r in found] == spans
    assert not any(r.cut for r in found)


def test_clips_of_published_data_sets_are_left_alone(shared_data, tmp_path):
    alarms, clips = [], [*shared_data.glob("en_lj/wavs/*"), *shared_data.glob("am_spk098/wavs/*")]
    for clip in clips:
        flac = tmp_path / "clip.flac"
        clipped = normalize(clip, flac, NORMALIZE).clipped
        [(start, end)] = cutting.whole(flac, SEGMENT, clipped, trim=True).spans
        loud, rate_hz = edges.loudness(flac)
        [result] = check([Segment(start, end)], loud, rate_hz, soundfile.info(flac).frames, 15.0)
        alarms += (
            [clip.name] if (result.start, result.end, result.cut) != (start, end, None) else []
        )
    print(f"{len(alarms)} of {len(clips)} clips alarmed: {alarms}")
    # one begins with a thump of 0.12 s, at full level; one ends in hum, and becomes 90 ms longer
    assert set(alarms) <= {"tr_10044_tr098006.wav", "tr_10046_tr098008.wav"}


def test_a_moved_segment_has_the_measures_and_hash_of_its_new_span(normalised, tmp_path):
    audio, key = normalised("long/en_lj_001-0019_0032")
    rate_hz = RATE_HZ
    # takes lie at 7.6 ... 12.1 and 13.7 ... 22.2 s: the first is cut short, the second whole
    spans = [
        [round(7.4 * rate_hz), round(11.9 * rate_hz)],
        [round(13.5 * rate_hz), 22 * rate_hz + 9600],
    ]
    before = cut(audio, key, ReferenceSpans(spans, []), [], SEGMENT)
    keys = ("start", "end", "level_db", "silence_share", "clipped_share", "audio_sha256")
    record = {"segments": [{k: s[k] for k in keys} for s in before["segments"]]}
    table = tables.frame(
        [
            segment("some text")
            | s
            | {"segment_id": f"r0_{s['start']}_{s['end']}", "item": key, "text_source": "reference"}
            | {"forced_cut": "end" if n == 0 else None}
            for n, s in enumerate(record["segments"])
        ],
        tables.TRANSCRIBED,
    )
    store = Store(tmp_path, "align", {"version": edges.VERSION})
    found = edges.fix(table, SEGMENT, audio, store)
    first = found.iloc[0]
    assert first["end"] > spans[0][1] and first["start"] == spans[0][0]
    assert first["segment_id"] == f"r0_{first['start']}_{first['end']}"
    assert tables.missing(first["forced_cut"])
    after = cut(
        audio, key, ReferenceSpans([[int(first["start"]), int(first["end"])]], []), [], SEGMENT
    )
    assert {k: first[k] for k in keys} == {k: after["segments"][0][k] for k in keys}
    pd.testing.assert_series_equal(found.iloc[1], table.iloc[1])
    # the second time it comes from the store
    assert edges.fix(table, SEGMENT, audio, store).equals(found)


GOLDEN = [(177600, 293760, None), (324000, 453600, None), (576000, 696000, "word cut at end")]


def test_golden_edges(normalised, tmp_path):
    """Raise `edges.VERSION` when this changes."""
    audio, key = normalised("long/en_lj_001-0019_0032")
    spans = [(177600, 285600), (324000, 453600), (576000, 696000)]
    words = json.dumps([["a", 0.1, 0.4, 1.0], ["b", 1.0, 4.4, 1.0]])
    rows = [
        segment("text", recording="r0", item=key, words=words if n == 2 else None)
        | {"start": a, "end": b, "segment_id": f"r0_{a}_{b}", "text_source": "reference"}
        for n, (a, b) in enumerate(spans)
    ]
    store = Store(tmp_path, "align", {"version": edges.VERSION})
    found = edges.fix(tables.frame(rows, tables.TRANSCRIBED), SEGMENT, audio, store)
    reasons = [None if tables.missing(r) else r for r in found["reason"]]
    assert list(zip(found["start"], found["end"], reasons, strict=True)) == GOLDEN


@pytest.mark.parametrize(
    ("forced", "start", "end", "still"),
    [
        (None, 5, 20, None),
        ("start", 5, 20, None),
        ("start", 10, 25, "start"),
        ("both", 5, 20, "end"),
        ("both", 10, 25, "start"),
        ("both", 5, 25, None),
        ("both", 10, 20, "both"),
    ],
)
def test_a_forced_cut_that_was_mended_is_none_any_more(forced, start, end, still):
    assert still_forced(forced, (10, 20), {"start": start, "end": end}) == still
