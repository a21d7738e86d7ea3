"""Speaker embeddings equal those of Resemblyzer's package, and separate real voices."""

import sys
import types
from functools import cache

import numpy as np
import pytest
import soundfile
import soxr
from conftest import ROOT
from scipy import ndimage
from voicekiln import extras
from voicekiln.audio.resemblyzer import RATE_HZ, Embedder, mel, window_starts
from voicekiln.corpus.voices import UNLIKE, tell_apart

pytestmark = pytest.mark.skipif(
    extras.missing("voices") is not None, reason=f"not installed: {extras.missing('voices')}"
)
DEMO = ROOT / "resources/demo/recordings/anna/garden.flac"


@pytest.fixture(scope="module")
def package():
    """The package, whose name for a function of scipy is one that scipy gives up."""
    sys.modules.setdefault(
        "scipy.ndimage.morphology",
        types.SimpleNamespace(binary_dilation=ndimage.binary_dilation),
    )
    import resemblyzer

    return resemblyzer


@pytest.fixture(scope="module")
def speech():
    samples, rate_hz = soundfile.read(DEMO, dtype="float32", frames=12 * 24_000)
    return soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32)


@pytest.fixture(scope="module")
def embed():
    return Embedder()


def test_the_mel_spectrum_equals_that_of_the_package(package, speech):
    from resemblyzer.audio import wav_to_mel_spectrogram

    np.testing.assert_allclose(mel(speech), wav_to_mel_spectrogram(speech), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("n", [0, 400, 8000, 25_599, 25_600, 31_000, 60_000, 100_000, 160_000])
def test_embeddings_and_windows_equal_those_of_the_package(package, speech, n):
    encoder = package.VoiceEncoder("cpu", verbose=False)
    slices = encoder.compute_partial_slices(n, 1.3, 0.75)[1]
    assert window_starts(n) == [part.start for part in slices]
    if n:
        found = Embedder(max_windows=None)(speech[:n], RATE_HZ)
        np.testing.assert_allclose(found, encoder.embed_utterance(speech[:n]), atol=1e-5)


def test_three_windows_approximate_all_of_them(embed, speech):
    assert embed(speech, RATE_HZ) @ Embedder(max_windows=None)(speech, RATE_HZ) > 0.95
    assert np.linalg.norm(embed(np.zeros(100, np.float32), RATE_HZ)) <= 1.001


VOICES = {
    "am": "am_spk098/wavs/*.wav",
    "en": "en_lj/wavs/*.wav",
    "fr": "long/fr_fleursdumal_006.mp3",
}


@pytest.fixture
def voices(shared_data, embed):
    """By speaker: embeddings, lengths in seconds."""
    return heard(shared_data, embed)


@cache
def heard(shared_data, embed):
    found = {}
    for name, pattern in VOICES.items():
        clips = []
        for path in sorted(shared_data.glob(pattern)):
            samples, rate_hz = soundfile.read(path, dtype="float32")
            mono = samples.reshape(len(samples), -1).mean(axis=1)
            step = 6 * rate_hz
            clips += [mono[at : at + step] for at in range(0, len(mono), step)][:14]
        clips = [clip for clip in clips if len(clip) > 2 * rate_hz]
        found[name] = [(embed(clip, rate_hz), len(clip) / rate_hz) for clip in clips]
    return found


@pytest.mark.parametrize("main", VOICES)
@pytest.mark.parametrize("other", VOICES)
@pytest.mark.parametrize("together", [True, False])
def test_another_speakers_clips_are_found_and_own_ones_are_not_n13(voices, main, other, together):
    if main == other:
        pytest.skip("a voice is not another than itself")
    clips = voices[main] + voices[other][:2]
    n = len(voices[main])
    recordings = [f"r{i % 3}" for i in range(n)] + (["r0", "r1"] if together else ["x", "y"])
    vectors, seconds = zip(*clips, strict=True)
    found = tell_apart(vectors, ["her"] * len(clips), recordings, seconds)
    print(f"{main}: {np.round(found.distance[:n].max(), 2)}, {other}: {found.distance[n:]}")
    assert (found.distance[n:] > UNLIKE).all()
    assert not found.sure[:n].any()
    assert found.sure[n:].all() or not together


def test_two_voices_under_one_name_are_reported(voices):
    clips = voices["am"] + voices["en"]
    vectors, seconds = zip(*clips, strict=True)
    found = tell_apart(vectors, [""] * len(clips), ["r"] * len(clips), seconds)
    assert min(found.several[""]) > 5 and not found.sure.any()
