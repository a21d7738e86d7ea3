"""Audio codes and conditioning mel of the XTTS family, against coqui-tts's own training path."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import voicekiln.upstream  # noqa: F401  (coqui-tts can be imported after it)
from voicekiln.errors import UserError
from voicekiln.families import mel as bands
from voicekiln.families.xtts import dvae, mel
from xtts_small import base_files

N_MELS = 80


def upstream_dvae(n_codes: int, width: int, n_blocks: int):
    """coqui-tts's DVAE as its XTTS trainer makes it; released: 1024 codes, 512 wide, 3 blocks."""
    from TTS.tts.layers.xtts.dvae import DiscreteVAE

    return DiscreteVAE(
        channels=N_MELS,
        normalization=None,
        positional_dims=1,
        num_tokens=n_codes,
        codebook_dim=width,
        hidden_dim=width,
        num_resnet_blocks=n_blocks,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    ).eval()


@pytest.fixture(scope="module")
def upstream(xtts_release):
    """What GPTTrainer computes features with, on the files of the release."""
    from TTS.tts.layers.tortoise.arch_utils import TorchMelSpectrogram

    tensors = torch.load(xtts_release / "dvae.pth", weights_only=True)
    width, n_codes = tensors["codebook.embed"].shape
    model = upstream_dvae(n_codes, width, 1)
    model.load_state_dict(tensors)
    stats = str(xtts_release / "mel_stats.pth")
    audio = SimpleNamespace(sample_rate=mel.RATE_HZ, dvae_sample_rate=mel.RATE_HZ)
    return SimpleNamespace(
        config=SimpleNamespace(audio=audio),
        dvae=model,
        torch_mel_spectrogram_dvae=TorchMelSpectrogram(mel_norm_file=stats, sampling_rate=22050),
        torch_mel_spectrogram_style_encoder=TorchMelSpectrogram(
            filter_length=2048,
            hop_length=256,
            win_length=1024,
            normalize=False,
            sampling_rate=22050,
            mel_fmin=0,
            mel_fmax=8000,
            n_mel_channels=N_MELS,
            mel_norm_file=stats,
        ),
    )


def upstream_features(trainer, samples: torch.Tensor) -> dict:
    """A batch of one clip after GPTTrainer's preparation on the device."""
    from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTTrainer

    batch = {
        "wav": samples[None],
        "conditioning": samples[None, None, None],
        "wav_lengths": torch.tensor([len(samples)]),
        "padded_text": None,
        "text_lengths": None,
        "cond_idxs": None,
    }
    return GPTTrainer.format_batch_on_device(trainer, batch)


def speech(shared_data, n_clips: int) -> list[torch.Tensor]:
    """Clips at 22050 Hz."""
    paths = sorted((shared_data / "en_lj/wavs").glob("*.wav"))[:n_clips]
    assert len(paths) == n_clips
    clips = [soundfile.read(path, dtype="float32") for path in paths]
    assert {rate for _, rate in clips} == {mel.RATE_HZ}
    return [torch.from_numpy(samples) for samples, _ in clips]


def test_features_of_speech_are_those_of_upstreams_trainer(shared_data, xtts_release, upstream):
    extract = mel.extractor(base_files(xtts_release), {}, "cpu")
    clips = speech(shared_data, 8)
    clips += [clips[0][: 1024 * 40 + rest] for rest in (0, 1, 255, 256, 768, 1023)]
    seen = set()
    for samples in clips:
        found, expected = extract(samples), upstream_features(upstream, samples)
        n_codes = -(-len(samples) // 1024)
        assert found["codes"].dtype == torch.int16
        assert found["codes"].tolist() == expected["audio_codes"][0, :n_codes].tolist()
        # a multiple of 1024 samples: one more, after the end of the clip
        assert expected["audio_codes"].shape[1] == n_codes + (len(samples) % 1024 == 0)
        assert mel.n_steps(found) == n_codes == mel.steps_of(len(samples))
        assert found["cond_mel"].shape == (len(samples) // 256 + 1, N_MELS)
        difference = found["cond_mel"] - expected["cond_mels"][0, 0].T
        assert difference.abs().max() <= 1e-5
        seen |= set(found["codes"].tolist())
    assert len(seen) >= 10, "the codes of this release say nothing"


def test_codes_of_a_wider_codebook_are_upstreams(shared_data, xtts_release, upstream, tmp_path):
    """With code words between speech's own: the nearest of many, at other sizes."""
    torch.manual_seed(3)
    model = upstream_dvae(512, 48, 3)
    stats = mel.read_stats(xtts_release / "mel_stats.pth")
    clips = speech(shared_data, 4)
    with torch.no_grad():
        points = torch.cat(
            [model.encoder(mel.log_mel(c, 1024, stats).T[None])[0] for c in clips], dim=1
        )
    model.codebook.embed.copy_(points[:, torch.randperm(points.shape[1])[:512]])
    torch.save(model.state_dict(), tmp_path / "dvae.pth")
    base = base_files(xtts_release) | {"dvae": tmp_path / "dvae.pth"}
    extract = mel.extractor(base, {}, "cpu")
    trainer = SimpleNamespace(**(vars(upstream) | {"dvae": model}))
    for samples in clips:
        codes = extract(samples)["codes"].tolist()
        assert codes == upstream_features(trainer, samples)["audio_codes"][0, : len(codes)].tolist()
        assert len(set(codes)) > len(codes) / 4


@pytest.mark.parametrize("n_fft", [1024, 2048])
def test_filters_are_torchaudios(n_fft):
    import torchaudio

    expected = torchaudio.functional.melscale_fbanks(
        n_fft // 2 + 1, 0, 8000, N_MELS, mel.RATE_HZ, norm="slaney"
    )
    found = bands.filterbank(mel.RATE_HZ, n_fft, N_MELS, mel.TOP_HZ, equal_area=True)
    assert torch.equal(found, expected)


def test_the_released_dvae_has_the_names_and_shapes_of_ours(monkeypatch):
    # upstream makes a distribution, whose check of its arguments needs values
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)
    with torch.device("meta"):
        model = upstream_dvae(1024, 512, 3)
        ours = dvae.Encoder(width=512, n_blocks=3, n_dims=512, n_codes=1024)
    used = {
        name: tensor.shape
        for name, tensor in model.state_dict().items()
        if name.startswith("encoder.") or name == "codebook.embed"
    }
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} == used
    assert sum(p.numel() for p in ours.encoder.parameters()) == 24_251_392 and ours.n_codes == 1024


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("encoder.0.0.weight"), "expected the DVAE of an XTTS release"),
        (lambda t: t.pop("encoder.2.net.2.bias"), r"encoder.2.net.2.bias: no such tensor in the"),
        (lambda t: t.pop("encoder.3.weight"), "encoder.3.weight: no such tensor in the file"),
        (
            lambda t: t.update({"encoder.0.0.weight": t["encoder.0.0.weight"][:, :40]}),
            r"encoder.0.0.weight: \(32, 40, 3\) in the file, expected \(32, 80, 3\)",
        ),
        (
            lambda t: t.update({"encoder.4.bias": torch.zeros(2)}),
            r"encoder.4.bias: \(2,\) in the file, expected no such tensor",
        ),
        (
            lambda t: t.update({"codebook.embed": torch.zeros(32, 40_000)}),
            "at most 32767 code words, got 40000",
        ),
        (lambda t: (t.clear(), t.update({"gpt.h.0.bias": torch.zeros(1)})), "found no such"),
    ],
)
def test_another_dvae_is_refused(xtts_release, tmp_path, change, message):
    path = tmp_path / "dvae.pth"
    tensors = torch.load(xtts_release / "dvae.pth", weights_only=True)
    change(tensors)
    torch.save(tensors, path)
    with pytest.raises(UserError, match=message) as error:
        dvae.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "stats, message",
    [
        (torch.ones(100), r"expected one tensor of shape \(80,\), got \(100,\)"),
        ({"mel_stats": torch.ones(80)}, "expected one tensor, got dict"),
        (torch.zeros(80), "zeros or values that are not finite"),
        (torch.full((80,), torch.nan), "zeros or values that are not finite"),
        (torch.ones(1).expand(80), "larger than its data"),
    ],
)
def test_other_mel_statistics_are_refused(tmp_path, stats, message):
    path = tmp_path / "mel_stats.pth"
    torch.save(stats, path)
    with pytest.raises(UserError, match=message):
        mel.read_stats(path)


def test_the_basis_changes_with_what_features_depend_on(xtts_release, tmp_path):
    base = base_files(xtts_release)
    before = mel.feature_basis(base)
    tensors = torch.load(base["dvae"], weights_only=True)
    for name in list(tensors):
        if name.startswith(("decoder.", "discrete_loss.", "codebook.embed_avg")):
            tensors[name] += 1
    other = tmp_path / "dvae.pth"
    torch.save(tensors, other)
    assert mel.feature_basis(base | {"dvae": other}) == before
    tensors["codebook.embed"][0, 0] += 1
    torch.save(tensors, other)
    after = mel.feature_basis(base | {"dvae": other})
    assert after["dvae"] != before["dvae"] and after["mel_stats"] == before["mel_stats"]
    stats = tmp_path / "mel_stats.pth"
    torch.save(torch.load(base["mel_stats"], weights_only=True) * 2, stats)
    after = mel.feature_basis(base | {"mel_stats": stats})
    assert after["mel_stats"] != before["mel_stats"] and after["dvae"] == before["dvae"]


def test_what_no_features_are_made_of_is_refused(xtts_release):
    base = base_files(xtts_release)
    with pytest.raises(UserError, match="no settings, got fmax"):
        mel.extractor(base, {"fmax": 8000}, "cpu")
    extract = mel.extractor(base, {}, "cpu")
    with pytest.raises(UserError, match="clip of 1024 samples.* at least 1025"):
        extract(torch.zeros(1024))
    assert extract(torch.zeros(1025))["codes"].shape == (2,)


GOLDEN = [
    (
        1024,
        [
            [-6.0877, 1.4034, -11.5129, -11.5129, -11.5129],
            [-11.5129, 1.3104, -10.8377, -11.5129, -11.5129],
            [-11.5129, -11.5129, 4.574, -11.5129, -11.5129],
            [-8.7411, -8.461, -6.7732, -7.915, -9.2052],
            [-1.7512, -1.7483, -1.4638, -2.8365, -5.5095],
        ],
    ),
    (
        2048,
        [
            [-5.4208, 2.4266, -11.5129, -11.5129, -11.5129],
            [-11.5129, 2.0385, -10.0797, -11.5129, -11.5129],
            [-11.5129, -11.5129, 5.2969, -11.5129, -11.5129],
            [-8.055, -7.7542, -6.0547, -7.2207, -8.5126],
            [-1.0651, -1.0415, -0.7456, -2.1423, -4.8169],
        ],
    ),
]


def test_features_are_those_of_their_version():
    """Fails if features change: then raise FEATURES_VERSION, and set the numbers anew."""
    t = np.arange(6000) / mel.RATE_HZ
    glide = np.sin(2 * np.pi * (150 + 4000 * t) * t) * np.minimum(1, 20 * t)
    glide[3000:4000] = 0
    samples = torch.from_numpy(glide.astype(np.float32))
    assert mel.FEATURES_VERSION == 1
    for n_fft, golden in GOLDEN:
        found = mel.log_mel(samples, n_fft, torch.ones(N_MELS))
        picked = found[[0, 3, 9, 14, 23]][:, [0, 10, 25, 60, 79]]
        # of powers: far below the peak the logarithm shows how a machine's FFT rounds
        torch.testing.assert_close(picked.exp(), torch.tensor(golden).exp(), atol=5e-6, rtol=1e-3)


def test_a_clip_longer_than_the_model_has_places_for_is_named_before_training(xtts_release):
    extract = mel.extractor(base_files(xtts_release), {}, "cpu")
    longest = 604 * mel.CODE_SAMPLES
    assert len(extract(torch.randn(longest))["codes"]) == 604
    with pytest.raises(UserError, match=r"28\.1 s; the model has places for 604 codes, 28\.0 s"):
        extract(torch.randn(longest + 1024))
