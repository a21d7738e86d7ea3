"""Bases from elsewhere: every layout that is met is read, everything else is refused in words."""

import gzip
import pickle
import random
import zipfile
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from f5_small import TINY, TOKENS, reset, tiny_model, upstream_train
from safetensors.torch import save_file
from voicekiln.config.resolve import load
from voicekiln.errors import UserError
from voicekiln.families import f5
from voicekiln.families.f5.weights import read_base
from voicekiln.weights import kinds
from voicekiln.weights.files import state_sha256

ARCH = f5.architecture(TINY)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> dict:
    """What f5_tts's Trainer saves; the average is given other values than the model."""
    folder = tmp_path_factory.mktemp("upstream")
    trainer = upstream_train(folder, tiny_model(), epochs=1)
    for parameter in trainer.ema_model.ema_model.parameters():
        parameter.data *= 1.5
    trainer.save_checkpoint(21)
    return torch.load(folder / "model_21.pt", weights_only=True)


def renamed(state: dict, old: str, new: str) -> dict:
    return {name.replace(old, new, 1): value for name, value in state.items()}


def whole_average(full: dict) -> dict:
    """The state of an ema_pytorch.EMA that holds the trained model too."""
    from ema_pytorch import EMA

    model = tiny_model()
    model.load_state_dict(full["model_state_dict"])
    average = EMA(model, include_online_model=True)
    average.ema_model.load_state_dict(weights_of(full, "ema"))
    average.step += 9
    return average.state_dict()


def weights_of(full: dict, source: str) -> dict:
    if source == "model":
        return dict(full["model_state_dict"])
    state = full["ema_model_state_dict"]
    return {k[len("ema_model.") :]: v for k, v in state.items() if k.startswith("ema_model.")}


# name -> (content made from the Trainer's, the copy whose weights count)
LAYOUTS = {
    "Trainer": (lambda full: full, "ema"),
    "Trainer of old, with step": (
        lambda full: {k: v for k, v in full.items() if k != "update"} | {"step": 1_200_000},
        "ema",
    ),
    "average alone": (lambda full: {"ema_model_state_dict": full["ema_model_state_dict"]}, "ema"),
    "average, flat": (lambda full: full["ema_model_state_dict"], "ema"),
    "average, flat, no counters": (
        lambda full: renamed(weights_of(full, "ema"), "", "ema_model."),
        "ema",
    ),
    "average with the model": (lambda full: {"ema_model_state_dict": whole_average(full)}, "ema"),
    "average with update": (
        lambda full: {
            "ema_model_state_dict": full["ema_model_state_dict"] | {"update": torch.tensor(9)}
        },
        "ema",
    ),
    "average empty": (
        lambda full: full | {"ema_model_state_dict": {}},
        "model",
    ),
    "model alone": (lambda full: {"model_state_dict": full["model_state_dict"]}, "model"),
    "model, flat": (lambda full: full["model_state_dict"], "model"),
    "DistributedDataParallel": (
        lambda full: renamed(full["model_state_dict"], "", "module."),
        "model",
    ),
    "torch.compile": (lambda full: renamed(full["model_state_dict"], "", "_orig_mod."), "model"),
    "torch.compile of the transformer": (
        lambda full: renamed(full["model_state_dict"], "transformer.", "transformer._orig_mod."),
        "model",
    ),
    "average of both": (
        lambda full: {
            "ema_model_state_dict": renamed(
                full["ema_model_state_dict"], "ema_model.", "ema_model.module._orig_mod."
            )
        },
        "ema",
    ),
    "half": (lambda full: {k: v.half() for k, v in full["model_state_dict"].items()}, "half"),
    "odd counters": (
        lambda full: (
            weights_of(full, "model")
            | {"step": torch.tensor([1, 2]), "initted": torch.tensor(float("nan"))}
        ),
        "model",
    ),
}


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".PT", ".safetensors"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_weights_come_out_of_every_layout(tmp_path, trained, layout, suffix):
    make, source = LAYOUTS[layout]
    content = make(trained)
    path = tmp_path / f"base{suffix}"
    if suffix != ".safetensors":
        torch.save(content, path, _use_new_zipfile_serialization=suffix != ".pth")
    elif all(isinstance(value, torch.Tensor) for value in content.values()):
        save_file({name: value.clone() for name, value in content.items()}, path)
    else:
        pytest.skip("safetensors files hold tensors alone")
    if source == "half":
        expected = {k: v.half() for k, v in weights_of(trained, "model").items()}
    else:
        expected = weights_of(trained, source)
    assert state_sha256(f5.read_weights(path)) == state_sha256(expected)
    record = reset(path, TOKENS, TOKENS, tmp_path / "out.safetensors", 0, ARCH)
    assert record["base"]["weights_sha256"] == state_sha256(expected)
    load_with_base(path)
    assert len(record["stripped"]) <= 8  # a list to be read, not all the names of a model


def xtts(full: dict) -> dict:
    """Names as in XTTS's model.pth (MODELS of coqui-tts 0.28)."""
    names = ("gpt.gpt.h.0.attn.c_attn.weight", "gpt.text_embedding.weight", "mel_stats")
    names += ("hifigan_decoder.waveform_decoder.conv_pre.weight",)
    return {"config": {}, "model": {f"xtts.{name}": torch.zeros(2) for name in names}}


def whisper_checkpoint(full: dict) -> dict:
    from dataclasses import asdict

    from whisper.model import ModelDimensions, Whisper

    dims = ModelDimensions(80, 8, 8, 2, 1, 50, 8, 8, 2, 1)
    return {"dims": asdict(dims), "model_state_dict": Whisper(dims).state_dict()}


def vocos_checkpoint(full: dict) -> dict:
    from vocos.feature_extractors import MelSpectrogramFeatures
    from vocos.heads import ISTFTHead
    from vocos.models import VocosBackbone
    from vocos.pretrained import Vocos

    parts = MelSpectrogramFeatures(), VocosBackbone(100, 8, 8, 1), ISTFTHead(8, 1024, 256)
    return Vocos(*parts).state_dict()


def unett_checkpoint(full: dict) -> dict:
    from f5_tts.model import CFM, UNetT

    unett = UNetT(
        dim=64, depth=2, heads=2, dim_head=32, text_dim=32, text_num_embeds=58, mel_dim=100
    )
    return CFM(transformer=unett, mel_spec_kwargs={"n_mel_channels": 100}).state_dict()


OTHERS = {
    "XTTS": (xtts, "an XTTS model"),
    "Whisper": (whisper_checkpoint, "a Whisper model"),
    "Vocos": (vocos_checkpoint, "a Vocos vocoder"),
    "BigVGAN": (
        lambda full: {"generator": {"conv_pre.bias": torch.zeros(1), "ups.0.0.bias": 0}},
        "a vocoder",
    ),
    "E2-TTS": (unett_checkpoint, "an E2-TTS model"),
    "optimiser": (
        lambda full: {"optimizer_state_dict": full["optimizer_state_dict"], "update": 7},
        "an optimiser's state",
    ),
    "optimiser, bare": (lambda full: full["optimizer_state_dict"], "an optimiser's state"),
    "LoRA": (
        lambda full: {"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.zeros(1)},
        "a LoRA adapter",
    ),
    "numbers as names": (lambda full: {1: torch.zeros(1), "a": 2}, "no such weights"),
    "nothing": (lambda full: {}, "its entries: none"),
}


def refused(path: Path, arch=ARCH, tokens=TOKENS) -> str:
    """The words of a refusal: one line, that names the file; nothing is written."""
    out = path.parent / "out.safetensors"
    with pytest.raises(UserError) as caught:
        reset(path, tokens, tokens, out, 0, arch)
    assert not out.exists()
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 900
    assert "weights_only" not in message  # torch's advice is to run what is in the file
    return message


@pytest.mark.parametrize("other", OTHERS)
def test_a_checkpoint_of_something_else_is_called_by_its_name(tmp_path, trained, other):
    make, words = OTHERS[other]
    torch.save(make(trained), tmp_path / "base.pt")
    message = refused(tmp_path / "base.pt")
    assert words in message
    assert "expected an F5-TTS checkpoint" in message and "base.checkpoint" in message
    if "E2" not in other:  # its embedding has the same name
        with pytest.raises(UserError, match="runs.voice.base.checkpoint: .* of F5-TTS, found"):
            load_with_base(tmp_path / "base.pt")


def test_a_released_model_in_place_of_another_is_recognised():
    from voicekiln.families.f5.architecture import shapes
    from voicekiln.families.f5.weights import require_shapes

    small = shapes(f5.architecture("F5TTS_Small"), 10)
    with torch.device("meta"):
        weights = {name: torch.empty(shape) for name, shape in small.items()}
    with pytest.raises(UserError) as caught:
        require_shapes(weights, shapes(f5.architecture("F5TTS_Base"), 10), "small.pt")
    message = str(caught.value)
    assert "depth is 18 in the file, 22 in the model" in message
    assert "dim is 768 in the file, 1024 in the model" in message
    assert "those of F5TTS_Small and F5TTS_v1_Small" in message


@pytest.mark.parametrize(
    "value, number",
    [("dim", 128), ("depth", 3), ("text_dim", 64), ("conv_layers", 2), ("ff_mult", 4)],
)
def test_the_value_that_differs_is_named(tmp_path, trained, value, number):
    torch.save(trained, tmp_path / "base.pt")
    message = refused(tmp_path / "base.pt", f5.architecture(TINY | {value: number}))
    assert f"{value} is {TINY[value]} in the file, {number} in the model" in message
    assert "base.model" in message


def test_another_vocabulary_is_named_with_both_sizes(tmp_path, trained):
    torch.save(trained, tmp_path / "base.pt")
    message = refused(tmp_path / "base.pt", tokens=[*TOKENS, "é"])
    assert f"{len(TOKENS)} tokens" in message and f"holds {len(TOKENS) + 1}" in message
    assert "give the vocab.txt" in message


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to(torch.int8),
        lambda t: t.to(torch.float8_e4m3fn),
        lambda t: t.to("meta"),
        lambda t: t.to_sparse(),
    ],
    ids=["int8", "fp8", "meta", "sparse"],
)
def test_tensors_that_cannot_be_trained_are_named(tmp_path, trained, change):
    name = "transformer.proj_out.weight"
    state = trained["model_state_dict"]
    torch.save(state | {name: change(state[name])}, tmp_path / "base.pt")
    assert f"tensor {name}: expected torch.float32" in refused(tmp_path / "base.pt")


def test_an_embedding_without_rows_is_refused(tmp_path, trained):
    name = "transformer.text_embed.text_embed.weight"
    torch.save(trained["model_state_dict"] | {name: torch.tensor(5.0)}, tmp_path / "base.pt")
    assert "a row for each token" in refused(tmp_path / "base.pt")


@pytest.mark.parametrize("form", [".pt", ".pt of old", ".safetensors"])
def test_a_file_cut_at_any_share_of_its_bytes_is_called_truncated(tmp_path, trained, form):
    path = tmp_path / f"base{form.split()[0]}"
    if form == ".safetensors":
        save_file(trained["model_state_dict"], path)
    else:
        torch.save(trained, path, _use_new_zipfile_serialization=form == ".pt")
    whole = path.read_bytes()
    cuts = {share * len(whole) // 40 for share in range(1, 40)} | {1, 7, 8, 9, len(whole) - 1}
    for n_bytes in sorted(cuts, reverse=True):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(UserError) as caught:
            read_base(path)
        message = str(caught.value)
        assert message.startswith(str(path)) and "weights_only" not in message, n_bytes
        assert "download it again" in message or "download the file" in message, message


def test_a_hole_in_a_download_is_found_by_the_checksums(tmp_path, trained):
    path = tmp_path / "base.pt"
    torch.save(trained, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 4096] = bytes(4096)
    path.write_bytes(data)
    assert read_base(path).weights  # torch does not look
    assert "truncated or damaged" in refused(path) and "Bad CRC-32" in refused(path)
    # A file can be written without checksums; it is taken as it is.
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(trained, path)
    finally:
        torch.serialization.set_crc32_options(True)
    reset(path, TOKENS, TOKENS, tmp_path / "out.safetensors", 0, ARCH)


@pytest.mark.parametrize("form", [".pt", ".pth", ".safetensors"])
def test_whatever_bytes_are_changed_it_is_read_or_refused_in_one_line(tmp_path, trained, form):
    rng, path = random.Random(0), tmp_path / f"base{form}"
    state = trained["model_state_dict"]
    if form == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=form == ".pt")
    whole = path.read_bytes()
    for n in range(80):
        changed = bytearray(whole)
        if n % 4 == 0:  # a piece is missing
            at = rng.randrange(len(whole))
            del changed[at : at + rng.randrange(1, 5000)]
        for _ in range(3):  # near the start, near the end, anywhere
            near = (rng.randrange(3000), -1 - rng.randrange(6000), rng.randrange(len(changed)))
            changed[near[n % 3]] = rng.randrange(256)
        path.write_bytes(changed)
        try:
            load_with_base(path)
            read_base(path)
        except UserError as error:
            assert str(path) in str(error) and str(error).count("\n") <= 1


def zip_of(path: Path, name: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1348428176\n"
NO_CHECKPOINTS = {
    "git-lfs pointer": (lambda p: p.write_text(POINTER), "git lfs pull"),
    "web page": (lambda p: p.write_text("<!DOCTYPE html>\n<title>Log in</title>"), "a web page"),
    "error in XML": (lambda p: p.write_text("<?xml?><Code>AccessDenied</Code>"), "AccessDenied"),
    "error in JSON": (lambda p: p.write_text('{"error": "not found"}'), "not found"),
    "error": (lambda p: p.write_text("Access to model é is restricted. " * 9), "is restricted"),
    "empty": (lambda p: p.touch(), "is empty (0 bytes)"),
    "folder": (lambda p: (p / "model_1.pt").mkdir(parents=True), "folder; it contains model_1.pt"),
    "folder of nothing": (lambda p: p.mkdir(), "folder; it contains none"),
    "zeros": (lambda p: p.write_bytes(bytes(9000)), "starts with zeros"),
    "gzip": (lambda p: p.write_bytes(gzip.compress(b"x")), "a gzip archive; unpack it"),
    "sound": (lambda p: p.write_bytes(b"RIFF\x24\0\0\0WAVEfmt "), "a sound file"),
}


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_said_at_the_reset_and_when_the_settings_are_read(
    tmp_path, kind, suffix
):
    make, words = NO_CHECKPOINTS[kind]
    path = tmp_path / f"base{suffix}"
    make(path)
    assert words in refused(path)
    with pytest.raises(UserError, match=f"runs.voice.base.checkpoint: .*base{suffix}: ") as caught:
        load_with_base(path)
    assert words in str(caught.value)


def load_with_base(checkpoint: Path) -> None:
    """Load a configuration whose run `voice` starts from this file."""
    base = {"checkpoint": str(checkpoint), "vocab": __file__, "model": "F5TTS_Base"}
    config = {
        "corpora": {"c": {"audio": str(ROOT), "language": "en"}},
        "runs": {"voice": {"corpus": "c", "family": "f5", "base": base}},
    }
    load(config, ROOT)


def test_a_file_under_the_other_formats_name_is_told_its_own(tmp_path, trained):
    torch.save(trained, tmp_path / "a.safetensors")
    assert "rename it to .pt" in refused(tmp_path / "a.safetensors")
    save_file(trained["model_state_dict"], tmp_path / "b.pt")
    assert "rename it to b.safetensors" in refused(tmp_path / "b.pt")
    zip_of(tmp_path / "c.pt", "model/weights.txt")
    assert "another zip archive" in refused(tmp_path / "c.pt")
    script = torch.jit.trace(torch.nn.Linear(1, 1), torch.zeros(1, 1))
    torch.jit.save(script, tmp_path / "d.pt")
    assert "a TorchScript program" in refused(tmp_path / "d.pt")
    (tmp_path / "e.gguf").touch()
    assert "expected a checkpoint file (.safetensors, .pt" in refused(tmp_path / "e.gguf")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_a_whole_model_is_refused_by_its_classes(tmp_path, legacy):
    torch.save(tiny_model(), tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    message = refused(tmp_path / "a.pt")
    assert "the file loads f5_tts.model.backbones.dit.DiT" in message and "more;" in message
    layers = torch.nn.Sequential(torch.nn.Linear(1, 1))
    torch.save(layers, tmp_path / "b.pt", _use_new_zipfile_serialization=not legacy)
    assert "the file loads torch.nn.modules.container.Sequential" in refused(tmp_path / "b.pt")


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_beside_real_weights_is_named_and_not_run(tmp_path, trained, protocol):
    class Mark:
        def __reduce__(self):
            return Path.touch, (tmp_path / "executed",)

    path = tmp_path / "base.pt"
    path.write_bytes(pickle.dumps({"step": Mark(), "update": 7}, protocol))
    assert "rejected, because the file loads" in refused(path)
    torch.save(trained | {"step": Mark()}, path)
    assert "pathlib.Path" in refused(path) or "getattr" in refused(path)
    assert not (tmp_path / "executed").exists()


def test_a_file_that_torch_reads_is_never_called_a_problem(tmp_path):
    for content in ({}, {"a": torch.zeros(0)}, {"a" * 600: 1}):
        for new in (True, False):
            torch.save(content, tmp_path / "x.pt", _use_new_zipfile_serialization=new)
            assert kinds.problem(tmp_path / "x.pt") is None
    save_file({}, tmp_path / "x.safetensors")
    assert kinds.problem(tmp_path / "x.safetensors") is None
    save_file({"a": torch.zeros(0), "b": torch.ones(3)}, tmp_path / "x.safetensors", {"f": "pt"})
    assert kinds.problem(tmp_path / "x.safetensors") is None
