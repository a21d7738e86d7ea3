"""Silero's network in blocks, compared with its own package."""

import numpy as np
import pytest
import soundfile
import soxr
from conftest import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from silero_vad.sequence_vad import SileroVADSequence
from voicekiln.audio import silero

DEMO = ROOT / "resources/demo/recordings/anna/garden.flac"


@pytest.fixture(scope="module")
def speech():
    """Twenty seconds at 16 kHz, `[n]` int16."""
    samples, rate_hz = soundfile.read(DEMO, dtype="float32", frames=20 * 24_000)
    samples = soxr.resample(samples, rate_hz, silero.RATE_HZ)
    return np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)


@pytest.fixture(scope="module")
def flags(speech):
    detector = silero.SileroVad(0.5, 0.35)
    return np.concatenate([detector.update(speech), detector.finish()])


def test_probabilities_equal_those_of_the_package(speech):
    samples = speech[: len(speech) // 512 * 512].astype(np.float32) / 32768
    expected = SileroVADSequence(silero.model_path()).audio_forward(samples)
    found = silero.SileroVad(0.5, 0.35).probabilities(samples)
    assert found == pytest.approx(expected, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 60_000), max_size=12))
def test_flags_do_not_depend_on_blocks(speech, flags, sizes):
    detector = silero.SileroVad(0.5, 0.35)
    ends = np.minimum(np.cumsum(sizes, dtype=int), len(speech))
    parts = [detector.update(part) for part in np.split(speech, ends)]
    assert (np.concatenate([*parts, detector.finish()]) == flags).all()


def test_there_is_one_flag_per_10_ms(speech, flags):
    assert 0 <= len(flags) - len(speech) // 160 <= 4
    assert 0.5 < flags.mean() < 0.99


def test_onset_and_offset_have_separate_thresholds():
    detector = silero.SileroVad(0.6, 0.4)
    found = detector._flags(np.array([0.5, 0.7, 0.5, 0.45, 0.3, 0.5, 0.6]))
    assert [bool(found[round(i * 3.2 + 1)]) for i in range(7)] == [
        False, True, True, True, False, False, True,
    ]  # fmt: skip
