"""Clips of another speaker are outliers among those of their speaker (N13)."""

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from speaker_network import network
from test_measure import decoded, voice
from voicekiln.audio import measures, speaker
from voicekiln.audio.pitch import voiced_pitch_hz
from voicekiln.audio.speaker import Embedder, fbank, speaker_distances, statistics
from voicekiln.errors import UserError

RATE_HZ = 24_000


def features(samples):
    power = measures.power_spectra(samples, RATE_HZ)
    return statistics(power, RATE_HZ, voiced_pitch_hz(samples, RATE_HZ))


def features_of(folder, n=None):
    return [features(decoded(path)) for path in sorted(folder.iterdir())[:n]]


@pytest.mark.parametrize(
    ("own", "other"),
    [("en_lj/wavs", "de_kerstin/raw"), ("de_kerstin/raw", "en_lj/wavs")],
)
def test_two_clips_of_another_woman_rank_worst_n13(shared_data, own, other):
    mine, others = features_of(shared_data / own), features_of(shared_data / other, 4)
    for i in range(0, 4, 2):
        distances = speaker_distances(mine + others[i : i + 2], ["her"] * (len(mine) + 2))
        assert set(np.argsort(-distances)[:2]) == {len(mine), len(mine) + 1}


def test_features_do_not_change_with_the_level():
    samples = voice(180)
    np.testing.assert_allclose(features(samples), features(samples / 4), atol=0.02)
    assert features(samples).shape == (speaker.N_FEATURES,)


def test_silence_and_a_click_have_finite_features():
    click = np.zeros(RATE_HZ, np.float32)
    click[500] = 1
    for samples in (np.zeros(10, np.float32), np.zeros(RATE_HZ, np.float32), click):
        assert np.isfinite(features(samples)).all()


clips = st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 99)), max_size=24)


@given(clips, st.randoms())
@settings(max_examples=50, deadline=None)
def test_distances_do_not_depend_on_order_or_other_speakers(clips, random):
    def distances(clips):
        vectors = [np.random.default_rng(seed).normal(size=5) for _, seed in clips]
        return speaker_distances(vectors, [name for name, _ in clips])

    order = list(range(len(clips)))
    random.shuffle(order)
    found = distances(clips)
    np.testing.assert_allclose(distances([clips[i] for i in order]), found[order])
    alone = [clip for clip in clips if clip[0] == "a"]
    np.testing.assert_allclose(
        distances(alone), [d for d, (name, _) in zip(found, clips, strict=True) if name == "a"]
    )
    assert np.isfinite(found).sum() == sum(
        sum(other == name for other, _ in clips) >= speaker.MIN_CLIPS for name, _ in clips
    )


def test_clips_without_features_have_no_distance_and_equal_clips_distance_zero():
    vectors = [np.ones(4)] * 6 + [None]
    found = speaker_distances(vectors, ["a"] * 7)
    assert (found[:6] == 0).all() and np.isnan(found[6])


# of the buzz below, by torchaudio.compliance.kaldi.fbank with WeSpeaker's arguments
KALDI = {(0, 0): 2.4229, (5, 10): 1.5891, (50, 40): 0.0661, (97, 79): -0.0522}


def test_filter_bank_energies_are_those_of_kaldi():
    found = fbank(soxr.resample(voice(180, 1.0), RATE_HZ, 16_000), 16_000)
    assert found.shape == (98, 80)
    assert {at: found[at] for at in KALDI} == pytest.approx(KALDI, abs=0.001)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_embeddings_of_an_exported_network_are_those_of_the_network(tmp_path):
    embed = Embedder(network(tmp_path / "speaker.onnx"))
    samples = voice(180)
    found = embed(samples, RATE_HZ)
    assert found.shape == (16,) and np.linalg.norm(found) == pytest.approx(1)
    np.testing.assert_array_equal(found, embed(samples, RATE_HZ))
    assert not np.allclose(found, embed(voice(100), RATE_HZ), atol=1e-3)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_file_other_than_a_speaker_network_is_rejected_by_name(tmp_path):
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(UserError, match="text.onnx: cannot be loaded as an ONNX network"):
        Embedder(tmp_path / "text.onnx")
    with pytest.raises(UserError, match=r"40.onnx: expected one input \[B, T, 80\]"):
        Embedder(network(tmp_path / "40.onnx", n_bands=40))
