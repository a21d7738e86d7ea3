"""What is measured of each segment: noise, bandwidth, pitch."""

from types import SimpleNamespace

import measure as script
import numpy as np
import pytest
import soundfile
import soxr
from corpus_rows import segment, table
from hypothesis import given, settings
from hypothesis import strategies as st
from voicekiln.audio import decode, measures, vad
from voicekiln.audio.pitch import voiced_pitch_hz
from voicekiln.corpus import measure as module
from voicekiln.corpus.measure import measure, stretches
from voicekiln.errors import UserError
from voicekiln.store import tables
from voicekiln.store.items import Store

RATE_HZ = 24_000


def decoded(path, rate_hz=RATE_HZ):
    """`[n]` float32 mono of a file at `rate_hz`, without offset."""
    with decode.stream(path) as audio:
        samples = np.concatenate(list(audio.blocks)).mean(axis=1)
        samples = soxr.resample(samples, audio.rate_hz, rate_hz)
    return (samples - samples.mean()).astype(np.float32)


def levels(samples, rate_hz=RATE_HZ):
    return vad.levels_db(np.rint(samples * 32767).clip(-32768, 32767).astype(np.int16), rate_hz)


def stored(folder, samples):
    """A store of normalised audio with one recording, and its key."""
    store = Store(folder, "normalize")
    key = store.key(content="a")
    part = store.workfile(key, "flac")
    soundfile.write(part, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
    store.put(key, {}, flac=part)
    return store, key


def voice(pitch_hz, seconds=1.5, noise=0.0, seed=0):
    """A buzz with the harmonics of a voice and a syllable's rise and fall, in noise."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    harmonics = np.arange(1, int(3500 / pitch_hz) + 1)[:, None]
    buzz = (np.sin(2 * np.pi * harmonics * pitch_hz * t) / harmonics).sum(axis=0)
    buzz *= 0.1 * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))
    return (buzz + noise * np.random.default_rng(seed).normal(size=len(t))).astype(np.float32)


@pytest.mark.parametrize("pitch_hz", [75, 110, 220, 331, 440])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_pitch_of_a_voice_is_found_to_two_percent_also_in_noise(pitch_hz, noise):
    found = voiced_pitch_hz(voice(pitch_hz, noise=noise), RATE_HZ)
    assert len(found) > 20
    assert np.median(found) == pytest.approx(pitch_hz, rel=0.02)


def test_noise_and_silence_have_no_pitch():
    noise = np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ).astype(np.float32)
    assert len(voiced_pitch_hz(noise, RATE_HZ)) < module.MIN_VOICED
    assert len(voiced_pitch_hz(np.zeros(RATE_HZ, np.float32), RATE_HZ)) == 0
    assert len(voiced_pitch_hz(np.zeros(100, np.float32), RATE_HZ)) == 0


def test_pitch_of_real_voices_is_that_of_their_speakers(shared_data):
    medians = {
        folder: [
            np.median(voiced_pitch_hz(decoded(path), RATE_HZ))
            for path in sorted((shared_data / folder).iterdir())[:6]
        ]
        for folder in ("en_lj/wavs", "am_spk098/wavs")
    }
    assert all(190 < value < 260 for value in medians["en_lj/wavs"])
    assert all(110 < value < 135 for value in medians["am_spk098/wavs"])


@pytest.mark.parametrize("snr_db", [5, 10, 15, 20])
def test_snr_of_real_speech_in_known_noise_x19(shared_data, snr_db):
    for path in sorted((shared_data / "en_lj/wavs").iterdir())[2:7]:
        speech = decoded(path)
        clean = levels(speech)
        active = clean[clean >= np.percentile(clean, 95) - 15.9]
        power = np.mean(10 ** (active / 10)) / 10 ** (snr_db / 10)
        noise = np.random.default_rng(0).normal(0, np.sqrt(power), len(speech))
        found = levels(speech + noise)
        floor_db = measures.noise_floor_db(found)
        assert measures.snr_db(found, floor_db) == pytest.approx(snr_db, abs=2.5)


def test_padding_with_digital_silence_does_not_pass_for_a_quiet_room():
    noise = np.random.default_rng(0).normal(0, 0.01, RATE_HZ)
    quiet = levels(noise)
    padded = levels(np.concatenate([np.zeros(RATE_HZ), noise, np.zeros(RATE_HZ)]))
    assert measures.noise_floor_db(padded) == pytest.approx(
        measures.noise_floor_db(quiet), abs=0.01
    )
    assert measures.noise_floor_db(levels(np.zeros(RATE_HZ))) is None
    assert measures.snr_db(levels(np.zeros(RATE_HZ)), None) is None


def bandwidth(samples, rate_hz):
    power = measures.power_spectra(samples.astype(np.float32), rate_hz).mean(axis=0)
    return measures.bandwidth_hz(power, rate_hz)


@pytest.mark.parametrize("low_hz", [8_000, 11_025, 16_000])
def test_up_sampled_speech_shows_the_edge_it_had_before_s4_8(shared_data, low_hz):
    for path in sorted((shared_data / "en_lj/wavs").iterdir())[:3]:
        speech = decoded(path, low_hz)
        stored = np.rint(soxr.resample(speech, low_hz, 44_100) * 32767) / 32768
        assert bandwidth(stored, 44_100) == pytest.approx(low_hz / 2, rel=0.03)
        assert bandwidth(decoded(path, 22_050), 22_050) > 10_500


def test_an_mp3_shows_its_low_pass(shared_data):
    mp3 = decoded(shared_data / "formats/en_LJ001-0001.mp3", 22_050)
    assert 8_000 < bandwidth(mp3, 22_050) < 9_000


def test_silence_has_no_bandwidth():
    assert bandwidth(np.zeros(RATE_HZ), RATE_HZ) is None


@given(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 900)), max_size=12),
    st.integers(1, 5000),
)
@settings(max_examples=40, deadline=None)
def test_one_pass_gives_the_samples_of_every_span(tmp_path_factory, spans, n):
    """Spans may touch, overlap and lie in any block; those past the end are an error."""
    rate_hz = 100  # blocks of 1000 samples
    path = tmp_path_factory.mktemp("a") / "a.wav"
    samples = np.arange(n, dtype=np.int16)
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    spans = sorted((start, start + length) for start, length in spans)
    found, seen = [], []
    with soundfile.SoundFile(path) as sound:
        try:
            found.extend(stretches(sound, spans, seen, []))
        except EOFError:
            assert any(end > n for _, end in spans)
        else:
            assert all(end <= n for _, end in spans)
            assert sum(map(len, seen)) == n  # as many frames as samples
    for (start, end), part in zip(spans, found, strict=False):
        np.testing.assert_array_equal(part, samples[start:end])


def test_the_noise_floor_is_that_of_the_surroundings(tmp_path):
    """The same words in a quiet and in a noisy half of a recording."""
    speech = voice(150, 2.0)
    gap = np.zeros(6 * RATE_HZ, np.float32)
    signal = np.concatenate([gap, speech, gap, gap, speech, gap])
    half = len(signal) // 2
    rng = np.random.default_rng(0)
    signal[:half] += rng.normal(0, 0.0003, half)
    signal[half:] += rng.normal(0, 0.01, half)
    store, key = stored(tmp_path, signal)
    n = len(gap)
    spans = [[n, n + len(speech)], [half + n, half + n + len(speech)]]
    quiet, noisy = measure(store, key, spans)
    assert quiet["snr_db"] - noisy["snr_db"] == pytest.approx(20 * np.log10(0.01 / 0.0003), abs=2)
    assert quiet["pitch_hz"] == pytest.approx(150, rel=0.02)


def test_a_silent_segment_has_measures_that_say_nothing(tmp_path):
    store, key = stored(tmp_path, np.zeros(3 * RATE_HZ))
    (found,) = measure(store, key, [[0, 2 * RATE_HZ]])
    assert (found["snr_db"], found["bandwidth_hz"], found["pitch_hz"]) == (None, None, None)
    assert np.isfinite(found["speaker_features"]).all()


def test_a_damaged_recording_is_reported_to_be_made_again(tmp_path):
    store, key = stored(tmp_path, np.zeros(RATE_HZ))
    with pytest.raises(UserError, match="run snakemake again"):
        measure(store, key, [[0, 2 * RATE_HZ]])
    assert (store.folder / "BAD").exists()


GOLDEN = {"bandwidth_hz": 4000.0, "pitch_hz": 200.1, "snr_db": 14.7, "music": 0.0}
GOLDEN_FINGERPRINT = "5c4d8d5260d536a5"
GOLDEN_FEATURES = {0: 20.2138, 1: -8.418, 12: 0.9206, 24: 7.6447}


def test_results_are_those_of_this_version(tmp_path):
    """If this fails, the measures have changed: raise measure.VERSION."""
    assert module.VERSION == 4
    narrow = soxr.resample(voice(200, 2.0, noise=0.005), RATE_HZ, 8_000)
    store, key = stored(tmp_path, soxr.resample(narrow, 8_000, RATE_HZ))
    (found,) = measure(store, key, [[1000, 2 * RATE_HZ - 1000]])
    assert found["fingerprint"][:16] == GOLDEN_FINGERPRINT
    assert {name: found[name] for name in GOLDEN} == pytest.approx(GOLDEN, rel=0.002)
    features = {i: found["speaker_features"][i] for i in GOLDEN_FEATURES}
    assert features == pytest.approx(GOLDEN_FEATURES, abs=0.01)


def test_dropped_segments_are_measured_too(tmp_path, monkeypatch):
    """A correction may bring one back; it has to be found among the copies then."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script.job, "start", lambda smk: None)
    store, key = stored(tmp_path / "results" / "store", np.tile(voice(150, 1.0), 6))
    store.close()
    rows = [
        segment("said", 0.0, item=key, rate_hz=RATE_HZ),
        segment(None, 3.0, item=key, rate_hz=RATE_HZ, status="drop", step="transcribe"),
    ]
    tables.write(table(*rows), tmp_path / "in.parquet", tables.SEGMENTS)
    script.main(
        SimpleNamespace(
            input=SimpleNamespace(table="in.parquet", speaker_model=[]),
            output=SimpleNamespace(table="out.parquet", acoustics="acoustics.parquet"),
            params=SimpleNamespace(
                settings={"measure": {"speaker_model_sha256": None}},
                resemblyzer=None,
                mos={},
            ),
            threads=1,
        )
    )
    assert tables.read(tmp_path / "out.parquet")["pitch_hz"].notna().all()
    assert tables.read(tmp_path / "acoustics.parquet")["fingerprint"].notna().all()
