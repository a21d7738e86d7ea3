"""Predicted opinion scores: those of the package itself, and what they show of real speech."""

import importlib.util

import numpy as np
import pytest
import soundfile
import soxr
from conftest import ROOT
from test_measure import decoded, stored
from voicekiln import extras
from voicekiln.audio import dnsmos
from voicekiln.audio.dnsmos import RATE_HZ, SCORES, WINDOW, Rater, windows
from voicekiln.config.resolve import resolve
from voicekiln.corpus.measure import measure
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file

needs_package = pytest.mark.skipif(
    extras.missing("mos") is not None, reason=f"not installed: {extras.missing('mos')}"
)
GOLDEN = {"mos_signal": 3.542, "mos_background": 4.154, "mos_overall": 3.311}
DEMO = ROOT / "resources/demo/recordings/anna/garden.flac"


@pytest.fixture(scope="module")
def rate():
    return Rater()


@pytest.fixture(scope="module")
def speech():
    samples, rate_hz = soundfile.read(DEMO, dtype="float32", frames=20 * 24_000)
    return soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)


def published(samples):
    """`SCORES` of `[n]` float32 at `RATE_HZ` by the package's own code."""
    from speechmos import dnsmos as package

    found = package.run(samples.clip(-1, 1), RATE_HZ)
    return [found[key] for key in ("sig_mos", "bak_mos", "ovrl_mos")]


@pytest.mark.parametrize(
    ("seconds", "length_s", "starts_s"),
    [
        (0.5, 16, range(7)),  # doubled five times
        (4.6, 9.2, [0]),
        (8.0, 16, range(7)),
        (9.01, 9.01, [0]),
        (9.99, 9.99, [0]),
        (10.0, 10, [0]),
        (11.5, 11.5, [0, 1]),
        (30.0, 30, range(21)),
    ],
)
def test_a_clip_is_doubled_and_has_a_window_every_second(seconds, length_s, starts_s):
    clip = np.arange(round(seconds * RATE_HZ), dtype=np.float32)
    whole, starts = windows(clip)
    assert len(whole) == round(length_s * RATE_HZ)
    np.testing.assert_array_equal(whole, np.resize(clip, len(whole)))
    assert starts == [second * RATE_HZ for second in starts_s]
    assert starts[-1] + WINDOW <= len(whole)


@needs_package
@pytest.mark.parametrize(
    "seconds", [4.7, 9.5, *(pytest.param(s, marks=pytest.mark.slow) for s in (0.4, 2.0, 8.5, 15.9))]
)
def test_scores_are_those_of_the_package(speech, seconds):
    clip = speech[: round(seconds * RATE_HZ)]
    found = Rater(max_windows=None)(clip, RATE_HZ)
    np.testing.assert_allclose(list(found.values()), published(clip), atol=2e-3)


@pytest.mark.slow
@needs_package
def test_scores_of_real_speech_are_those_of_the_package(shared_data, rate):
    for pattern in ("en_lj/wavs", "am_spk098/wavs", "ar_quran/wavs"):
        for path in sorted((shared_data / pattern).iterdir())[:2]:
            clip = decoded(path, RATE_HZ)[: 15 * RATE_HZ]
            expected = published(clip)
            whole = Rater(max_windows=None)(clip, RATE_HZ)
            np.testing.assert_allclose(list(whole.values()), expected, atol=2e-3)
            np.testing.assert_allclose(list(rate(clip, RATE_HZ).values()), expected, atol=0.1)


@needs_package
def test_noise_lowers_the_score_of_the_background(speech, rate):
    noise = np.random.default_rng(0).normal(0, 1, len(speech)).astype(np.float32)
    scores = [
        rate(speech[:WINDOW] + level * noise[:WINDOW], RATE_HZ)["mos_background"]
        for level in (0, 0.01, 0.05)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 1


@pytest.mark.slow
@needs_package
def test_noise_lowers_the_scores_of_every_clip_of_a_speaker(shared_data, rate):
    for path in sorted((shared_data / "en_lj/wavs").iterdir())[:5]:
        clip = decoded(path)
        noise = np.random.default_rng(0).normal(0, clip.std() / 10, len(clip))
        clean, noisy = rate(clip, 24_000), rate((clip + noise).astype(np.float32), 24_000)
        assert clean["mos_background"] - noisy["mos_background"] > 0.5
        assert clean["mos_overall"] > noisy["mos_overall"]


@needs_package
def test_a_segment_has_the_same_scores_whatever_is_beside_it(tmp_path, speech, rate):
    sound = soxr.resample(speech, RATE_HZ, 24_000)
    store, key = stored(tmp_path, sound)
    spans = [[0, 120_000], [30_000, 130_000]]
    together = measure(store, key, spans, rate=rate)
    for span, expected in zip(spans, together, strict=True):
        (alone,) = measure(store, key, [span], rate=Rater())
        assert [alone[name] for name in SCORES] == [expected[name] for name in SCORES]
        assert all(1 <= alone[name] <= 5 for name in SCORES)
    assert not set(SCORES) & set(measure(store, key, spans[:1])[0])


@needs_package
def test_silence_and_clips_without_length_break_nothing(rate):
    assert all(np.isfinite(v) for v in rate(np.zeros(120_000, np.float32), 24_000).values())
    assert all(np.isfinite(v) for v in rate(np.full(3, 0.1, np.float32), 24_000).values())
    assert rate(np.zeros(0, np.float32), 24_000) == dict.fromkeys(SCORES)


@needs_package
def test_results_are_those_of_this_version(speech, rate):
    """If this fails, the scores have changed: raise dnsmos.VERSION."""
    assert dnsmos.VERSION == 1
    assert sha256_file(dnsmos.weights_path()).startswith("269fbebdb513aa23")
    found = rate(speech[: 8 * RATE_HZ], RATE_HZ)
    assert found == pytest.approx(GOLDEN, abs=0.01)


def corpus(**sections):
    return {"corpora": {"c": {"audio": "x", "language": "en", "transcripts": "sidecar"} | sections}}


def test_a_missing_package_stops_before_any_job_with_the_command(monkeypatch):
    plain, wanted = corpus(), corpus(measure={"mos": True})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    resolve(plain)
    command = "pip install --no-deps speechmos==0.0.1.1"
    with pytest.raises(UserError, match=f"corpora.c.measure.mos is true.*{command}"):
        resolve(wanted)


def test_a_job_without_the_package_names_the_environment(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="envs/audio.yaml.*measure.mos to false"):
        dnsmos.weights_path()


def test_a_limit_needs_the_scores():
    resolved = resolve(corpus())["corpora"]["c"]
    assert resolved["measure"]["mos"] is False and resolved["validate"]["min_mos"] is None
    with pytest.raises(UserError, match=r"c.validate.min_mos \(2.5\) needs measure.mos: true"):
        resolve(corpus(validate={"min_mos": 2.5}))
    with pytest.raises(UserError, match="validate.min_mos"):
        resolve(corpus(validate={"min_mos": 0.5}, measure={"mos": True}))
