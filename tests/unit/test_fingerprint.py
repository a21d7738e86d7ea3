"""Copies of a recording are found, without false matches."""

import csv
import io
from collections import defaultdict

import av
import numpy as np
import pytest
import soxr
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from voicekiln.audio import decode
from voicekiln.audio.fingerprint import FRAMES_PER_S, fingerprint
from voicekiln.search.fingerprints import LOOK_UPS, Fingerprints, find_copies
from workflow_runner import sentences

RATE_HZ = 24_000
MAX_DISTANCE = 0.3
MIN_S = 1.5


def samples_of(path):
    """`[n]` float32 mono at 24 kHz."""
    with decode.stream(path) as audio:
        mono = np.concatenate([block.mean(axis=1) for block in audio.blocks])
        return soxr.resample(mono, audio.rate_hz, RATE_HZ).astype(np.float32)


@pytest.fixture(scope="module")
def clips():
    """Sentences of the demo, cut from its recordings."""
    found = []
    for name in ("anna/garden.flac", "ben/station.flac"):
        whole = samples_of(ROOT / "resources/demo/recordings" / name)
        rows = sentences().drop_duplicates("text")  # one sentence occurs twice, sample by sample
        for row in rows[rows["recording"] == name].itertuples():
            if row.end_s - row.start_s >= MIN_S:
                found.append(whole[round(row.start_s * RATE_HZ) : round(row.end_s * RATE_HZ)])
    return found


def coded(samples, container, codec, bit_rate):
    """Samples after encoding and decoding by a lossy codec."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=RATE_HZ, bit_rate=bit_rate, layout="mono")
        pcm = (np.clip(samples, -1, 1) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        resampler = av.AudioResampler(stream.format, "mono", RATE_HZ, stream.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            out.mux(stream.encode(part))
    file.seek(0)
    with av.open(file) as back:
        parts = [frame.to_ndarray()[0].astype(np.float32) for frame in back.decode(audio=0)]
        rate_hz = back.streams.audio[0].rate
    return soxr.resample(np.concatenate(parts), rate_hz, RATE_HZ)


def noisy(samples, snr_db):
    noise = np.random.default_rng(0).normal(0, 1, len(samples))
    return samples + noise * np.sqrt(np.mean(samples**2)) * 10 ** (-snr_db / 20)


ALTERED = {
    "mp3": lambda x: coded(x, "mp3", "libmp3lame", 48_000),
    "opus": lambda x: coded(x, "ogg", "libopus", 24_000),
    "gain": lambda x: 0.05 * x,
    "8 bit": lambda x: np.round(x * 100) / 100,
    "telephone": lambda x: soxr.resample(soxr.resample(x, RATE_HZ, 8000), 8000, RATE_HZ),
    "noise": lambda x: noisy(x, 20),
    "trimmed": lambda x: x[round(0.31 * RATE_HZ) : -round(0.2 * RATE_HZ)],
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_copy_is_found_and_nothing_else(clips, name):
    both = [*clips, *(ALTERED[name](clip) for clip in clips)]
    prints = [fingerprint(np.asarray(clip, np.float32), RATE_HZ) for clip in both]
    i, j, distance, _ = find_copies(Fingerprints.of(prints), MAX_DISTANCE)
    truth = i + len(clips) == j
    assert truth.sum() >= (0.9 if name == "noise" else 0.95) * len(clips)
    assert (distance <= MAX_DISTANCE).all()
    assert truth.all(), "other clips are taken for copies"


def test_a_fingerprint_has_43_frames_per_second_and_at_least_one():
    draw = np.random.default_rng(0)
    for seconds in (0.0, 0.01, 0.5, 10.0):
        samples = draw.normal(0, 0.1, round(seconds * RATE_HZ)).astype(np.float32)
        print_ = fingerprint(samples, RATE_HZ)
        assert print_.dtype == np.uint32
        assert len(print_) == pytest.approx(max(1, (seconds - 0.37) * FRAMES_PER_S), abs=2)


def test_a_part_is_a_copy_only_with_partial():
    whole = np.random.default_rng(0).integers(1, 1 << 32, 200, np.uint32)
    for n, alone in ((150, True), (100, False)):
        prints = [whole, whole[30 : 30 + n]]
        assert len(find_copies(Fingerprints.of(prints), MAX_DISTANCE)[0]) == alone
        assert len(find_copies(Fingerprints.of(prints), MAX_DISTANCE, partial=True)[0]) == 1


def test_silence_is_not_a_copy_of_silence():
    prints = [fingerprint(np.zeros(2 * RATE_HZ, np.float32), RATE_HZ)] * 2
    assert len(find_copies(Fingerprints.of(prints), MAX_DISTANCE)[0]) == 0


@given(st.lists(st.integers(0, 3), max_size=8))
def test_pairs_are_sorted_and_unique(which):
    draw = np.random.default_rng(0)
    kinds = draw.integers(1, 1 << 32, (4, 50), np.uint32)
    i, j, distance, _ = find_copies(Fingerprints.of([kinds[k] for k in which]), MAX_DISTANCE)
    expected = [
        (a, b) for a in range(len(which)) for b in range(a + 1, len(which)) if which[a] == which[b]
    ]
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == expected
    assert not distance.any()


def test_a_copy_is_found_by_its_rare_frames_among_clips_that_share_all_others():
    draw = np.random.default_rng(0)
    common = draw.integers(1, 1 << 32, 120, np.uint32)
    clips = [common.copy() for _ in range(LOOK_UPS + 100)]
    for clip in clips:
        clip[draw.permutation(120)[:70]] = draw.integers(1, 1 << 32, 70, np.uint32)
    clips.append(clips[-1][3:])
    i, j, *_ = find_copies(Fingerprints.of(clips), 0.1)
    assert list(zip(i, j, strict=True)) == [(len(clips) - 2, len(clips) - 1)]


def test_each_of_very_many_copies_is_paired_with_the_first():
    clip = np.random.default_rng(0).integers(1, 1 << 32, 60, np.uint32)
    n = 2 * LOOK_UPS
    i, j, *_ = find_copies(Fingerprints.of([clip] * n), MAX_DISTANCE)
    assert set(j[i == 0].tolist()) == set(range(1, n))


def test_only_queries_are_looked_up():
    kinds = np.random.default_rng(0).integers(1, 1 << 32, (2, 60), np.uint32)
    prints = Fingerprints.of([kinds[k] for k in (0, 1, 0, 1, 0)] + [None])
    i, j, *_ = find_copies(prints, MAX_DISTANCE, queries=np.array([2]))
    assert list(zip(i, j, strict=True)) == [(0, 2), (2, 4)]
    some = prints[np.array([4, 3, 2])]
    assert [list(x) for x in find_copies(some, MAX_DISTANCE)[:2]] == [[0], [2]]


@pytest.mark.slow
def test_the_copies_among_real_recordings_are_found(shared_data):
    """dedup_groups.tsv: groups of files of the same recording, in other formats and lengths."""
    with open(shared_data / "dedup_groups.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    groups = defaultdict(set)
    for row in rows:
        groups[row["group"]].add(row["path"])
    paths = sorted({path for paths in groups.values() for path in paths})
    prints = [fingerprint(samples_of(shared_data / path), RATE_HZ) for path in paths]
    i, j, *_ = find_copies(Fingerprints.of(prints), MAX_DISTANCE)
    found = {(paths[a], paths[b]) for a, b in zip(i, j, strict=True)}
    truth = {(a, b) for group in groups.values() for a in group for b in group if a < b}
    print(f"{len(found & truth)} of {len(truth)} pairs found, {len(found - truth)} others")
    assert not found - truth
    assert len(found & truth) >= 0.95 * len(truth)


SESSIONS = ("long/de_kerstin_session.flac", "long/en_lj_001-0019_0032.flac")


def windows(path, n, draw):
    """Clips of 2 to 9 s from random places of a recording, to the sample, at random levels."""
    samples = samples_of(path)
    found = []
    for _ in range(n):
        length = int(draw.integers(2 * RATE_HZ, 9 * RATE_HZ))
        start = int(draw.integers(0, len(samples) - length))
        clip = samples[start : start + length] * draw.uniform(0.1, 1)
        found.append((path, start, start + length, fingerprint(clip, RATE_HZ)))
    return found


def test_windows_of_one_recording_share_any_stretch_above_half_a_second_c13(shared_data):
    draw = np.random.default_rng(0)
    cut = [window for name in SESSIONS for window in windows(shared_data / name, 60, draw)]
    found = find_copies(Fingerprints.of(window[3] for window in cut), MAX_DISTANCE, partial=True)
    offsets_s = {(i, j): n / FRAMES_PER_S for i, j, n in zip(*found[:2], found.offset, strict=True)}
    missed, together = [], 0
    for j in range(len(cut)):
        for i in range(j):
            (a, *first, _), (b, *second, _) = cut[i], cut[j]
            shared_s = (min(first[1], second[1]) - max(first[0], second[0])) / RATE_HZ
            if a != b or shared_s < 0.3:
                assert (i, j) not in offsets_s
            elif (i, j) in offsets_s:
                away_s = (second[0] - first[0]) / RATE_HZ
                assert offsets_s[i, j] == pytest.approx(away_s, abs=0.05)
                together += 1
            elif shared_s > 0.5:
                missed.append(shared_s)
    print(f"{together} pairs found, missed: {np.round(sorted(missed), 2)} s")
    assert together > 250 and all(shared_s < 0.6 for shared_s in missed) and len(missed) < 5
