"""Where recordings are cut.

In the pictures a character is 50 ms: `#` speech, `+` quiet speech, `-` breath, `:` a dip, `.`
silence.
"""

import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations, pairwise
from unittest import mock

import numpy as np
import pytest
import soundfile
import soxr
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_speech import boundary_errors_s, flags, frame_scores, labels
from scipy import signal
from silero_vad.sequence_vad import SileroVADSequence, get_speech_timestamps_sequence
from voicekiln.audio import segment as module
from voicekiln.audio import silero, vad
from voicekiln.audio.normalize import NormalizeSettings, normalize
from voicekiln.audio.segment import Frames, SegmentSettings, plan, segment, speech_regions, whole
from voicekiln.corpus.segments.segments import pcm_hashes
from voicekiln.corpus.segments.statistics import summary
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file

RATE_HZ = 24_000
NORMALIZE = NormalizeSettings(
    rate_hz=RATE_HZ, loudness_lufs=-23.0, true_peak_dbtp=-1.0, max_gain_db=30.0
)
DEFAULTS = SegmentSettings(
    min_s=1.0,
    max_s=15.0,
    merge_gap_s=0.7,
    pad_s=0.15,
    drop_below_s=0.3,
    engine="webrtcvad",
    onset=0.5,
    offset=0.35,
    aggressiveness=2,
    frame_ms=20,
    energy_share=0.2,
    min_pause_s=0.1,
    min_sound_s=0.06,
)
SMALL = replace(
    DEFAULTS, min_s=0.0, max_s=10.0, merge_gap_s=0.15, pad_s=0.0, drop_below_s=0.0, min_pause_s=0.06
)
WIDTH = 5  # frames of a character
LEVELS_DB = {"#": -20.0, "+": -40.0, "-": -50.0, ":": -60.0, ".": -70.0}


def pictured(picture):
    levels = np.repeat([LEVELS_DB[c] for c in picture], WIDTH).astype(np.float32)
    flags = np.repeat([c in "#+-" for c in picture], WIDTH)
    return Frames(levels, flags, RATE_HZ, len(levels) * RATE_HZ // 100)


def forced_cuts(picture, **changes):
    """Which sides of each segment were cut without a pause."""
    frames, choice = pictured(picture), replace(SMALL, **changes)
    return plan(speech_regions(frames, choice), frames, choice)[1]


def planned(picture, **changes):
    """Spans in characters, and counts of events."""
    frames, choice = pictured(picture), replace(SMALL, **changes)
    spans, _, _, events = plan(speech_regions(frames, choice), frames, choice)
    return [(start / WIDTH, end / WIDTH) for start, end in spans], events


def cuts(picture, **changes):
    return planned(picture, **changes)[0]


def test_speech_across_a_short_pause_is_one_region():
    assert cuts("..####..###...") == [(2, 11)]
    assert cuts("..####...###..") == [(2, 6), (9, 12)]
    assert planned("..##..##..##..")[1]["merged"] == 2


def test_a_dip_is_not_a_pause_and_a_tick_not_speech():
    assert cuts("..###:###..") == [(2, 9)]
    assert cuts("..###....#....###.", min_sound_s=0.06) == [(2, 5), (14, 17)]


def test_a_burst_before_its_vowel_is_kept():
    assert cuts(".....#:###..", min_sound_s=0.06) == [(5, 10)]


def test_merging_stops_at_the_longest_segment():
    picture = "####.####..####.####"
    assert cuts(picture, min_pause_s=0.01) == [(0, 20)]
    assert cuts(picture, min_pause_s=0.01, max_s=0.6) == [(0, 9), (11, 20)]
    assert planned(picture, min_pause_s=0.01, max_s=0.6)[1]["split"] == 1


def test_the_longest_pause_is_cut_first():
    assert cuts("######.######..######.######", max_s=1.0, min_pause_s=0.01) == [(0, 13), (15, 28)]
    assert cuts("########..########..##.######", max_s=1.0, min_pause_s=0.01) == [
        *[(0, 8), (10, 18), (20, 29)]
    ]


def test_segments_near_the_middle_are_preferred():
    """Although all of it would fit max_s, here 1 s."""
    picture = "########..########"
    assert cuts(picture, max_s=1.0) == [(0, 8), (10, 18)]
    assert cuts(picture, max_s=1.6) == [(0, 18)]
    assert cuts(picture.replace("..", "."), max_s=1.0, min_pause_s=0.01) == [(0, 17)]
    assert cuts("##..##..##..##..##..##", max_s=1.0, min_s=0.2) == [(0, 10), (12, 22)]


def price(parts, choice):
    """The cost that `_partition` minimises, by its docstring."""
    half_s, middle_s = (choice.max_s - choice.min_s) / 2, (choice.max_s + choice.min_s) / 2
    lengths_s = [(part[-1][1] - part[0][0]) / 100 + 2 * choice.pad_s for part in parts]
    pauses_s = [(after[0][0] - before[-1][1]) / 100 for before, after in pairwise(parts)]
    if max(lengths_s) > choice.max_s:
        return np.inf
    return sum(((length_s - middle_s) / half_s) ** 2 for length_s in lengths_s) + sum(
        1 - pause_s / choice.merge_gap_s for pause_s in pauses_s
    )


@settings(max_examples=200, deadline=None)
@given(runs=st.lists(st.tuples(st.integers(6, 500), st.integers(10, 69)), min_size=1, max_size=9))
def test_the_partition_has_minimum_cost(runs):
    edges = np.cumsum([n for run in runs for n in run]).tolist()
    chain = list(zip([0, *edges[1::2]], edges[::2], strict=False))
    places = range(1, len(chain))
    ways = [
        [chain[first:last] for first, last in pairwise([0, *cut, len(chain)])]
        for n in range(len(chain))
        for cut in combinations(places, n)
    ]
    found = module._partition(chain, DEFAULTS)
    assert [region for part in found for region in part] == chain
    assert price(found, DEFAULTS) == pytest.approx(min(price(way, DEFAULTS) for way in ways))


def test_a_cut_that_leaves_a_scrap_is_avoided():
    picture = "##..########.########"
    assert cuts(picture, max_s=1.0, min_pause_s=0.01, min_s=0.2)[-1] == (13, 21)


def test_speech_without_pause_is_cut_in_its_longest_dip():
    spans, events = planned("######:####+####:#####", max_s=0.9, min_pause_s=0.11)
    assert len(spans) == 2
    assert spans[0][1] == spans[1][0]
    assert "######:####+####:#####"[int(spans[0][1])] == ":"
    assert (events["split"], events["split_without_pause"]) == (1, 0)


def test_speech_without_any_dip_is_cut_where_it_is_quietest():
    spans, events = planned("########+#######", max_s=0.6)
    assert len(spans) == 2
    assert "########+#######"[int(spans[0][1])] == "+"
    assert events["split_without_pause"] == 1


def test_a_cut_without_a_pause_is_marked_on_both_sides():
    assert forced_cuts("########+#######", max_s=0.6) == ["end", "start"]
    assert forced_cuts("######:####+####:#####", max_s=0.9, min_pause_s=0.11) == [None, None]
    assert forced_cuts("#" * 40, max_s=0.6)[1:-1] == ["both"] * (len(cuts("#" * 40, max_s=0.6)) - 2)


def test_cuts_are_not_at_fixed_intervals():
    """The cut follows the only quiet spot."""
    for quiet in range(5, 15):
        picture = "#" * quiet + "+" + "#" * (20 - quiet)
        assert int(cuts(picture, max_s=0.8)[0][1]) == quiet


def test_padding_reaches_into_silence_up_to_the_middle_of_a_pause():
    spans = cuts("....####...####....", pad_s=0.1)
    (a, b), (c, d) = spans
    assert 2 <= a <= 3 and 16 <= d <= 17
    assert b <= 9.5 <= c
    assert 8 < b and c < 11


def test_padding_ends_at_the_quietest_point():
    frames = pictured("....####........")
    levels = frames.levels.copy()
    levels[8 * WIDTH : 12 * WIDTH] = -50.0  # an echo after the speech ...
    levels[47:50] = -80.0  # ... that has decayed here
    frames = replace(frames, levels=levels)
    choice = replace(SMALL, pad_s=0.2)
    [(_, end)], *_ = plan(speech_regions(frames, choice), frames, choice)
    assert end in range(47, 52)


def test_short_segments_are_extended_into_the_silence_around(caplog):
    caplog.set_level("INFO")
    assert cuts("........##........", min_s=0.4) == [(5, 13)]
    assert cuts("##................", min_s=0.4) == [(0, 8)]
    assert cuts("................##", min_s=0.4) == [(10, 18)]
    assert planned("........##........", min_s=0.4)[1]["extended"] == 1
    assert re.search(r"extended the segment at 0\.\d\d s from 0\.\d\d s to 0\.40 s", caplog.text)


def test_extension_does_not_touch_a_neighbour():
    spans, events = planned("..###########...##...###########..", min_s=0.5)
    (_, before), (start, end), (after, _) = spans
    assert before < start < 16 and 18 < end < after
    assert start >= 14.5 and end <= 19.5
    assert (events["extended"], events["short"]) == (1, 1)


def test_two_extended_neighbours_do_not_touch():
    (_, end), (start, _) = cuts("##....##", min_s=1.0)
    assert end < start


def test_short_pieces_are_dropped_but_bound_their_neighbours():
    frames = pictured("..####......##.....")
    choice = replace(SMALL, drop_below_s=0.15, min_sound_s=0.01, min_s=2.0)
    spans, forced, dropped, events = plan(speech_regions(frames, choice), frames, choice)
    assert events["dropped"] == 1
    assert dropped == [(12 * WIDTH, 14 * WIDTH)]
    assert len(spans) == 1 and spans[0][1] < 9 * WIDTH


@pytest.mark.parametrize(
    "picture, found",
    [
        ("..#.............####..", [(16, 20)]),  # a click
        ("..#-------------####..", [(13, 20)]),  # with breath, except a possible consonant
        ("..--..####...-.......--..", [(3, 4), (6, 10), (13, 14)]),  # consonants around a vowel
        ("..----------..####.......", [(11, 12), (14, 18)]),
    ],
)
def test_clicks_and_breath_before_speech_are_removed(picture, found):
    frames, choice = pictured(picture), replace(SMALL, min_sound_s=0.01)
    regions = speech_regions(frames, choice)
    assert [(start / WIDTH, end / WIDTH) for start, end in regions] == found


def test_tiny_recordings():
    assert cuts(".") == []
    assert cuts("....") == []
    assert cuts("##", min_s=1.0, pad_s=0.2) == [(0, 2)]
    assert planned("##", min_s=1.0)[1]["short"] == 1


def test_limits_without_room_for_a_cut_are_rejected():
    with pytest.raises(UserError, match=r"segment\.max_s: 2, expected at least 2\.3 "):
        replace(DEFAULTS, max_s=2.0)


runs_of_frames = st.lists(
    st.tuples(st.integers(1, 200), st.integers(1, 120)), min_size=0, max_size=25
)
choices = st.builds(
    lambda least, most, gap, pad, drop: replace(
        SMALL,
        min_s=least,
        max_s=2 * least + 2 * pad + most,
        merge_gap_s=gap,
        pad_s=pad,
        drop_below_s=drop,
    ),
    *(st.floats(0, 1.0), st.floats(0.21, 2), st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.3)),
)


@settings(max_examples=300, deadline=None)
@given(runs=runs_of_frames, tail=st.integers(0, 100), choice=choices, seed=st.integers(0, 1000))
def test_invariants_of_every_plan(runs, tail, choice, seed):
    flags = np.concatenate(
        [np.zeros(0, bool), *([False] * gap + [True] * n for gap, n in runs), np.zeros(tail, bool)]
    ).astype(bool)
    levels = np.where(flags, -25, -65) + np.random.default_rng(seed).normal(0, 5, len(flags))
    frames = Frames(levels.astype(np.float32), flags, RATE_HZ, len(flags) * RATE_HZ // 100)
    if not len(flags):
        return
    regions = speech_regions(frames, choice)
    spans, forced, dropped, events = plan(regions, frames, choice)

    assert spans == sorted(spans)
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    assert not spans or (spans[0][0] >= 0 and spans[-1][1] <= len(flags))

    assert len(forced) == len(spans)
    assert events["split_without_pause"] * 2 >= sum(
        {"both": 2, "start": 1, "end": 1}.get(side, 0) for side in forced
    )
    # all speech is either in a segment or dropped, never both
    covered, left_out = np.zeros((2, len(flags)), int)
    for start, end in spans:
        covered[start:end] += 1
    for start, end in dropped:
        left_out[start:end] += 1
    for start, end in regions:
        assert np.all(covered[start:end] + left_out[start:end] == 1)

    most, least = round(choice.max_s * 100), round(choice.min_s * 100)
    assert all(end - start <= max(most, least) for start, end in spans)
    assert sum(end - start < least for start, end in spans) == events["short"]

    # no edge is beyond the middle of the pause to the next speech, kept or dropped
    bounds = sorted({*regions})
    for start, end in spans:
        before = [e for _, e in bounds if e <= start]
        after = [s for s, _ in bounds if s >= end]
        inside = [r for r in bounds if r[0] < end and r[1] > start]
        if before and inside and inside[0][0] >= start:
            assert start - before[-1] >= inside[0][0] - start - 1
        if after and inside and inside[-1][1] <= end:
            assert after[0] - end >= end - inside[-1][1] - 1


@pytest.mark.parametrize(
    "seconds, events, words",
    [
        ([4.0] * 9 + [0.5], {"regions": 12, "segments": 10}, None),
        (
            [4.0] * 5 + [0.5] * 5,
            {},
            "5 of 10 .* shorter than segment.min_s = 1: a larger",
        ),
        ([20.0] * 5, {}, "5 of 5 segments are longer than segment.max_s = 10: their spans came"),
        ([1.5] * 5, {}, "are 1.50 s long on average, .*: a larger segment.merge_gap_s joins"),
        ([4.0] * 5, {"extended": 2, "segments": 5}, "2 of 5 .* extended .*: a larger merge_gap_s"),
        ([4.0] * 5, {"regions": 51, "segments": 5}, "51 .* made 5 .*: a larger segment.min_pause"),
        ([4.0] * 5, {"split_without_pause": 3, "segments": 5}, "3 cuts found no pause: a larger"),
        ([4.0] * 5, {"dropped": 9, "segments": 5}, "9 .*too short to be speech.*energy_share"),
        ([4.0], {"extended": 1, "segments": 1}, None),
        ([0.9] * 4, {}, "4 segments are few, 4 of 40 s: .*, a smaller segment.energy_share"),
        ([], {}, None),
    ],
)
def test_unusual_segment_statistics_are_reported_with_the_setting_to_change(seconds, events, words):
    """S4-69 ... S4-71."""
    recorded_s = 40.0 if seconds else 0.0
    line, concerns = summary(seconds, events, recorded_s, [], replace(DEFAULTS, max_s=10.0))
    assert line.startswith(f"{len(seconds)} segments, ")
    assert len(concerns) == (words is not None)
    assert not words or re.search(words, concerns[0])


@pytest.mark.parametrize(
    "engine, advice",
    [
        ("webrtcvad", "aggressiveness .*engine: silero"),
        ("silero", "onset"),
        ("auto", "onset, offset or aggressiveness"),
    ],
)
def test_recordings_without_speech_are_reported_with_the_setting_to_change(engine, advice):
    choice = replace(DEFAULTS, engine=engine)
    silent = ["a.wav", "b.wav", "c.wav", "d.wav"]
    [concern] = summary([], {"regions": 0, "segments": 0}, 60.0, silent, choice)[1]
    assert re.search(rf"no speech .* in a.wav, b.wav, c.wav \.\.\. \(4\): .*{advice}", concern)


def voice(seconds, seed=0):
    """A signal with the pitch, formants and syllables of speech."""
    rng = np.random.default_rng(seed)
    n = round(seconds * RATE_HZ)
    pitch_hz = 120 + 15 * np.sin(2 * np.pi * 0.7 * np.arange(n) / RATE_HZ)
    phase = np.cumsum(pitch_hz) / RATE_HZ
    source = np.diff(np.floor(phase), prepend=0) + 0.01 * rng.standard_normal(n)
    for hz, width_hz in ((600, 80), (1300, 100), (2500, 150)):
        radius = np.exp(-np.pi * width_hz / RATE_HZ)
        angle = 2 * np.pi * hz / RATE_HZ
        source = signal.lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], source)
    syllables = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * np.arange(n) / RATE_HZ)
    return 0.3 * syllables * source / np.abs(source).max()


def spoken(*stretches, noise_db=-65.0, seed=1):
    """`(pause_s, speech_s)` pairs, and a pause of 1 s at the end, in room noise."""
    parts = []
    for i, (pause_s, speech_s) in enumerate(stretches):
        parts += [np.zeros(round(pause_s * RATE_HZ)), voice(speech_s, i)]
    clean = np.concatenate([*parts, np.zeros(RATE_HZ)])
    noise = np.random.default_rng(seed).standard_normal(len(clean))
    return clean + 10 ** (noise_db / 20) * noise


def segmented(folder, samples, choice=DEFAULTS, clipped=()):
    soundfile.write(folder / "a.flac", samples, RATE_HZ, subtype="PCM_16")
    return segment(folder / "a.flac", choice, clipped)


def test_a_recording_from_end_to_end(tmp_path):
    result = segmented(tmp_path, spoken((1.0, 2.0), (1.2, 0.6), (0.3, 1.5), (2.0, 0.4)))
    ends_s = np.array(result.spans) / RATE_HZ
    expected_s = [(1.0, 3.0), (4.2, 6.6), (8.6, 9.0)]
    assert len(ends_s) == 3
    for (start, end), (first, last) in zip(ends_s, expected_s, strict=True):
        assert first - 0.4 < start < first
        assert last < end < last + 0.4
    assert ends_s[2][1] - ends_s[2][0] == pytest.approx(1.0)  # extended
    assert result.events["merged"] == 1 and result.events["extended"] == 1
    for measure in result.measures[:2]:
        assert -30 < measure["level_db"] < -10
        assert 0 < measure["silence_share"] < 0.4
    assert result.measures[2]["silence_share"] > 0.4


def test_noise_alone_is_not_speech(tmp_path):
    """Although webrtcvad alone detects some."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(20 * RATE_HZ)
    noise = signal.lfilter([1], [1, -0.9], noise) * 0.3
    result = segmented(tmp_path, noise)
    assert result.spans == []
    assert result.speech == []


def test_speech_in_changing_noise(tmp_path):
    """The floor follows the room: 20 dB more noise in the second half."""
    quiet, loud = spoken((1, 3), (1, 3), seed=1), spoken((1, 3), (1, 3), noise_db=-45, seed=2)
    steady = segmented(tmp_path, np.concatenate([quiet] * 8))
    changing = segmented(tmp_path, np.concatenate([quiet] * 4 + [loud] * 4))
    assert len(steady.spans) == len(changing.spans) == 16
    offsets_s = np.abs(np.array(steady.spans) - np.array(changing.spans)) / RATE_HZ
    assert np.median(offsets_s) < 0.1


def test_digital_silence_and_one_sample(tmp_path):
    assert segmented(tmp_path, np.zeros(RATE_HZ)).spans == []
    assert segmented(tmp_path, np.zeros(1)).spans == []


def test_clipped_share(tmp_path):
    samples = spoken((1.0, 2.0))
    [span] = segmented(tmp_path, samples).spans
    first = span[0] // 240
    n_frames = (span[1] - span[0]) // 240
    result = segmented(tmp_path, samples, clipped=[[0, 5], [first + 10, 20]])
    assert result.measures[0]["clipped_share"] == pytest.approx(20 / n_frames, abs=1e-3)


def test_whole_recordings(tmp_path):
    samples = spoken((1.0, 2.0), (1.5, 2.0))
    soundfile.write(tmp_path / "a.flac", samples, RATE_HZ, subtype="PCM_16")
    assert whole(tmp_path / "a.flac", DEFAULTS, [], trim=False).spans == [[0, len(samples)]]
    [[start, end]] = whole(tmp_path / "a.flac", DEFAULTS, [], trim=True).spans
    assert start / RATE_HZ == pytest.approx(0.85, abs=0.05)
    assert end / RATE_HZ == pytest.approx(6.65, abs=0.15)
    soundfile.write(tmp_path / "b.flac", np.zeros(5000), RATE_HZ, subtype="PCM_16")
    assert whole(tmp_path / "b.flac", DEFAULTS, [], trim=True).spans == [[0, 5000]]


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100])
def test_any_corpus_rate(tmp_path, rate_hz):
    samples = spoken((1.0, 2.0), (1.5, 2.0))
    samples = soxr.resample(samples, RATE_HZ, rate_hz)
    soundfile.write(tmp_path / "a.flac", samples, rate_hz, subtype="PCM_16")
    result = segment(tmp_path / "a.flac", DEFAULTS, [])
    starts_s = [start / rate_hz for start, _ in result.spans]
    assert starts_s == pytest.approx([0.89, 4.39], abs=0.05)
    assert result.spans[-1][1] <= result.n_samples == len(samples)


def test_results_do_not_depend_on_blocks_and_only_blocks_are_in_memory(tmp_path, monkeypatch):
    samples = spoken((1.0, 2.0), (1.2, 0.6), (2.0, 3.0))
    whole_file = segmented(tmp_path, samples)
    sizes, levels_db = [], vad.levels_db
    monkeypatch.setattr(module, "BLOCK_S", 1)
    monkeypatch.setattr(
        vad, "levels_db", lambda x, rate: (sizes.append(len(x)), levels_db(x, rate))[1]
    )
    assert segmented(tmp_path, samples) == whole_file
    assert max(sizes) == RATE_HZ


def test_golden(tmp_path):
    """If this fails because results changed, raise VERSION and update the numbers."""
    lone = [(0.5, 2.0), (0.9, 0.5), (0.3, 1.5), (1.0, 18.0), (1.0, 0.25)]
    samples = spoken(*lone, (1.0, 4.0), (0.5, 4.0))
    result = segmented(tmp_path, samples, replace(DEFAULTS, max_s=10.0))
    assert module.VERSION == 6
    assert [[start // 240, end // 240] for start, end in result.spans] == [
        *([42, 262], [330, 585], [656, 1338], [1338, 1938], [1938, 2485]),
        *([2685, 3106], [3130, 3553]),
    ]
    assert result.dropped == [[616_800, 622_800]]
    assert result.events == {
        **{"regions": 7, "segments": 7, "merged": 1, "split": 3, "split_without_pause": 2},
        **{"extended": 0, "short": 0, "dropped": 1},
    }
    assert result.measures[1] == pytest.approx(
        {"level_db": -25.85, "silence_share": 0.2157, "clipped_share": 0.0}, abs=0.02
    )


DEMO = ROOT / "resources/demo/recordings/anna/garden.flac"


def test_golden_of_silero():
    """Fails if the network or its postprocessing changes; only the latter raises VERSION."""
    result = segment(DEMO, replace(DEFAULTS, engine="silero"), [])
    assert module.VERSION == 6
    assert sha256_file(silero.model_path())[:16] == "9ccdacc4719d8aa7"
    hundredths = [[edge * 100 // result.rate_hz for edge in span] for span in result.spans]
    assert " ".join(f"{start}-{end}" for start, end in hundredths) == (
        "70-380 464-748 852-1134 1240-1542 1612-1890 1970-2278 2338-2648 2746-3032 3128-3376 "
        "3478-3782 3848-4178 4254-4550 4610-4932 5002-5264 5350-5680 5818-6120"
    )
    assert Counter(result.events) == Counter(regions=18, merged=2, segments=16)


@pytest.fixture(scope="module")
def expected():
    engines = module.OF_ENGINE
    return {engine: segment(DEMO, replace(DEFAULTS, engine=engine), []) for engine in engines}


@settings(max_examples=10, deadline=None)
@given(block_s=st.integers(1, 40), engine=st.sampled_from(["webrtcvad", "silero", "auto"]))
def test_segments_are_the_same_in_blocks_of_any_size_and_any_time(expected, block_s, engine):
    with mock.patch.object(module, "BLOCK_S", block_s):
        assert segment(DEMO, replace(DEFAULTS, engine=engine), []) == expected[engine]


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 9000), max_size=12), frame_ms=st.sampled_from([10, 20, 30]))
def test_webrtcvad_flags_do_not_depend_on_block_size(sizes, frame_ms):
    samples = np.round(at_16_khz(DEMO)[:30_000] * 32767).astype(np.int16)
    one, many = vad.WebRtcVad(2, frame_ms), vad.WebRtcVad(2, frame_ms)
    blocks = np.split(samples, np.minimum(np.cumsum(sizes, dtype=int), len(samples)))
    flags = np.concatenate([*(many.update(block) for block in blocks), many.finish()])
    assert flags.tolist() == [*one.update(samples).tolist(), *one.finish().tolist()]


@pytest.mark.parametrize(
    "engine, other", [("webrtcvad", {"onset": 0.6}), ("silero", {"aggressiveness": 3})]
)
def test_settings_of_another_engine_do_not_change_the_key(engine, other):
    choice = replace(DEFAULTS, engine=engine)
    before = module.identity(choice)
    assert module.identity(replace(choice, **other)) == before
    for own in module.OF_ENGINE[engine]:
        assert module.identity(replace(choice, **{own: 0})) != before
    assert module.identity(replace(choice, min_s=1.1)) != before


def test_onnxruntime_is_loaded_only_for_the_network():
    code = "import sys, voicekiln.audio.segment; sys.exit('onnxruntime' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT / "workflow/scripts", check=True)


LABELLED = {
    "am": "long/am_spk098_session",
    "de": "long/de_kerstin_session",
    "en": "long/en_lj_001-0019_0032",
    "ami": "vad/ami_dev00",
    "sb": "vad/sb_vad_train",
}
SESSIONS = ["am", "de", "en"]
MAX_CUT = {
    "webrtcvad": 0,
    "auto": 0,
    "silero": 3,
}  # of a session's takes


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """name, engine -> normalised FLAC, labelled speech in seconds, segments; cached."""
    made = {}

    def get(shared_data, name, engine="webrtcvad"):
        if (name, engine) not in made:
            [source] = [
                path
                for suffix in (".flac", ".wav")
                if (path := shared_data / f"{LABELLED[name]}{suffix}").exists()
            ]
            target = tmp_path_factory.mktemp("labelled") / f"{name}.flac"
            clipped = normalize(source, target, NORMALIZE).clipped
            result = segment(target, replace(DEFAULTS, engine=engine), clipped)
            made[name, engine] = target, labels(source), result
        return made[name, engine]

    return get


def at_16_khz(flac):
    return soxr.resample(*soundfile.read(flac, dtype="float32"), 16_000)


def plain_webrtcvad(flac):
    """Flags of webrtcvad alone."""
    detector = vad.WebRtcVad(DEFAULTS.aggressiveness, DEFAULTS.frame_ms)
    flags = detector.update(np.round(at_16_khz(flac) * 32767).astype(np.int16))
    return np.concatenate([flags, detector.finish()])


def plain_silero(flac):
    """Flags of silero-vad's own `get_speech_timestamps` with its defaults."""
    samples = at_16_khz(flac)
    found = get_speech_timestamps_sequence(samples, SileroVADSequence(silero.model_path()))
    return flags(
        [(span["start"] / 16_000, span["end"] / 16_000) for span in found], len(samples) / 16_000
    )


@pytest.mark.parametrize("name", LABELLED)
def test_frames_beat_the_plain_engines_on_real_speech(shared_data, labelled, name):
    scores = {}
    for engine, plain in (("webrtcvad", plain_webrtcvad), ("silero", plain_silero)):
        flac, takes, result = labelled(shared_data, name, engine)
        alone = plain(flac)
        found = flags(np.array(result.speech) / RATE_HZ, len(alone) / 100)[: len(alone)]
        scores[engine] = frame_scores(found, takes)
        scores[f"plain {engine}"] = frame_scores(alone, takes)
    for way, (f1, missed) in scores.items():
        print(f"{name:4} {way:16} frame F1 {f1:.4f}, missed {100 * missed:.2f} %")
    assert scores["webrtcvad"][0] >= scores["plain webrtcvad"][0]
    assert scores["silero"][0] >= scores["plain silero"][0] - 0.002
    f1, missed = scores["webrtcvad"]
    assert f1 >= scores["plain silero"][0]
    assert missed < (0.05 if name == "sb" else 0.01)


@pytest.mark.parametrize("engine", ["webrtcvad", "silero", "auto"])
@pytest.mark.parametrize("name", SESSIONS)
def test_no_take_is_cut_inside_its_speech(shared_data, labelled, name, engine):
    _, takes, result = labelled(shared_data, name, engine)
    edges_s = [edge / RATE_HZ for span in result.spans for edge in span]
    cut = [edge for edge in edges_s if any(start < edge < end for start, end in takes)]
    errors_s = boundary_errors_s(np.array(result.speech) / RATE_HZ, takes)
    most_s = np.percentile(errors_s, 90)
    print(
        f"{name} {engine}: {len(takes)} takes, {len(result.spans)} segments, cut takes {len(cut)},"
        f" boundary error {1000 * np.median(errors_s):.0f} ms (median),"
        f" {1000 * most_s:.0f} ms (90 %)"
    )
    assert len(cut) <= MAX_CUT[engine]
    assert np.median(errors_s) < (0.07 if engine == "silero" else 0.05)
    lengths_s = [(end - start) / RATE_HZ for start, end in result.spans]
    assert DEFAULTS.min_s <= min(lengths_s) and max(lengths_s) <= DEFAULTS.max_s


def test_readings_fall_into_well_filled_segments(shared_data, tmp_path):
    lengths_s, cut_pauses_s, forced = [], [], []
    for source in sorted((shared_data / "long").glob("*.mp3")):
        clipped = normalize(source, tmp_path / "a.flac", NORMALIZE).clipped
        result = segment(tmp_path / "a.flac", DEFAULTS, clipped)
        lengths_s += [(end - start) / RATE_HZ for start, end in result.spans]
        forced += result.forced
        inside = [
            {i for i, speech in enumerate(result.speech) if a <= speech[0] < b}
            for a, b in result.spans
        ]
        for before, after in pairwise(inside):
            last, first = result.speech[max(before)], result.speech[min(after)]
            cut_pauses_s.append((first[0] - last[1]) / RATE_HZ)
    bins = (0, 3, 5, 8, 10, 12, 15)
    for low, high in pairwise(bins):
        n = sum(low < seconds <= high for seconds in lengths_s)
        print(f"{low:2} ... {high:2} s: {n}")
    print(f"{len(lengths_s)} segments, {np.mean(lengths_s):.2f} s on average", end="; ")
    print(f"cut at pauses of {min(cut_pauses_s):.2f} s and more")
    filled = np.mean([3 <= seconds <= 10 for seconds in lengths_s])
    assert filled > 0.6 and max(lengths_s) <= DEFAULTS.max_s
    assert not any(forced) and min(cut_pauses_s) > 0.3


@pytest.mark.parametrize("snr_db", [None, 30, 20, 10])
def test_removing_clicks_and_breath_keeps_all_speech(shared_data, tmp_path, monkeypatch, snr_db):
    """Compared with the same without `with_vowels`, as recorded and in noise."""
    rng = np.random.default_rng(0)
    for name in LABELLED:
        [source] = (shared_data / "vad").parent.glob(f"{LABELLED[name]}.[fw]*")
        normalize(source, tmp_path / "a.flac", NORMALIZE)
        samples, rate_hz = soundfile.read(tmp_path / "a.flac")
        if snr_db is not None:
            noise = signal.lfilter([1], [1, -0.9], rng.standard_normal(len(samples)))
            samples = samples + noise * samples.std() / noise.std() * 10 ** (-snr_db / 20)
            soundfile.write(tmp_path / "a.flac", samples.clip(-1, 1), rate_hz, subtype="PCM_16")
        scores = {}
        for way, rule in (("with", vad.with_vowels), ("without", lambda regions, levels: regions)):
            with monkeypatch.context() as patch:
                patch.setattr(vad, "with_vowels", rule)
                speech = segment(tmp_path / "a.flac", DEFAULTS, []).speech
            found = flags(np.array(speech) / rate_hz, len(samples) / rate_hz)
            scores[way] = frame_scores(found, labels(source))
        (f1, missed), (f1_before, missed_before) = scores["with"], scores["without"]
        print(f"{snr_db} dB {name}: {f1_before:.4f} -> {f1:.4f}")
        assert f1 > f1_before - 5e-4 and missed < missed_before + 2e-3


def test_the_samples_that_the_detector_read_are_hashed_without_a_second_read(tmp_path, monkeypatch):
    flac = tmp_path / "a.flac"
    pause = np.zeros(RATE_HZ)
    samples = np.concatenate([voice(3), pause, voice(4, seed=1)])
    soundfile.write(flac, (samples * 32767).astype(np.int16), RATE_HZ)
    held = segment(flac, DEFAULTS, [])
    assert held.spans and len(held.samples) == len(samples)
    hashes = pcm_hashes(flac, held.spans, held.samples)
    assert len(set(hashes)) == len(held.spans)
    monkeypatch.setattr(module, "MAX_HELD_S", 5)
    again = segment(flac, DEFAULTS, [])
    assert again == held and again.samples is None
    assert pcm_hashes(flac, held.spans) == hashes
    for samples in (held.samples, None):
        with pytest.raises(EOFError, match=f"ends before sample {len(held.samples) + 9}"):
            pcm_hashes(flac, [[0, len(held.samples) + 9]], samples)
