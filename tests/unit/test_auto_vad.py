"""The choice of the speech detector per recording, and its gain in noise."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import soxr
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from labelled_speech import flags, frame_scores, labels
from scipy import signal
from test_segment import DEFAULTS, LABELLED, NORMALIZE, voice
from voicekiln.audio import auto_vad, silero, vad
from voicekiln.audio.auto_vad import AutoVad
from voicekiln.audio.normalize import normalize
from voicekiln.audio.segment import OF_ENGINE, identity, segment

RATE_HZ = 16_000
DEMO = ROOT / "resources/demo/recordings/anna/garden.flac"
AUTO = replace(DEFAULTS, engine="auto")
# criteria in order: SNR, bandwidth, false positives of webrtcvad
CLEAN_DB, NOISY_DB = 35, 8


def detector():
    return AutoVad(
        lambda: vad.WebRtcVad(2, 20), lambda: silero.SileroVad(0.5, 0.35), DEFAULTS.energy_share
    )


def heard(samples, sizes=()):
    """Flags of [n] float samples that arrive in blocks, and the engine."""
    auto = detector()
    samples = np.clip(np.rint(samples * 32768), -32768, 32767).astype(np.int16)
    ends = np.minimum(np.cumsum(sizes, dtype=int), len(samples))
    found = np.concatenate([*map(auto.update, np.split(samples, ends)), auto.finish()])
    return found, auto.engine


def spoken(background, level_db, rate_hz=RATE_HZ):
    """Phrases with pauses between them, with `background` this far below the voice."""
    phrase = np.concatenate([voice(2), np.zeros(24_000)])
    samples = soxr.resample(np.tile(phrase, 4), 24_000, RATE_HZ)
    active = samples[np.abs(samples) > 0.01].std()
    noise = background(len(samples))
    samples = samples + noise * active / noise.std() * 10 ** (-level_db / 20)
    if rate_hz != RATE_HZ:
        samples = soxr.resample(soxr.resample(samples, RATE_HZ, rate_hz), rate_hz, RATE_HZ)
    return samples / np.abs(samples).max() * 0.9


def hiss(n):
    return np.random.default_rng(0).standard_normal(n)


def rumble(n):
    return signal.lfilter([1], [1, -0.98], hiss(n))


def chords(n):
    """Held notes with their overtones, a chord every two seconds."""
    at = np.arange(n) / RATE_HZ
    roots = np.array([220.0, 196.0, 174.6, 164.8])[(at // 2 % 4).astype(int)]
    decay = np.exp(-(at % 2) / 1.5)
    tones = [
        np.sin(2 * np.pi * roots * r * h * at) / h for r in (1, 1.26, 1.5) for h in range(1, 6)
    ]
    return decay * np.sum(tones, axis=0)


@pytest.mark.parametrize(
    "background, level_db, rate_hz, engine",
    [
        (hiss, CLEAN_DB, RATE_HZ, "webrtcvad"),
        (hiss, NOISY_DB, RATE_HZ, "silero"),
        (rumble, CLEAN_DB, RATE_HZ, "webrtcvad"),
        (rumble, NOISY_DB, RATE_HZ, "silero"),
        (hiss, CLEAN_DB, 8000, "silero"),
        (chords, 20, RATE_HZ, "silero"),
    ],
)
def test_the_background_determines_the_engine(background, level_db, rate_hz, engine):
    assert heard(spoken(background, level_db, rate_hz))[1] == engine


@pytest.mark.parametrize("n", [0, 1, 100, 16_000])
def test_silence_has_an_engine_but_no_speech(n):
    found, engine = heard(np.zeros(n))
    assert engine == "webrtcvad" and not found.any()


@pytest.fixture(scope="module")
def recordings():
    return {level_db: spoken(hiss, level_db) for level_db in (CLEAN_DB, NOISY_DB)}


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 70_000), max_size=8),
    held_s=st.integers(1, 30),
    level_db=st.sampled_from([CLEAN_DB, NOISY_DB]),
)
def test_flags_do_not_depend_on_blocks(recordings, sizes, held_s, level_db):
    """For any block sizes, also if the choice is made before the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto_vad, "ANALYSED_S", held_s)
        once, engine = heard(recordings[level_db])
        again, engine_again = heard(recordings[level_db], sizes)
    assert engine == engine_again
    assert once.tolist() == again.tolist()


def test_flags_equal_those_of_the_chosen_engine():
    """A clean recording has exactly webrtcvad's segments, and names this engine."""
    found = segment(DEMO, AUTO, [])
    assert found == segment(DEMO, replace(DEFAULTS, engine=found.engine), [])


def test_settings_of_both_engines_change_the_key():
    assert OF_ENGINE["auto"] == {"aggressiveness", "frame_ms", "onset", "offset"}
    for own in OF_ENGINE["auto"]:
        assert identity(replace(AUTO, **{own: 0})) != identity(AUTO)
    assert identity(AUTO)["network"] is not None


# name of the background, dB of speech above it; how the recording is given
NOISES = {"rumble": (rumble, 10), "hiss": (hiss, 10), "chords": (chords, 12)}


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("way", ["as it is", "8 kHz", *NOISES])
def test_auto_is_as_good_as_the_better_engine(shared_data, tmp_path, name, way):
    """Real speech: within .005 of silero in noise and at 8 kHz, of webrtcvad if clean."""
    [source] = (shared_data / "vad").parent.glob(f"{LABELLED[name]}.[fw]*")
    samples, rate_hz = soundfile.read(source, dtype="float32")
    samples = soxr.resample(samples, rate_hz, RATE_HZ)
    rate_hz = RATE_HZ
    if way == "8 kHz":
        samples, rate_hz = soxr.resample(samples, RATE_HZ, 8000), 8000
    elif way in NOISES:
        background, level_db = NOISES[way]
        noise = background(len(samples))
        active = samples[np.abs(samples) > 0.01].std()
        samples = samples + noise * active / noise.std() * 10 ** (-level_db / 20)
    soundfile.write(tmp_path / "a.wav", samples / np.abs(samples).max(), rate_hz, subtype="FLOAT")
    normalize(tmp_path / "a.wav", tmp_path / "a.flac", NORMALIZE)
    scores = {}
    for engine in OF_ENGINE:
        result = segment(tmp_path / "a.flac", replace(DEFAULTS, engine=engine), [])
        found = flags(np.array(result.speech) / result.rate_hz, result.n_samples / result.rate_hz)
        scores[engine] = frame_scores(found, labels(source))[0]
    print(f"{name:4} {way:9}", {key: round(f1, 3) for key, f1 in scores.items()}, result.engine)
    better = scores["webrtcvad"] if way == "as it is" else scores["silero"]
    assert scores["auto"] >= better - 0.005
