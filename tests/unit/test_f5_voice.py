"""Speaking and exporting, with upstream's inference code as the judge."""

import json

import numpy as np
import pytest
import soundfile
import torch
import voicekiln.upstream  # noqa: F401  (f5_tts and vocos can be imported after it)
import yaml
from f5_small import TINY, TOKENS, tiny_model
from voicekiln.errors import UserError
from voicekiln.families import f5
from voicekiln.provenance import sha256_file
from voicekiln.tokenizers.vocab import index

ARCH = f5.architecture(TINY)
VOCAB = index(TOKENS)
SAY = {"steps": 4, "cfg": 2.0, "seed": 5}


def reference(n_samples: int = 24000, level: float = 0.05) -> np.ndarray:
    """A gliding tone with noise."""
    t = np.arange(n_samples) / f5.RATE_HZ
    noise = np.random.default_rng(0).standard_normal(n_samples)
    tone = np.sin(2 * np.pi * (200 + 100 * t) * t)
    return (level * (tone + 0.1 * noise)).astype(np.float32)


@pytest.fixture(scope="module")
def vocos_folder(tmp_path_factory):
    """A tiny Vocos of the real class with random weights."""
    from vocos import Vocos

    folder = tmp_path_factory.mktemp("vocos")
    mel = {"sample_rate": 24000, "n_fft": 1024, "hop_length": 256, "n_mels": 100}
    backbone = {"input_channels": 100, "dim": 16, "intermediate_dim": 32, "num_layers": 1}
    config = {
        "feature_extractor": {
            "class_path": "vocos.feature_extractors.MelSpectrogramFeatures",
            "init_args": mel | {"padding": "center"},
        },
        "backbone": {"class_path": "vocos.models.VocosBackbone", "init_args": backbone},
        "head": {
            "class_path": "vocos.heads.ISTFTHead",
            "init_args": {"dim": 16, "n_fft": 1024, "hop_length": 256, "padding": "center"},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    torch.manual_seed(0)
    model = Vocos.from_hparams(str(folder / "config.yaml"))
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def upstream_speaks(model, vocos_folder, samples, reference_text, text) -> np.ndarray:
    """What f5_tts's own inference makes of the same, with the same noise."""
    from f5_tts.infer.utils_infer import infer_batch_process, load_vocoder

    vocoder = load_vocoder("vocos", is_local=True, local_path=str(vocos_folder), device="cpu")
    torch.manual_seed(SAY["seed"])
    spoken, rate_hz, _ = next(
        infer_batch_process(
            (torch.from_numpy(samples)[None], f5.RATE_HZ),
            reference_text,
            [text],
            model,
            vocoder,
            progress=None,
            nfe_step=SAY["steps"],
            cfg_strength=SAY["cfg"],
            device="cpu",
        )
    )
    assert rate_hz == f5.RATE_HZ
    return spoken


@pytest.mark.parametrize("level", [0.05, 0.5], ids=["quiet reference", "loud reference"])
@pytest.mark.parametrize("text", ["How are you today, John?", "Yes."])
def test_it_speaks_as_upstream_does(vocos_folder, level, text):
    model = tiny_model()
    samples = reference(level=level)
    vocoder = f5.load_vocoder(vocos_folder)
    ours = f5.speak(model, VOCAB, samples, "Good morning.", text, vocoder=vocoder, **SAY)
    theirs = upstream_speaks(model, vocos_folder, samples, "Good morning.", text)
    assert ours.dtype == np.float32 and ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(theirs).max() > 1e-3


def test_the_reference_may_be_its_features():
    samples = reference(level=0.5)
    said = ["Good morning.", "How are you today, John?"]
    vocoder = f5.load_vocoder(None)
    after_samples, after_mel = (
        f5.speak(tiny_model(), VOCAB, one, *said, vocoder=vocoder, **SAY)
        for one in (samples, f5.clip_features(samples))
    )
    np.testing.assert_allclose(after_mel, after_samples, atol=1e-4)


def test_a_failure_leaves_nothing_of_its_text_in_the_model():
    model = tiny_model().train()

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    hook = model.transformer.proj_out.register_forward_hook(broken)
    say = [VOCAB, reference(), "Hello.", "Hello there."]
    with pytest.raises(RuntimeError, match="out of memory"):
        f5.speak(model, *say, vocoder=f5.load_vocoder(None), **SAY)
    hook.remove()
    assert model.training and model.transformer.text_cond is None


def test_speaking_disturbs_no_training():
    model = tiny_model().train()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = f5.speak(
        model, VOCAB, reference(), "Hello.", "Hello there.", vocoder=f5.load_vocoder(None), **SAY
    )
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    second = f5.speak(
        model, VOCAB, reference(), "Hello.", "Hello there.", vocoder=f5.load_vocoder(None), **SAY
    )
    assert np.array_equal(first, second)
    n_frames = int(24000 // 256 / len("Hello. ") * len("Hello there."))
    assert len(first) == (n_frames - 1) * f5.HOP and np.isfinite(first).all()


def test_what_cannot_be_spoken_is_refused():
    silence, vocoder = np.zeros(24000, np.float32), f5.load_vocoder(None)
    for audio, before, text, message in [
        (reference(), "Hello.", " ", "empty text"),
        (reference(), "", "Hello.", "empty text"),
        (silence, "Hello.", "Hello.", "silent"),
        (reference(), "Hello.", "ሰላም", "ETHIOPIC SYLLABLE SA"),
    ]:
        with pytest.raises(UserError, match=message):
            f5.speak(tiny_model(), VOCAB, audio, before, text, vocoder=vocoder, **SAY)


def test_griffin_lim_gives_back_the_mel():
    samples = reference(20000, level=0.3)
    mel = f5.clip_features(samples)
    again = f5.clip_features(f5.load_vocoder(None)(mel))
    loud = mel > mel.max() - 5
    assert (again[: len(mel)] - mel)[loud].abs().mean() < 0.15


def test_vocos_takes_nothing_but_vocos(tmp_path, vocos_folder):
    with pytest.raises(UserError, match="config.yaml: not there"):
        f5.load_vocoder(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes((vocos_folder / "pytorch_model.bin").read_bytes())
    config = yaml.safe_load((vocos_folder / "config.yaml").read_text())
    changes = [
        (("head", "class_path"), "subprocess.Popen", "expected a class of vocos.heads"),
        (("feature_extractor", "class_path"), "vocos.feature_extractors.EncodecFeatures", "mel"),
        (("feature_extractor", "init_args", "n_mels"), 80, "n_mels is 80"),
        (("head",), 3, "not a configuration of Vocos"),
        (("backbone", "init_args", "dim"), 8, "does not fit config.yaml"),
    ]
    for path, value, message in changes:
        changed = yaml.safe_load(yaml.safe_dump(config))
        target = changed
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(UserError, match=message):
            f5.load_vocoder(tmp_path)


def write_voice(folder, checkpoint_format="pt", update=1200, **changed):
    arguments = {
        "weights": tiny_model(seed=4).state_dict(),
        "update": update,
        "arch": ARCH,
        "vocab": TOKENS,
        "reference": reference(),
        "reference_text": "Good morning.",
        "name": "anna",
        "checkpoint_format": checkpoint_format,
        "about": {"corpora": ["demo"]},
    }
    return f5.export(folder, **arguments | changed)


@pytest.mark.parametrize("checkpoint_format", ["pt", "safetensors"])
def test_upstreams_own_code_loads_the_voice_and_speaks(tmp_path, vocos_folder, checkpoint_format):
    from f5_tts.infer.utils_infer import load_model
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    manifest = write_voice(tmp_path, checkpoint_format)
    # As f5_tts/infer/infer_cli.py does it with --model_cfg, --ckpt_file and --vocab_file.
    config = OmegaConf.load(tmp_path / "config.yaml").model
    model = load_model(
        get_class(f"f5_tts.model.{config.backbone}"),
        config.arch,
        str(tmp_path / manifest["checkpoint"]),
        mel_spec_type=config.mel_spec.mel_spec_type,
        vocab_file=str(tmp_path / "vocab.txt"),
        device="cpu",
    )
    loaded, given = model.state_dict(), tiny_model(seed=4).state_dict()
    assert set(loaded) == set(given)
    assert all(torch.equal(loaded[name], given[name]) for name in given)
    samples, rate_hz = soundfile.read(tmp_path / "reference.wav", dtype="float32")
    assert rate_hz == f5.RATE_HZ
    text = (tmp_path / "reference.txt").read_text().strip()
    theirs = upstream_speaks(model, vocos_folder, samples, text, "How are you, John?")
    ours = f5.speak(
        tiny_model(seed=4),
        VOCAB,
        samples,
        text,
        "How are you, John?",
        vocoder=f5.load_vocoder(vocos_folder),
        **SAY,
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_manifest_lists_every_file(tmp_path):
    manifest = write_voice(tmp_path)
    assert json.loads((tmp_path / "MANIFEST.json").read_text()) == manifest
    assert manifest["update"] == 1200 and manifest["corpora"] == ["demo"]
    assert {f["path"] for f in manifest["files"]} | {"MANIFEST.json"} == {
        path.name for path in tmp_path.iterdir()
    }
    for entry in manifest["files"]:
        assert sha256_file(tmp_path / entry["path"]) == entry["sha256"]
        assert (tmp_path / entry["path"]).stat().st_size == entry["bytes"]


@pytest.mark.parametrize("checkpoint_format", ["pt", "safetensors"])
def test_the_same_bytes_in_another_folder(tmp_path, checkpoint_format):
    for folder in ("a", "b/with space"):
        write_voice(tmp_path / folder, checkpoint_format)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b/with space" / path.name).read_bytes(), path.name


def test_a_new_export_replaces_the_old_model(tmp_path):
    write_voice(tmp_path, update=100)
    (tmp_path / "notes.txt").write_text("mine")
    write_voice(tmp_path, "safetensors", update=200)
    models = [path.name for path in tmp_path.glob("model_*")]
    assert models == ["model_200.safetensors"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("checkpoint_format", ["pt", "safetensors"])
def test_a_voice_is_a_base_for_the_next_run(tmp_path, checkpoint_format):
    manifest = write_voice(tmp_path / "voice", checkpoint_format)
    out = tmp_path / "base.safetensors"
    record = f5.reset(
        tmp_path / "voice" / manifest["checkpoint"], TOKENS, [*TOKENS, "ሰ"], out, 0, ARCH
    )
    assert record["stripped"] == []
    assert record["base"]["weights_sha256"] == manifest["weights_sha256"]


def test_an_export_that_does_not_fit_writes_no_manifest(tmp_path):
    for changed, message in [
        ({"vocab": TOKENS[:-1]}, "do not fit"),
        ({"checkpoint_format": "onnx"}, "export.format"),
        ({"reference_text": " "}, "reference clip or its text is empty"),
    ]:
        with pytest.raises(UserError, match=message):
            write_voice(tmp_path, **changed)
    assert list(tmp_path.iterdir()) == []
