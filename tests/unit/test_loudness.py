"""Loudness and true peak, compared with pyloudnorm, scipy and the standard."""

import numpy as np
import pyloudnorm
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from voicekiln.audio.loudness import LoudnessMeter, TruePeakMeter, k_weighting


def loudness_lufs(samples, rate_hz):
    meter = LoudnessMeter(rate_hz)
    meter.update(samples)
    return meter.loudness_lufs()


def true_peak(samples):
    meter = TruePeakMeter()
    meter.update(samples)
    return meter.true_peak()


def sine(hz, rate_hz, seconds=5.0, phase=0.0):
    return np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz + phase)


def speech_like(rate_hz, seconds=12.0):
    """Noise bursts of uneven level with pauses, so that both gates have work."""
    rng = np.random.default_rng(0)
    n = round(seconds * rate_hz)
    level_db = np.repeat(rng.choice([-90, -60, -35, -25, -18], 40), -(-n // 40))[:n]
    return rng.standard_normal(n) * 10 ** (level_db / 20)


def test_coefficients_of_the_standard_at_48_khz():
    shelf, high_pass = k_weighting(48_000)
    np.testing.assert_allclose(
        shelf, [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241,
                0.73248077421585], atol=1e-8)  # fmt: skip
    np.testing.assert_allclose(
        high_pass, [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-8
    )


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 22_050, 24_000, 44_100, 48_000])
def test_a_full_scale_tone_of_997_hz_is_at_minus_3_01(rate_hz):
    # the standard allows 0.1 LU; at 8 kHz the bilinear transform bends the shelf
    worst = 0.25 if rate_hz == 8_000 else 0.05
    assert loudness_lufs(sine(997, rate_hz), rate_hz) == pytest.approx(-3.01, abs=worst)


@pytest.mark.parametrize("signal_of", [speech_like, lambda rate_hz: sine(220, rate_hz)])
def test_equals_pyloudnorm(signal_of):
    """Its filters of the standard (DeMan) differ below 48 kHz by the high-pass' gain, 0.04 dB."""
    for rate_hz in (16_000, 24_000, 48_000):
        samples = 0.1 * signal_of(rate_hz)
        meter = pyloudnorm.Meter(rate_hz, filter_class="DeMan")
        worst = 0.001 if rate_hz == 48_000 else 0.09
        assert loudness_lufs(samples, rate_hz) == pytest.approx(
            meter.integrated_loudness(samples), abs=worst
        )


def test_equals_pyloudnorm_on_speech(shared_data):
    for name in ("am_spk098", "de_kerstin"):
        samples, rate_hz = soundfile.read(shared_data / "long" / f"{name}_session.flac")
        reference = pyloudnorm.Meter(rate_hz).integrated_loudness(samples)
        assert loudness_lufs(samples, rate_hz) == pytest.approx(reference, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=8),
    rate_hz=st.sampled_from([11_025, 24_000]),
)
def test_loudness_does_not_depend_on_blocks(sizes, rate_hz):
    samples = speech_like(rate_hz, 3.0).astype(np.float32)
    loudness, peak = LoudnessMeter(rate_hz), TruePeakMeter()
    for block in np.split(samples, np.cumsum(sizes).clip(max=len(samples))):
        loudness.update(block)
        peak.update(block)
    assert loudness.loudness_lufs() == loudness_lufs(samples, rate_hz)
    assert peak.true_peak() == pytest.approx(true_peak(samples), rel=1e-6)


def test_silence_and_short_signals():
    assert loudness_lufs(np.zeros(24_000), 24_000) is None
    assert loudness_lufs(np.zeros(0), 24_000) is None
    assert loudness_lufs(np.full(1, 1e-9), 24_000) is None
    # 0.2 s, shorter than a gating block: as loud as the same tone held (but for the filter's start)
    assert loudness_lufs(sine(997, 24_000, 0.2), 24_000) == pytest.approx(-3.0, abs=0.1)


def test_a_peak_between_samples_is_found():
    # a quarter of the rate at 45 degrees: every sample is at -3 dB, the crest is at 0 dB
    tone = sine(6_000, 24_000, phase=np.pi / 4)
    tone *= signal.windows.tukey(len(tone), 0.5)
    assert np.abs(tone).max() == pytest.approx(np.sqrt(0.5), abs=1e-3)
    assert 20 * np.log10(true_peak(tone)) == pytest.approx(0.0, abs=0.2)


@pytest.mark.parametrize("position", [0, 3, 63, 64, 70, 997, 998, 999])
def test_the_peak_is_found_wherever_it_is(position):
    """Both ends and the borders of stretches; a steady tone defeats the passing over."""
    for background in (np.zeros(1000), 0.4 * sine(5_111, 24_000, 1000 / 24_000)):
        samples = background.astype(np.float32)
        samples[position] = 0.9
        samples[(position + 1) % 1000] = 0.9
        exact = np.abs(signal.resample_poly(samples, 4, 1)).max()
        assert true_peak(samples) == pytest.approx(exact, rel=0.03)
        assert true_peak(samples) >= np.abs(samples).max()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 2000), spread=st.floats(0, 6))
def test_skipping_blocks_misses_no_peak(seed, n, spread):
    """The peak equals that of oversampling everything with the same interpolator."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal(n) * np.exp(rng.standard_normal(n) * spread)
    samples = (samples / np.abs(samples).max()).astype(np.float32)
    everything = TruePeakMeter()
    everything._growth = np.inf
    everything.update(samples)
    assert true_peak(samples) == pytest.approx(everything.true_peak(), rel=1e-6)
