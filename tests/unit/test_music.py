"""Music under speech is detected; noise, hum, other voices and rooms are not mistaken for it."""

import numpy as np
import pytest
import soundfile
import soxr
from conftest import ROOT
from corpus_rows import segment, table
from scipy import signal
from test_auto_vad import chords, hiss, rumble
from voicekiln.audio.music import STEPS_PER_S, musical
from voicekiln.corpus.quality import MUSIC, music

RATE_HZ = 16_000
DEMO = ROOT / "resources/demo/recordings/anna/garden.flac"
SESSIONS = ("long/am_spk098_session.flac", "long/de_kerstin_session.flac", "vad/ami_dev00.wav")


def fraction(samples):
    """Fraction of the time that is flagged as music, block by block."""
    pcm = np.rint(samples / np.abs(samples).max() * 20_000).astype(np.int16)
    step = 10 * RATE_HZ
    blocks = [pcm[at : at + step] for at in range(0, len(pcm), step)]
    return np.concatenate([musical(block, RATE_HZ) for block in blocks]).mean()


def beat(n):
    """Chords over a drum that falls every half second."""
    at = np.arange(n) % (RATE_HZ // 2)
    return chords(n) + 3 * hiss(n) * np.exp(-at / (0.03 * RATE_HZ))


def hum(n):
    at = np.arange(n) / RATE_HZ
    return sum(np.sin(2 * np.pi * 50 * h * at + h) / h for h in range(1, 20)) + 0.05 * hiss(n)


def with_background(samples, background, level_db):
    noise = background(len(samples))
    active = samples[np.abs(samples) > 0.01].std()
    return samples + noise * active / noise.std() * 10 ** (-level_db / 20)


def echoing(samples, seconds=0.4):
    n = round(seconds * RATE_HZ)
    tail = np.random.default_rng(0).standard_normal(n) * np.exp(-6.9 * np.arange(n) / n)
    tail *= 1.5 / np.linalg.norm(tail)
    tail[0] += 1
    return signal.fftconvolve(samples, tail)[: len(samples)]


def mono(path, seconds=60):
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return soxr.resample(samples[: seconds * rate_hz], rate_hz, RATE_HZ)


@pytest.mark.parametrize("background", [chords, beat])
@pytest.mark.parametrize("level_db", [3, 10, 15])
@pytest.mark.parametrize("name", SESSIONS)
def test_music_under_real_speech_is_found(shared_data, name, background, level_db):
    share = fraction(with_background(mono(shared_data / name), background, level_db))
    print(f"{name} {background.__name__} {level_db} dB: {share:.3f}")
    assert share >= MUSIC


@pytest.mark.parametrize("background", [hiss, rumble, hum])
@pytest.mark.parametrize("level_db", [3, 10, 20, 40])
@pytest.mark.parametrize("name", SESSIONS)
def test_other_backgrounds_are_not_music(shared_data, name, background, level_db):
    share = fraction(with_background(mono(shared_data / name), background, level_db))
    assert share < MUSIC / 2


def test_rooms_recitation_and_other_voices_are_not_music(shared_data):
    speech = mono(shared_data / SESSIONS[1])
    assert fraction(echoing(speech)) < MUSIC
    other = np.roll(np.resize(mono(shared_data / "long/fr_fleursdumal_010.mp3"), len(speech)), 999)
    assert fraction(speech + 0.2 * other) < MUSIC
    assert fraction(mono(shared_data / "ar_quran/wavs/eval0.15_8_27_83843297.wav")) < MUSIC
    assert fraction(mono(DEMO)) < MUSIC


@pytest.mark.parametrize("n, steps", [(1, 1), (1000, 1), (1001, 2), (16_000, 16), (160_000, 160)])
def test_there_is_one_flag_per_sixteenth_of_a_second(n, steps):
    assert STEPS_PER_S == 16
    assert not musical(np.zeros(n, np.int16), RATE_HZ).any()
    assert len(musical(np.zeros(n, np.int16), RATE_HZ)) == steps


def test_recordings_with_music_are_reported_with_the_remedy():
    rows = [segment("text", 10 * i, 6, recording="show", music=0.3) for i in range(3)]
    rows += [segment("text", 10 * i, 6, recording="talk", music=0.02 * i) for i in range(3)]
    rows += [segment("text", 0, 2, recording="jingle", music=0.2)]
    concern = music(table(*rows))
    assert str(concern) == (
        "1 of 3 recordings are found to have music under the speech, in 3 segments; "
        "set normalize.separate to remove it, or remove these recordings: show.wav (0.30 of it)"
    )
    assert music(table(*rows[3:])) is None
    assert music(table(segment("text"))) is None
