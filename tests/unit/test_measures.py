"""Measures of a whole recording: bandwidth, noise, hum, reverberation (S4-2, S4-3, S4-8)."""

import numpy as np
import pytest
import soundfile
import soxr
from scipy import signal
from test_measure import decoded, levels
from voicekiln.audio.measures import RoomMeter, SpectrumMeter, reverb_s
from voicekiln.audio.normalize import NormalizeSettings, normalize

RATE_HZ = 24_000
SETTINGS = NormalizeSettings(
    rate_hz=RATE_HZ, loudness_lufs=-23.0, true_peak_dbtp=-1.0, max_gain_db=30.0
)
READINGS = [
    "long/en_lj_001-0019_0032.flac",
    "long/de_kerstin_session.flac",
    "long/fr_fleursdumal_006.mp3",
]


def normalized(folder, samples, rate_hz=RATE_HZ, **how):
    soundfile.write(folder / "a.wav", samples, rate_hz, **({"subtype": "PCM_24"} | how))
    return normalize(folder / "a.wav", folder / "a.flac", SETTINGS)


def reading(path, seconds=40):
    samples = decoded(path)[: seconds * RATE_HZ]
    return samples * 0.07 / np.sqrt(np.mean(samples**2))


def room(seconds, seed=0):
    """Impulse response of a room: the direct sound and, equally strong, decaying noise."""
    t = np.arange(round(1.2 * seconds * RATE_HZ)) / RATE_HZ
    tail = np.random.default_rng(seed).normal(size=len(t)) * 10 ** (-3 * t / seconds)
    tail /= np.sqrt((tail**2).sum())
    tail[0] += 1
    return tail


def mains(n, hz, level_db):
    """Hum of transformers and dimmers: odd and even harmonics."""
    t = np.arange(n) / RATE_HZ
    lines = {1: 1.0, 2: 0.5, 3: 0.6, 5: 0.3}
    hum = sum(a * np.sin(2 * np.pi * hz * k * t + k) for k, a in lines.items())
    return hum / np.sqrt(np.mean(hum**2)) * 10 ** (level_db / 20)


@pytest.mark.parametrize("name", READINGS)
def test_reverberation_is_found_in_its_order_and_size_s4_3(shared_data, name):
    dry = reading(shared_data / name, 110)
    found = [reverb_s(levels(dry))]
    for seconds in (0.4, 0.7, 1.2):
        found.append(reverb_s(levels(signal.fftconvolve(dry, room(seconds))[: len(dry)])))
    assert found == sorted(found)
    assert found[0] < 0.35
    assert found[1:] == pytest.approx([0.4, 0.7, 1.2], rel=0.3)


def test_sound_without_decays_has_no_reverberation():
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * RATE_HZ)
    assert reverb_s(levels(noise)) is None
    assert reverb_s(levels(np.zeros(RATE_HZ))) is None
    assert reverb_s(levels(np.zeros(10))) is None


@pytest.mark.parametrize("hz", [50, 60])
@pytest.mark.parametrize("name", READINGS)
def test_hum_is_distinguished_from_voices_s4_10(shared_data, tmp_path, name, hz):
    clean = reading(shared_data / name)
    assert normalized(tmp_path, clean).hum_db < 15
    humming = normalized(tmp_path, clean + mains(len(clean), hz, -50))
    assert humming.hum_db > 25


def test_too_short_for_hum():
    meter = RoomMeter(RATE_HZ)
    meter.update(np.zeros(100, np.int16))
    assert set(meter.measures().values()) == {None}


def test_noise_floor_is_before_the_gain_and_snr_is_independent_of_it(tmp_path):
    rng = np.random.default_rng(0)
    speech = 0.3 * rng.normal(size=20 * RATE_HZ) * np.repeat([1, 0] * 10, RATE_HZ)
    noisy = speech + 0.003 * rng.normal(size=len(speech))
    loud, soft = normalized(tmp_path, noisy), normalized(tmp_path, noisy / 30)
    assert loud.noise_floor_dbfs == pytest.approx(20 * np.log10(0.003), abs=1)
    assert soft.noise_floor_dbfs == pytest.approx(loud.noise_floor_dbfs - 29.5, abs=0.5)
    assert loud.snr_db == pytest.approx(40, abs=1)
    assert soft.snr_db == pytest.approx(loud.snr_db, abs=0.5)


def test_telephone_speech_stored_at_44_1_khz_is_found_s4_8(shared_data, tmp_path):
    speech = decoded(shared_data / "en_lj/wavs/LJ001-0001.wav", 8_000)
    stored = normalized(tmp_path, soxr.resample(speech, 8_000, 44_100), 44_100, subtype="PCM_16")
    assert stored.bandwidth_hz == pytest.approx(4_000, rel=0.03)


def test_a_click_and_a_silent_stretch_do_not_hide_the_bandwidth():
    meter = SpectrumMeter(44_100)
    rng = np.random.default_rng(0)
    for i in range(20):
        block = soxr.resample(rng.normal(0, 0.1, 8_000), 8_000, 44_100).astype(np.float32)
        if i == 7:
            block[20_000] = 1.0
        meter.update(block * (i % 4 > 0))
    assert meter.bandwidth_hz() == pytest.approx(4_000, rel=0.05)


def test_clipped_share_counts_the_frames_of_the_source(tmp_path):
    tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(2 * 48_000) / 48_000)
    assert normalized(tmp_path, tone, 48_000).clipped_share == 0
    tone[:48_000] = (2 * tone[:48_000]).clip(-0.5, 0.5)
    assert normalized(tmp_path, tone, 48_000).clipped_share == pytest.approx(0.5, abs=0.02)
