"""An XTTS base: files are read tensors only, checked in every respect, and never written to."""

import json
import os
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from voicekiln import upstream  # noqa: F401  before coqui-tts
from voicekiln.errors import UserError
from voicekiln.families import base as bases
from voicekiln.families import facts
from voicekiln.families.xtts import sizes, weights
from voicekiln.families.xtts.check import check
from voicekiln.families.xtts.model import build
from voicekiln.provenance import sha256_file
from xtts_small import FILES, base_files

FACTS = facts.of("xtts")


@pytest.fixture
def files(xtts_release) -> dict[str, Path]:
    return base_files(xtts_release)


@pytest.fixture(scope="session")
def state(xtts_release) -> dict[str, torch.Tensor]:
    """Tensors of the release's model.pth."""
    return torch.load(xtts_release / "model.pth", weights_only=True)["model"]


def small(state: dict) -> dict:
    """Without the decoder, which makes files large."""
    return {name: value for name, value in state.items() if not name.startswith("hifigan")}


def refused(base: dict, arch: dict | None = None) -> str:
    with pytest.raises(UserError) as caught:
        check(base, arch or sizes.architecture(None, base))
    return str(caught.value)


def test_a_release_passes_and_is_not_written_to(files):
    before = {name: (sha256_file(path), path.stat().st_mtime_ns) for name, path in files.items()}
    arch = sizes.architecture(None, files)
    assert arch == {
        "layers": 2,
        "width": 64,
        "heads": 4,
        "n_audio_tokens": 34,
        "max_text_tokens": 402,
        "max_audio_tokens": 605,
        "cond_latents": 32,
        "start_audio": 32,
        "stop_audio": 33,
        "start_text": json.loads(files["config"].read_text())["model_args"]["gpt_start_text_token"],
        "stop_text": 0,
        "dropout": 0.1,
    }
    found = check(files, arch)
    assert len(found) == 90 and weights.vocabulary_tensors(found) == [
        "text_embedding.weight",
        "text_head.weight",
        "text_head.bias",
    ]
    after = {name: (sha256_file(path), path.stat().st_mtime_ns) for name, path in files.items()}
    assert after == before


# S4-55, S4-78
@pytest.mark.parametrize("name", FILES)
def test_each_missing_file_is_reported_with_its_purpose_and_place(tmp_path, files, name):
    for one, path in files.items():
        if one != name:
            (tmp_path / path.name).symlink_to(path)
    with pytest.raises(UserError) as caught:
        bases.paths({"folder": str(tmp_path)}, FACTS, lambda path: path)
    message = str(caught.value)
    assert f"1 of 6 files of XTTS v2 missing; copy them from {FACTS.release}" in message
    assert f"base.{name}: {FACTS.files[name].description} ({FILES[name]} in the release)" in message
    message = refused({k: v for k, v in files.items() if k != name}, {"any": 1})
    assert f"base.{name}: " in message and "1 of 6" in message


def test_all_missing_files_are_in_one_message(tmp_path):
    with pytest.raises(UserError) as caught:
        bases.paths({"folder": str(tmp_path)}, FACTS, lambda path: path)
    assert all(f"({file} in the release)" in str(caught.value) for file in FILES.values())


def layouts(state: dict) -> dict:
    trainer = {f"xtts.{name}": value for name, value in state.items()}
    trainer |= {"dvae.codebook.embed": torch.ones(2, 3)}
    trainer |= {f"torch_mel_spectrogram_{x}.mel_stft.window": torch.ones(2) for x in ("a", "b")}
    generated = {"gpt.gpt.wte.weight": torch.ones(3), "gpt.gpt_inference.x": torch.ones(3)}
    return {
        "release": {"config": {"a": 1}, "model": state},
        "flat": state,
        "generated from": {"model": state | generated},
        "training": {"config": {}, "model": trainer, "optimizer": {"state": {}}, "step": 7},
    }


@pytest.mark.parametrize("layout", ["release", "flat", "generated from", "training"])
def test_every_layout_holds_the_same_weights(tmp_path, state, layout):
    few = small(state)
    torch.save(layouts(few)[layout], tmp_path / "best_model.pth")
    found = weights.read(tmp_path / "best_model.pth")
    expected = {n.removeprefix("gpt."): v for n, v in few.items() if n.startswith("gpt.")}
    assert found.gpt.keys() == expected.keys()
    assert all(torch.equal(found.gpt[name], expected[name]) for name in expected)
    assert list(found.rest) == ["mel_stats"]
    if layout == "training":
        assert found.source == "training"
        assert {"step = 7", "optimizer (1 entries)", "dvae.codebook.embed"} <= set(found.left_out)


def test_a_pickled_config_is_skipped_without_its_classes(tmp_path, state):
    from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig

    config = XttsConfig(model_args=XttsArgs(gpt_layers=2))
    few = small(state)
    for form in (True, False):  # a zip archive; as torch before 1.6 wrote it
        torch.save(
            {"config": config, "model": few},
            tmp_path / "model.pth",
            _use_new_zipfile_serialization=form,
        )
        found = weights.read(tmp_path / "model.pth")
        assert found.left_out == ["config (a pickled object, not read)"]
        assert len(found.gpt) == 90


class Evil:
    """Runs a command when it is unpickled by the usual means."""

    def __reduce__(self):
        return os.system, ("touch evil",)


def test_other_pickled_objects_are_refused_by_name(tmp_path, state, monkeypatch):
    monkeypatch.chdir(tmp_path)
    from TTS.tts.configs.xtts_config import XttsArgs

    torch.save({"config": XttsArgs(), "x": Evil(), "model": small(state)}, "model.pth")
    with pytest.raises(UserError, match="rejected, because the file loads (posix|nt).system; only"):
        weights.read(Path("model.pth"))
    assert not Path("evil").exists()


@pytest.mark.parametrize(
    "key, value, tensor",
    [
        ("gpt_layers", 30, "gpt.gpt.h.*"),
        ("gpt_n_model_channels", 1024, "gpt.mel_embedding.weight"),
        ("gpt_num_audio_tokens", 8194, "gpt.mel_embedding.weight"),
        ("gpt_max_text_tokens", 100, "gpt.text_pos_embedding.emb.weight"),
        ("gpt_max_audio_tokens", 100, "gpt.mel_pos_embedding.emb.weight"),
        ("gpt_n_heads", 7, "gpt.mel_embedding.weight"),
        ("gpt_stop_audio_token", 8193, "gpt.mel_embedding.weight"),
    ],
)
def test_a_config_that_contradicts_the_tensors_is_named_with_both(
    tmp_path, files, key, value, tensor
):
    config = json.loads(files["config"].read_text())
    config["model_args"][key] = value
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError) as caught:
        sizes.architecture(None, files | {"config": tmp_path / "config.json"})
    message = str(caught.value)
    assert f"config.json: model_args.{key} is {value}" in message
    assert tensor in message and str(files["model"]) in message


def changed(files: dict, tmp_path: Path, name: str, content) -> dict:
    """The base with another file in the place of one."""
    path = tmp_path / FILES[name]
    if isinstance(content, str):
        path.write_text(content)
    else:
        torch.save(content, path)
    return files | {name: path}


def test_files_of_another_model_are_named(tmp_path, files, state):
    arch = sizes.architecture(None, files)
    vocab = json.loads(files["vocab"].read_text())
    vocab["model"]["vocab"]["new"] = 1 + max(vocab["model"]["vocab"].values())
    n = len(state["gpt.text_embedding.weight"])
    message = refused(changed(files, tmp_path, "vocab", json.dumps(vocab)), arch)
    assert f"has {n + 1} tokens, but gpt.text_embedding.weight" in message
    assert f"{n} rows" in message

    dvae = torch.load(files["dvae"], weights_only=True)
    more = dvae | {"codebook.embed": torch.ones(dvae["codebook.embed"].shape[0], 40)}
    message = refused(changed(files, tmp_path, "dvae", more), arch)
    assert "has 40 codes" in message and "for 32 codes" in message
    assert "encoder.0.0.weight" in refused(changed(files, tmp_path, "dvae", {"a": more}), arch)
    wrong = {"Ana": {"gpt_cond_latent": torch.ones(1, 32, 9), "speaker_embedding": torch.ones(1)}}
    message = refused(changed(files, tmp_path, "speakers", wrong), arch)
    assert "Ana: gpt_cond_latent: expected a tensor (1, 32, 64), got (1, 32, 9)" in message
    message = refused(changed(files, tmp_path, "mel_stats", torch.ones(81)), arch)
    assert "shape (80,), got (81,)" in message
    message = refused(changed(files, tmp_path, "model", {"model": small(state)}), arch)
    assert "its decoder is not the one that coqui-tts builds" in message
    assert "; 533 more; give" in message


def test_a_model_that_cannot_be_trained_is_named(tmp_path, files, state):
    arch = sizes.architecture(None, files)
    name = "gpt.final_norm.weight"
    for value, words in (
        (torch.full((64,), float("nan")), "tensor final_norm.weight holds NaN"),
        (torch.ones(65), "gpt.final_norm.weight: (65,) in the file, expected (64,)"),
    ):
        base = changed(files, tmp_path, "model", OrderedDict(small(state) | {name: value}))
        assert words in refused(base, arch)
    few = {n: v for n, v in small(state).items() if "perceiver" not in n}
    with pytest.raises(UserError, match="perceiver.latents: expected a matrix.*no XTTS v2"):
        sizes.architecture(None, changed(files, tmp_path, "model", few))
    with pytest.raises(UserError, match="expected XTTS weights .* found"):
        weights.read(changed(files, tmp_path, "model", {"a": torch.ones(1)})["model"])


# S4-82, E-8
def test_the_parameters_of_upstreams_trainer_are_accounted_for_by_part():
    """`Model has 517360175 parameters`: of a vocabulary of 6153 tokens, the release's has 6681."""
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from TTS.tts.layers.xtts.hifigan_decoder import HifiDecoder

    arch = {"layers": 30, "width": 1024, "heads": 16, "n_audio_tokens": 1026}
    arch |= {"max_text_tokens": 402, "max_audio_tokens": 605, "cond_latents": 32}
    arch |= {"start_text": 261, "stop_text": 0, "start_audio": 1024, "stop_audio": 1025}
    with torch.device("meta"):
        gpt = {n_tokens: build(arch, n_tokens) for n_tokens in (6153, 6681)}
    dvae = DiscreteVAE(
        channels=80,
        normalization=None,
        positional_dims=1,
        num_tokens=1024,
        codebook_dim=512,
        hidden_dim=512,
        num_resnet_blocks=3,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    )
    state = gpt[6681].state_dict()
    found = sizes.dimensions(state, Path("model.pth"))
    assert found == {name: arch[name] for name in found} and len(state) == 426
    decoder = HifiDecoder(decoder_input_dim=1024, d_vector_dim=512)
    parts = {
        "gpt": gpt[6681],
        "dvae": dvae,
        "waveform decoder": decoder.waveform_decoder,
        "speaker encoder": decoder.speaker_encoder,
    }
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    assert counts == {
        "gpt": 441_018_563,
        "dvae": 51_567_184,
        "waveform decoder": 17_827_808,
        "speaker encoder": 8_028_492,
    }
    rows = (6681 - 6153) * (2 * 1024 + 1)  # embedding, head and its bias
    assert sum(p.numel() for p in gpt[6153].parameters()) == counts["gpt"] - rows
    assert sum(counts.values()) - rows == 517_360_175
