"""Recordings of any kind become mono FLAC at one rate and loudness."""

import hashlib
import json
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyloudnorm
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from normalize import make
from voicekiln.audio import normalize as module
from voicekiln.audio.clipping import ClippingDetector
from voicekiln.audio.normalize import NormalizeSettings, choose_gain_db, normalize
from voicekiln.audio.probe import AudioError
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file
from voicekiln.store.items import Store

SETTINGS = NormalizeSettings(
    rate_hz=24_000, loudness_lufs=-23.0, true_peak_dbtp=-1.0, max_gain_db=30.0
)
# measures computed block by block
ROOM = dict.fromkeys(["bandwidth_hz", "noise_floor_dbfs", "snr_db", "hum_db", "reverb_s"])


def noise(n, seed=0, channels=1):
    """Noise with pauses, between -0.3 and 0.3."""
    rng = np.random.default_rng(seed)
    envelope = np.repeat(rng.uniform(0, 1, 50) > 0.3, -(-n // 50))[:n, None]
    return 0.3 * rng.uniform(-1, 1, (n, channels)) * envelope


def normalized(folder, samples, rate_hz, settings=SETTINGS, **how):
    soundfile.write(folder / "a.wav", samples, rate_hz, **({"subtype": "FLOAT"} | how))
    result = normalize(folder / "a.wav", folder / "a.flac", settings)
    return result, soundfile.read(folder / "a.flac")[0]


def test_format_of_the_result(tmp_path):
    result, samples = normalized(tmp_path, noise(96_000, channels=2), 48_000)
    info = soundfile.info(tmp_path / "a.flac")
    assert (info.format, info.subtype, info.samplerate, info.channels) == (
        "FLAC",
        "PCM_16",
        24_000,
        1,
    )
    assert result.n_samples == len(samples) == 48_000
    assert (result.source_rate_hz, result.source_channels, result.source_samples) == (
        48_000,
        2,
        96_000,
    )
    assert json.loads(json.dumps(asdict(result))) == asdict(result)


def test_the_digest_is_that_of_the_samples(tmp_path):
    result, _ = normalized(tmp_path, noise(50_000), 48_000)
    pcm = soundfile.read(tmp_path / "a.flac", dtype="int16")[0]
    assert result.audio_sha256 == hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()


@pytest.mark.parametrize("rate_hz", [8_000, 22_050, 24_000, 44_100, 96_000])
def test_loudness_reaches_the_target(tmp_path, rate_hz):
    _, samples = normalized(tmp_path, noise(6 * rate_hz), rate_hz)
    assert pyloudnorm.Meter(24_000).integrated_loudness(samples) == pytest.approx(-23.0, abs=0.06)


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 44_100, 48_000, 192_000, 22_051])
@pytest.mark.parametrize("seconds", [0.01, 0.5, 2.3])
def test_equals_resampling_in_one_shot_after_removing_the_offset(tmp_path, rate_hz, seconds):
    source = (noise(round(seconds * rate_hz), seed=3) + 0.4)[:, 0].astype(np.float32)
    result, samples = normalized(tmp_path, source, rate_hz)
    assert result.dc_offset == pytest.approx(source.mean(dtype=np.float64), abs=1e-6)
    expected = soxr.resample(source - source.mean(dtype=np.float64), rate_hz, 24_000, "VHQ")
    gain = 10 ** (result.gain_db / 20)
    assert len(samples) == len(expected)
    np.testing.assert_allclose(samples, gain * expected, atol=1.5 * 2**-16)


def test_stereo_is_averaged(tmp_path):
    left = noise(48_000, seed=1)
    result, samples = normalized(tmp_path, np.hstack([left, np.zeros_like(left)]), 24_000)
    np.testing.assert_allclose(
        samples, 10 ** (result.gain_db / 20) * (left[:, 0] - left.mean()) / 2, atol=2**-15
    )


def speech_like(seconds=6.0, rate_hz=24_000, seed=7):
    """Bursts of a voice's harmonics with pauses between them, no louder than 0.5."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    voice = sum(np.sin(2 * np.pi * 120 * k * times_s + k) / k for k in range(1, 20))
    bursts = np.sin(2 * np.pi * 0.8 * times_s) > -0.2
    return (0.15 * voice * bursts).astype(np.float32)


def alike(one, other):
    """Correlation of two signals, whatever their gain."""
    return float(one @ other / np.sqrt((one @ one) * (other @ other)))


@pytest.mark.parametrize("right", [-1.0, -0.7, -0.4])
def test_channels_in_opposite_phase_do_not_cancel(tmp_path, caplog, right):
    voice = speech_like()
    result, samples = normalized(tmp_path, np.stack([voice, right * voice], 1), 24_000)
    assert (result.channel, result.cancelled, result.lost) == (0, 1.0, 0.0)
    assert "a.wav: the channels cancel each other in 100% of the audio" in caplog.text
    assert alike(samples, voice) > 0.999
    assert result.loudness_lufs_in + result.gain_db == pytest.approx(-23, abs=0.01)


@pytest.mark.parametrize("right", [0.0, 0.5, 1.0])
def test_a_silent_or_a_quiet_channel_is_mixed(tmp_path, right):
    voice = speech_like()
    result, samples = normalized(tmp_path, np.stack([voice, right * voice], 1), 24_000)
    assert (result.channel, result.cancelled) == (None, 0.0)
    assert alike(samples, voice) > 0.999


def test_the_cleaner_of_two_cancelling_channels_is_used(tmp_path):
    voice = speech_like()
    hiss = np.random.default_rng(2).normal(0, 0.02, len(voice))
    result, samples = normalized(tmp_path, np.stack([voice + hiss, -voice], 1), 24_000)
    assert result.channel == 1
    assert alike(samples, -voice) > 0.999


def test_a_part_in_opposite_phase_is_not_lost(tmp_path):
    voice = speech_like()
    sign = np.where(np.arange(len(voice)) < 48_000, -1, 1)
    result, samples = normalized(tmp_path, np.stack([voice, sign * voice], 1), 24_000)
    assert result.channel == 0 and 0.25 < result.cancelled < 0.45
    assert alike(samples, voice) > 0.999


def test_speakers_on_either_side_stay_in_the_mix_though_a_part_cancels(tmp_path, caplog):
    """No channel has both: the mean is used, and the warning states the loss."""
    voice = speech_like(9.0)
    third = np.arange(len(voice)) // 72_000
    left, right = np.where(third == 0, 0, voice), np.where(third == 1, 0, voice)
    right = np.where(third == 2, -voice, right)
    result, samples = normalized(tmp_path, np.stack([left, right], 1), 24_000)
    assert result.channel is None and 0.25 < result.cancelled < 0.45
    assert np.abs(samples[:140_000]).max() > 0.1
    assert "a.wav: the channels cancel each other in 33% of the audio" in caplog.text
    assert "set `channels: separate`" in caplog.text


@pytest.mark.parametrize("channel", [0, 1])
def test_a_single_selected_channel(tmp_path, channel):
    both = np.stack([speech_like(), 0.5 * noise(144_000)[:, 0]], 1).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", both, 24_000, subtype="FLOAT")
    result = normalize(tmp_path / "a.wav", tmp_path / "a.flac", SETTINGS, channel=channel)
    samples, _ = soundfile.read(tmp_path / "a.flac")
    assert (result.channel, result.source_channels) == (channel, 2)
    assert alike(samples, both[:, channel]) > 0.999


def test_a_missing_channel_is_rejected(tmp_path):
    soundfile.write(tmp_path / "a.wav", noise(48_000, channels=2), 24_000)
    with pytest.raises(
        AudioError, match=r"channel 2 \(counted from 0\) requested, but the file has 2"
    ):
        normalize(tmp_path / "a.wav", tmp_path / "a.flac", SETTINGS, channel=2)


@pytest.mark.parametrize("step", [0.03, 0.05, 0.1, 0.4])
@pytest.mark.parametrize("kind", ["step", "steps", "drift", "wave"])
def test_a_changing_offset_is_removed(tmp_path, step, kind):
    voice = 0.6 * speech_like()
    times_s = np.arange(len(voice)) / 24_000
    offset = {
        "step": np.where(times_s > 3.3, step, 0),
        "steps": step * (np.floor(times_s / 1.3) % 3 - 1),
        "drift": 3 * step * times_s / times_s[-1],
        "wave": 2 * step * np.sin(2 * np.pi * times_s / 5),
    }[kind]
    result, samples = normalized(tmp_path, (voice + offset).astype(np.float32), 24_000)
    assert result.offset_change > 0.5 * step
    seconds = samples.reshape(6, -1).mean(axis=1) / 10 ** (result.gain_db / 20)
    assert np.abs(seconds).max() < 1e-3
    assert alike(samples, voice) > (
        0.97 if step < 0.4 else 0.9
    )  # the rest is the click at the jump


def test_of_an_offset_with_a_small_change_only_the_mean_is_removed(tmp_path):
    """Below a quarter of the level a high-pass does more harm than the change."""
    voice = 0.6 * speech_like()
    step = np.where(np.arange(len(voice)) > len(voice) / 2, 0.01, 0)
    result, _ = normalized(tmp_path, (voice + step).astype(np.float32), 24_000)
    assert result.offset_change == 0
    assert result.dc_offset == pytest.approx((voice + step).mean(), abs=1e-6)


def test_a_constant_offset_is_removed_exactly(tmp_path):
    voice = speech_like()
    plain, _ = normalized(tmp_path, voice, 24_000)
    moved, samples = normalized(tmp_path, voice + np.float32(0.125), 24_000)
    assert moved.offset_change == plain.offset_change == 0
    assert alike(samples, voice - voice.mean()) > 0.9999


def test_the_ceiling_limits_the_gain(tmp_path):
    spiky = 0.001 * noise(72_000)
    spiky[30_000] = 0.5
    result, samples = normalized(tmp_path, spiky, 24_000)
    assert result.true_peak_dbtp == pytest.approx(-1.0, abs=0.02)
    assert result.true_peak_dbtp <= -1.0
    assert np.abs(samples).max() <= 10 ** (-1 / 20)


@pytest.mark.parametrize(
    ("loudness_lufs", "peak_dbtp", "gain_db"),
    [
        (-30.0, -20.0, 7.0),
        (-10.0, 3.0, -13.0),
        (-30.0, -3.0, 2.0),  # the ceiling
        (-24.0, 0.5, -1.5),  # the ceiling turns it down
        (-65.0, -50.0, 30.0),  # the limit
        (None, -80.0, 0.0),
        (None, None, 0.0),
        (-30.123, -2.999, 1.99),  # downwards to whole hundredths, never through the ceiling
    ],
)
def test_gain(loudness_lufs, peak_dbtp, gain_db):
    assert choose_gain_db(loudness_lufs, peak_dbtp, SETTINGS) == pytest.approx(gain_db)


@pytest.mark.parametrize("samples", [np.zeros(24_000), np.zeros(1), np.full(5000, 0.25)])
def test_silence_stays_silence(tmp_path, samples):
    result, written = normalized(tmp_path, samples, 24_000)
    assert (result.gain_db, result.loudness_lufs_in) == (0.0, None)
    assert not written.any()


def test_real_offset_is_removed(shared_data, tmp_path):
    for path in sorted((shared_data / "am_spk098" / "wavs").iterdir())[:4]:
        result = normalize(path, tmp_path / "a.flac", SETTINGS)
        samples, _ = soundfile.read(tmp_path / "a.flac")
        assert result.dc_offset == pytest.approx(-0.125, abs=0.01)
        assert abs(samples.mean()) < 1e-6
        loudness_lufs = pyloudnorm.Meter(24_000).integrated_loudness(samples)
        assert loudness_lufs == pytest.approx(result.loudness_lufs_in + result.gain_db, abs=0.1)


def test_real_formats(shared_data, tmp_path):
    """The same reading in two containers has equal results."""
    names = ["en123_audio-mono-16-bit-44100Hz.wav", "en123_audio-stereo-32-bit-44100Hz.wav"]
    loud = []
    for name in names:
        normalize(shared_data / "formats" / name, tmp_path / "a.flac", SETTINGS)
        loud.append(soundfile.read(tmp_path / "a.flac")[0])
    np.testing.assert_allclose(*loud, atol=3e-4)


@settings(max_examples=20, deadline=None)
@given(block_s=st.floats(0.002, 5.0), n=st.integers(1, 60_000))
def test_block_size_does_not_change_a_sample(block_s, n):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        folder = Path(folder)
        whole, _ = normalized(folder, noise(n, seed=n) + 0.1, 44_100)
        patch.setattr(module, "BLOCK_S", block_s)
        pieces, _ = normalized(folder, noise(n, seed=n) + 0.1, 44_100)
    assert replace(pieces, **ROOM) == replace(whole, **ROOM)


def test_only_blocks_are_in_memory(tmp_path, monkeypatch):
    """No stage receives more than one block, however long the recording is."""
    seen = []
    monkeypatch.setattr(module, "BLOCK_S", 0.5)
    for meter in (module.LoudnessMeter, module.TruePeakMeter, ClippingDetector):
        update = meter.update
        monkeypatch.setattr(
            meter, "update", lambda self, x, update=update: (seen.append(len(x)), update(self, x))
        )
    result, _ = normalized(tmp_path, noise(60 * 16_000), 16_000)
    assert result.n_samples == 60 * 24_000
    assert max(seen) <= 12_000
    assert len(seen) > 300


def test_a_bad_file_leaves_no_target(tmp_path):
    samples = noise(100_000)
    samples[90_000] = np.nan
    with pytest.raises(AudioError, match="NaN"):
        normalized(tmp_path, samples, 24_000)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize(
    ("rate_hz", "subtype", "n_samples", "clipped", "measured", "heard"),
    [
        (44_100, "PCM_16", 38_095, [[45, 1]], (0.0503072, -19.68, -3.32, -3.86), (48.7, 4.0)),
        (16_000, "PCM_U8", 105_000, [[125, 1]], (0.0466698, -17.45, -5.55, -5.62), (54.2, 3.6)),
        (24_000, "FLOAT", 70_000, [[83, 1]], (0.0503215, -16.93, -6.07, -6.35), (51.9, 3.6)),
    ],
)
def test_golden(tmp_path, rate_hz, subtype, n_samples, clipped, measured, heard):
    """If this fails because results changed, raise VERSION and update the numbers."""
    samples = noise(70_000, seed=5, channels=2) + 0.05
    samples[20_000:20_030] = 0.9
    result, _ = normalized(tmp_path, samples, rate_hz, subtype=subtype)
    assert module.VERSION == 5
    assert (result.n_samples, result.clipped) == (n_samples, clipped)
    assert (
        result.dc_offset,
        result.loudness_lufs_in,
        result.gain_db,
        result.true_peak_dbtp,
    ) == pytest.approx(measured, abs=0.011)
    assert (result.snr_db, result.hum_db) == pytest.approx(heard, abs=0.1)
    assert result.bandwidth_hz == rate_hz / 2


def clipped_frames(samples, rate_hz=48_000, resolution=2**-15, block_samples=480_000):
    detector = ClippingDetector(rate_hz, 1, resolution)
    for start in range(0, len(samples), block_samples):
        detector.update(samples[start : start + block_samples, None])
    return detector.runs()


def to_steps(samples, resolution=2**-15):
    return (np.round(samples / resolution) * resolution).astype(np.float32)


@pytest.mark.parametrize("hz", [50, 110, 440, 3000])
@pytest.mark.parametrize("peak", [0.2, 0.9, 0.99997])
@pytest.mark.parametrize("resolution", [2**-7, 2**-15, 2**-23])
def test_a_clean_loud_tone_is_not_clipped(hz, peak, resolution):
    tone = peak * np.sin(2 * np.pi * hz * np.arange(48_000) / 48_000 + 0.3)
    assert clipped_frames(to_steps(tone, resolution), resolution=resolution) == []


@pytest.mark.parametrize("level", [0.4, 1 - 2**-15])
@pytest.mark.parametrize("block_samples", [480_000, 1000, 7, 1])
def test_only_the_clipped_stretch_is_marked(level, block_samples):
    tone = np.sin(2 * np.pi * 200 * np.arange(14_400) / 48_000)
    gain = np.where((np.arange(14_400) >= 4800) & (np.arange(14_400) < 9600), 2.0, 0.7)
    clipped = to_steps(np.clip(gain * tone, -1, 1) * level)
    assert clipped_frames(clipped, block_samples=block_samples) == [[10, 10]]


def test_clipping_in_one_channel_is_enough(tmp_path):
    tone = 1.5 * np.sin(2 * np.pi * 200 * np.arange(24_000) / 24_000)
    stereo = np.stack([np.zeros(24_000), np.clip(tone, -1, 1)], axis=1)
    result, _ = normalized(tmp_path, stereo, 24_000, subtype="PCM_16")
    assert result.clipped == [[0, 100]]


def test_a_file_changed_since_listing_is_rejected(tmp_path):
    """Its text, corrections and name belong to the listed content."""
    source = tmp_path / "a.wav"
    soundfile.write(source, noise(24_000), 24_000)
    listed = sha256_file(source)
    store = Store(tmp_path / "store", "normalize", {})
    key = store.key(content=listed)
    soundfile.write(source, noise(48_000, seed=1), 24_000)
    with pytest.raises(UserError, match="a.wav: changed since it was listed; run snakemake again"):
        make(store, key, source, listed, SETTINGS, [])
    assert store.get(key) is None and not list((tmp_path / "store").rglob("*.flac"))
    assert make(store, key, source, sha256_file(source), SETTINGS, [])["n_samples"] == 48_000
