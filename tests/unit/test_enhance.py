"""Noise and music are removed block by block, if configured (S4-10, S4-14)."""

import importlib.util
from types import SimpleNamespace

import normalize as script
import numpy as np
import pytest
import soundfile
import torch
from conftest import ROOT
from corpus_rows import recording
from hypothesis import given, settings
from hypothesis import strategies as st
from test_measure import decoded, levels
from voicekiln import upstream
from voicekiln.audio import enhance, measures
from voicekiln.audio.enhance import Separator, denoise
from voicekiln.audio.normalize import NormalizeSettings, normalize
from voicekiln.config.resolve import resolve
from voicekiln.errors import UserError
from voicekiln.extras import NEEDS
from voicekiln.store import tables

upstream.prepare()
from torchaudio.models import HDemucs  # noqa: E402

RATE_HZ = 24_000


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 30), st.integers(1, 10))
@settings(max_examples=100)
def test_windows_contain_every_sample_once_with_context(lengths, size, reach):
    whole = np.arange(sum(lengths), dtype=np.float32)
    blocks = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    own = [whole[:0]]
    for part, before, after in enhance._windows(blocks, size, min(reach, size)):
        assert len(part) <= 2 * size + 4 * reach + 40
        np.testing.assert_array_equal(part, np.arange(part[0], part[0] + len(part)))
        own.append(part[before : len(part) - after])
    np.testing.assert_array_equal(np.concatenate(own), whole)


def denoised(samples, n_blocks=1):
    blocks = np.split(samples, range(0, len(samples), -(-len(samples) // n_blocks))[1:])
    return np.concatenate(list(denoise(lambda: blocks, RATE_HZ)))


def distortion_db(found, speech):
    """Scale-invariant signal-to-distortion ratio of `found`, dB."""
    part = (found @ speech) / (speech @ speech) * speech
    return 10 * np.log10((part @ part) / ((found - part) @ (found - part)))


def test_noise_is_removed_and_speech_kept(shared_data):
    speech = decoded(shared_data / "long/en_lj_001-0019_0032.flac")[: 40 * RATE_HZ]
    noise = np.random.default_rng(0).normal(0, 0.3 * speech.std(), len(speech))
    noisy = (speech + noise).astype(np.float32)
    found = denoised(noisy, 4)
    assert len(found) == len(speech)
    floors = [measures.noise_floor_db(levels(samples)) for samples in (noisy, found)]
    assert floors[1] < floors[0] - 10
    assert distortion_db(found, speech) > distortion_db(noisy, speech) + 2


def test_denoising_does_not_depend_on_windows(shared_data, monkeypatch):
    speech = decoded(shared_data / "en_lj/wavs/LJ001-0001.wav")[: 9 * RATE_HZ]
    whole = denoised(speech, 9)
    monkeypatch.setattr(enhance, "DENOISE_S", 2.0)
    np.testing.assert_allclose(denoised(speech, 9), whole, atol=1e-6)


def test_silence_stays_silent_and_padding_is_not_the_noise_profile():
    silence = np.zeros(RATE_HZ, np.float32)
    np.testing.assert_array_equal(denoised(silence), silence)
    np.testing.assert_array_equal(denoised(silence[:1]), silence[:1])
    noise = np.random.default_rng(0).normal(0, 0.01, 4 * RATE_HZ).astype(np.float32)
    found = denoised(np.concatenate([silence, noise, silence]), 6)
    assert np.abs(found[: RATE_HZ // 2]).max() < 1e-5
    assert found[2 * RATE_HZ : 4 * RATE_HZ].std() < 0.4 * noise.std()


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small network of the real class, saved like the weights of torchaudio's pipelines."""
    torch.manual_seed(0)
    network = HDemucs(["drums", "bass", "other", "vocals"], channels=8, nfft=1024, depth=5)
    path = tmp_path_factory.mktemp("model") / "small.pt"
    torch.save(network.state_dict(), path)
    return path


def test_the_separator_returns_the_voice_of_the_network(weights):
    separator = Separator(weights)
    samples = np.random.default_rng(0).normal(0, 0.1, 60_000).astype(np.float32)
    found = separator._voice(samples)
    network = HDemucs(["drums", "bass", "other", "vocals"], channels=8, nfft=1024, depth=5)
    network.load_state_dict(torch.load(weights, weights_only=True))
    mix = torch.tensor((samples - samples.mean()) / samples.std())
    with torch.inference_mode():
        sources = network.eval()(torch.stack([mix, mix])[None])
    expected = sources[0, 3].mean(dim=0).numpy() * samples.std()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert sum(map(len, separator(lambda: [samples[:1]], RATE_HZ))) == 1


@pytest.mark.parametrize("seconds", [0.3, 12, 35.5])
def test_windows_of_the_separator_are_cross_faded(weights, seconds):
    """With an identity network the output equals the input."""
    separator = Separator(weights)
    separator._voice = np.copy
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    samples = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    found = np.concatenate(list(separator(lambda: np.array_split(samples, 5), RATE_HZ)))
    assert len(found) == len(samples)
    middle = slice(1000, -1000)
    np.testing.assert_allclose(found[middle], samples[middle], atol=1e-3)


def test_a_file_other_than_a_separator_is_rejected_by_name(tmp_path):
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pt")
    torch.save(print, tmp_path / "code.pt")
    for name in ("other.pt", "code.pt"):
        with pytest.raises(UserError, match=f"{name}: expected weights of torchaudio's HDemucs"):
            Separator(tmp_path / name)


def test_a_recording_is_enhanced_before_it_is_measured(tmp_path):
    settings = NormalizeSettings(RATE_HZ, -23.0, -1.0, 30.0)
    rng = np.random.default_rng(0)
    tone = 0.2 * np.sin(np.arange(5 * RATE_HZ) / 9) * np.repeat([0, 1, 0, 1, 0], RATE_HZ)
    soundfile.write(tmp_path / "a.wav", tone + rng.normal(0.05, 0.01, len(tone)), RATE_HZ)
    plain = normalize(tmp_path / "a.wav", tmp_path / "a.flac", settings)
    clean = normalize(tmp_path / "a.wav", tmp_path / "b.flac", settings, [denoise])
    assert clean.n_samples == plain.n_samples
    assert clean.dc_offset == plain.dc_offset == pytest.approx(0.05, abs=1e-3)
    assert clean.noise_floor_dbfs < plain.noise_floor_dbfs - 10
    assert abs(soundfile.read(tmp_path / "b.flac")[0].mean()) < 1e-3


@pytest.mark.parametrize(
    ("key", "value", "command"),
    [
        ("denoise", "noisereduce", "pip install --no-deps noisereduce==3.0.3"),
        ("separate", "model.pt", "pip install torch==2.13.0 torchaudio==2.11.0"),
    ],
)
def test_a_missing_package_is_reported_before_any_job_with_the_command(
    monkeypatch, key, value, command
):
    corpus = {"audio": "x", "language": "en", "transcripts": "sidecar", "normalize": {key: value}}
    resolve({"corpora": {"c": corpus}})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=rf"corpora.c.normalize.{key} is {value}.*{command}"):
        resolve({"corpora": {"c": corpus}})


def test_the_commands_name_the_versions_that_are_tested():
    pins = (ROOT / "envs/requirements.lock").read_text() + (
        ROOT / "envs/requirements-dev.lock"
    ).read_text()
    for _, command in NEEDS.values():
        for word in command.split():
            assert "==" not in word or f"\n{word}\n" in pins


def test_a_bad_separator_stops_the_step_and_spoils_no_recording(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(script.job, "start", lambda smk: None)
    torch.save({"a": torch.zeros(3)}, "other.pt")
    rows = [recording(f"r{i}") | {"root": "0"} for i in range(2)]
    tables.write(tables.frame(rows, tables.RECORDINGS), tmp_path / "in.parquet", tables.RECORDINGS)
    smk = SimpleNamespace(
        input=SimpleNamespace(table="in.parquet", separator="other.pt"),
        output=SimpleNamespace(table="out.parquet"),
        params=SimpleNamespace(
            settings={
                "normalize": {
                    **{"rate_hz": RATE_HZ, "loudness_lufs": -23.0, "true_peak_dbtp": -1.0},
                    **{"max_gain_db": 30.0, "denoise": None, "separate": "other.pt"},
                }
            },
            folders=[str(tmp_path)],
        ),
    )
    with pytest.raises(UserError, match="other.pt: expected weights of torchaudio's HDemucs"):
        script.main(smk)
    assert not (tmp_path / "out.parquet").exists()
