"""Speaking and exporting, with upstream's inference code as the judge."""

import json
import runpy
import shlex
import sys

import numpy as np
import pytest
import soundfile
import torch
import voicekiln.upstream  # noqa: F401  (f5_tts and vocos can be imported after it)
import yaml
from f5_small import TINY, TOKENS, reset, tiny_model, tiny_vocos
from voicekiln.errors import UserError
from voicekiln.families import Clip, f5
from voicekiln.families.f5.mel import log_mel
from voicekiln.families.f5.text import Characters
from voicekiln.provenance import sha256_file
from voicekiln.voice import manifest

ARCH = f5.architecture(TINY)
TOKENIZER = Characters(TOKENS)
SAY = {"steps": 4, "cfg_strength": 2.0, "seed": 5}


def reference(n_samples: int = 24000, level: float = 0.05) -> np.ndarray:
    """A gliding tone with noise."""
    t = np.arange(n_samples) / f5.RATE_HZ
    noise = np.random.default_rng(0).standard_normal(n_samples)
    tone = np.sin(2 * np.pi * (200 + 100 * t) * t)
    return (level * (tone + 0.1 * noise)).astype(np.float32)


def prompt(samples, text, only_mel=False) -> Clip:
    """A reference clip."""
    mel = log_mel(samples) if only_mel else None
    return Clip("", text, "en", None, {"mel": mel}, samples=None if only_mel else samples)


def speak(model, samples, reference_text, text, folder=None, only_mel=False):
    """What F5-TTS speaks after a clip, with a vocoder from a folder."""
    decoder = f5.decoder({}, folder, "cpu")
    clip = prompt(samples, reference_text, only_mel)
    return f5.speak(model, TOKENIZER, decoder, clip, text, "en", **SAY)


@pytest.fixture(scope="module")
def vocos_folder(tmp_path_factory):
    """A tiny Vocos of the real class with random weights."""
    return tiny_vocos(tmp_path_factory.mktemp("vocos"))


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
            cfg_strength=SAY["cfg_strength"],
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
    ours = speak(model, samples, "Good morning.", text, vocos_folder)
    theirs = upstream_speaks(model, vocos_folder, samples, "Good morning.", text)
    assert ours.dtype == np.float32 and ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert np.abs(theirs).max() > 1e-3


def test_the_reference_may_be_its_features():
    samples = reference(level=0.5)
    said = ["Good morning.", "How are you today, John?"]
    after_samples, after_mel = (
        speak(tiny_model(), samples, *said, only_mel=only) for only in (False, True)
    )
    np.testing.assert_allclose(after_mel, after_samples, atol=1e-4)


def test_a_failure_leaves_nothing_of_its_text_in_the_model():
    model = tiny_model().train()

    def broken(*_, **__):
        raise RuntimeError("out of memory")

    hook = model.transformer.proj_out.register_forward_hook(broken)
    with pytest.raises(RuntimeError, match="out of memory"):
        speak(model, reference(), "Hello.", "Hello there.")
    hook.remove()
    assert model.training and model.transformer.text_cond is None


def test_speaking_disturbs_no_training():
    model = tiny_model().train()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = speak(model, reference(), "Hello.", "Hello there.")
    assert torch.equal(torch.rand(3), expected)
    assert model.training
    second = speak(model, reference(), "Hello.", "Hello there.")
    assert np.array_equal(first, second)
    n_frames = int(24000 // 256 / len("Hello. ") * len("Hello there."))
    assert len(first) == (n_frames - 1) * 256 and np.isfinite(first).all()


def test_what_cannot_be_spoken_is_refused():
    silence = np.zeros(24000, np.float32)
    for audio, before, text, message in [
        (reference(), "Hello.", " ", "empty text"),
        (reference(), "", "Hello.", "empty text"),
        (silence, "Hello.", "Hello.", "silent"),
        (reference(), "Hello.", "ሰላም", "ETHIOPIC SYLLABLE SA"),
    ]:
        with pytest.raises(UserError, match=message):
            speak(tiny_model(), audio, before, text)


def test_griffin_lim_gives_back_the_mel():
    samples = reference(20000, level=0.3)
    mel = log_mel(samples)
    again = log_mel(f5.decoder({}, None, "cpu")(mel))
    loud = mel > mel.max() - 5
    assert (again[: len(mel)] - mel)[loud].abs().mean() < 0.15


def test_vocos_takes_nothing_but_vocos(tmp_path, vocos_folder):
    with pytest.raises(UserError, match="config.yaml: missing"):
        f5.decoder({}, tmp_path, "cpu")
    (tmp_path / "pytorch_model.bin").write_bytes((vocos_folder / "pytorch_model.bin").read_bytes())
    config = yaml.safe_load((vocos_folder / "config.yaml").read_text())
    changes = [
        (("head", "class_path"), "subprocess.Popen", "expected a class of vocos.heads"),
        (("feature_extractor", "class_path"), "vocos.feature_extractors.EncodecFeatures", "mel"),
        (("feature_extractor", "init_args", "n_mels"), 80, "n_mels is 80"),
        (("head",), 3, "not a configuration of Vocos"),
        (("backbone", "init_args", "dim"), 8, "does not fit config.yaml"),
        (("backbone", "init_args", "dims"), 8, "no Vocos can be made from it"),
        (("feature_extractor", "init_args"), None, "feature_extractor: expected the name"),
        (("backbone", "class_path"), 3, "backbone: expected the name of a class"),
    ]
    for path, value, message in changes:
        changed = yaml.safe_load(yaml.safe_dump(config))
        target = changed
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(UserError, match=message):
            f5.decoder({}, tmp_path, "cpu")


REFERENCES = {"anna": (reference(), "Good morning."), "ben": (reference(9000), "Hello.")}


def write_voice(
    folder, checkpoint_format="pt", seed=4, tokens=TOKENS, references=REFERENCES, vocoder=None
):
    """Exports a voice as the rule does; returns its manifest."""
    about = {"name": "anna", "update": 1200, "corpora": ["demo"]}
    written = f5.export(
        folder,
        tiny_model(seed=seed).state_dict(),
        {},
        ARCH,
        Characters(tokens),
        {name: samples for name, (samples, _) in references.items()},
        {name: text for name, (_, text) in references.items()},
        {"format": checkpoint_format, "vocoder": vocoder},
        about,
    )
    return manifest.write(folder, about | written)


@pytest.mark.parametrize("checkpoint_format", ["pt", "safetensors"])
def test_upstreams_own_code_loads_the_voice_and_speaks(tmp_path, vocos_folder, checkpoint_format):
    from f5_tts.infer.utils_infer import load_model
    from hydra.utils import get_class
    from omegaconf import OmegaConf

    facts = write_voice(tmp_path, checkpoint_format)
    # As f5_tts/infer/infer_cli.py does it with --model_cfg, --ckpt_file and --vocab_file.
    config = OmegaConf.load(tmp_path / "config.yaml").model
    model = load_model(
        get_class(f"f5_tts.model.{config.backbone}"),
        config.arch,
        str(tmp_path / facts["checkpoint"]),
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
    ours = speak(tiny_model(seed=4), samples, text, "How are you, John?", vocos_folder)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_the_manifest_lists_every_file(tmp_path):
    facts = write_voice(tmp_path)
    assert json.loads((tmp_path / "MANIFEST.json").read_text()) == facts
    assert facts["update"] == 1200 and facts["corpora"] == ["demo"]
    assert {f["path"] for f in facts["files"]} | {"MANIFEST.json"} == {
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    }
    for entry in facts["files"]:
        assert sha256_file(tmp_path / entry["path"]) == entry["sha256"]
        assert (tmp_path / entry["path"]).stat().st_size == entry["bytes"]


@pytest.mark.parametrize("checkpoint_format", ["pt", "safetensors"])
def test_the_same_bytes_in_another_folder(tmp_path, checkpoint_format):
    for folder in ("a", "b/with space"):
        write_voice(tmp_path / folder, checkpoint_format)
    facts = json.loads((tmp_path / "a/MANIFEST.json").read_text())
    for path in ["MANIFEST.json", *(file["path"] for file in facts["files"])]:
        again = tmp_path / "b/with space" / path
        assert (tmp_path / "a" / path).read_bytes() == again.read_bytes(), path


@pytest.mark.parametrize("checkpoint_format", ["pt", "safetensors"])
def test_a_voice_is_a_base_for_the_next_run(tmp_path, checkpoint_format):
    facts = write_voice(tmp_path / "voice", checkpoint_format)
    out = tmp_path / "base.safetensors"
    assert facts["base_files"] == {"checkpoint": facts["checkpoint"], "vocab": "vocab.txt"}
    checkpoint = tmp_path / "voice" / facts["base_files"]["checkpoint"]
    record = reset(checkpoint, TOKENS, [*TOKENS, "ሰ"], out, 0, ARCH)
    assert record["stripped"] == []
    assert record["base"]["weights_sha256"] == facts["weights_sha256"]


def test_an_export_that_does_not_fit_writes_no_manifest(tmp_path):
    for changed, message in [
        ({"tokens": TOKENS[:-1]}, "do not fit"),
        ({"checkpoint_format": "onnx"}, "export.format"),
        ({"references": {"anna": (reference(), " ")}}, "reference clip anna or its text is empty"),
    ]:
        with pytest.raises(UserError, match=message):
            write_voice(tmp_path, **changed)
    assert list(tmp_path.iterdir()) == []


def test_every_speaker_has_a_reference_and_the_first_is_the_main_one(tmp_path):
    write_voice(tmp_path)
    for name, text, n in (("anna", "Good morning.", 24000), ("ben", "Hello.", 9000)):
        assert (tmp_path / f"references/{name}.txt").read_text() == text + "\n"
        assert soundfile.info(tmp_path / f"references/{name}.wav").frames == n
    for suffix in (".wav", ".txt"):
        main = (tmp_path / "references/anna").with_suffix(suffix).read_bytes()
        assert (tmp_path / "reference").with_suffix(suffix).read_bytes() == main


@pytest.fixture(scope="module")
def spoken_with(tmp_path_factory, vocos_folder):
    """A voice with its vocoder."""
    folder = tmp_path_factory.mktemp("voice") / "export"
    (vocos_folder / "LICENSE").write_text("MIT")
    (vocos_folder / "optimizer.pt").write_text("no part of it")
    write_voice(folder, vocoder=vocos_folder)
    return folder


def test_the_vocoder_comes_along_with_its_licence(spoken_with, vocos_folder):
    facts = json.loads((spoken_with / "MANIFEST.json").read_text())
    folder = spoken_with / facts["vocoder"]
    assert {p.name for p in folder.iterdir()} == {"config.yaml", "pytorch_model.bin", "LICENSE"}
    for path in folder.iterdir():
        assert path.read_bytes() == (vocos_folder / path.name).read_bytes()
    assert "vocoder and keeps its licence" in (spoken_with / "HOW_TO_SPEAK.md").read_text()


def block(folder, language):
    """The first code block of a language in the page."""
    page = (folder / "HOW_TO_SPEAK.md").read_text()
    return page.split(f"```{language}\n")[1].split("```")[0]


def test_the_page_has_upstreams_own_command_and_it_speaks(spoken_with, monkeypatch):
    """As a shell would split it, by f5_tts's own program."""
    monkeypatch.chdir(spoken_with / "references")
    place, command = block(spoken_with, "bash").split("\n", 1)
    assert place == "cd references"
    text = (spoken_with / "references/anna.txt").read_text().strip()
    arguments = shlex.split(command.replace("\\\n", "").replace("$(cat anna.txt)", text))
    assert arguments[0] == "f5-tts_infer-cli"
    arguments[arguments.index("--gen_text") + 1] = "How are you?"
    monkeypatch.setattr(sys, "argv", [*arguments, "--nfe_step", "2", "--device", "cpu"])
    runpy.run_module("f5_tts.infer.infer_cli", run_name="__main__")
    samples, rate_hz = soundfile.read(spoken_with / "spoken.wav")
    assert rate_hz == f5.RATE_HZ and len(samples) > 1000 and np.isfinite(samples).all()
    (spoken_with / "spoken.wav").unlink()


def test_the_pages_python_speaks(spoken_with, monkeypatch):
    monkeypatch.chdir(spoken_with)
    code = block(spoken_with, "python").replace("Text to synthesise.", "How are you?")
    exec(compile(code, "HOW_TO_SPEAK.md", "exec"), {})
    assert soundfile.info("spoken.wav").samplerate == f5.RATE_HZ
    (spoken_with / "spoken.wav").unlink()


def test_the_page_tells_where_the_vocoder_comes_from_if_none_was_given(tmp_path):
    assert write_voice(tmp_path)["vocoder"] is None
    page = (tmp_path / "HOW_TO_SPEAK.md").read_text()
    assert "--load_vocoder_from_local" not in page and "is_local" not in page
    assert "downloads `charactr/vocos-mel-24khz`" in page
    assert "`references/ben.wav` and `.txt`" in page


@pytest.mark.parametrize("with_vocoder", [True, False])
def test_the_exported_voice_is_loaded_and_spoken_with(tmp_path, vocos_folder, with_vocoder):
    facts = write_voice(tmp_path, vocoder=vocos_folder if with_vocoder else None)
    assert f5.prove(tmp_path, facts) > 0.1


def test_a_voice_that_upstream_reads_otherwise_is_not_accepted(tmp_path):
    facts = write_voice(tmp_path)
    other = write_voice(tmp_path / "other", seed=5)
    model = tmp_path / facts["checkpoint"]
    model.write_bytes((tmp_path / "other" / other["checkpoint"]).read_bytes())
    with pytest.raises(UserError, match="reads weights with the hash"):
        f5.prove(tmp_path, facts)
    (tmp_path / "vocab.txt").write_text(" \na\n")
    with pytest.raises(UserError, match="f5-tts cannot load the exported voice .*size mismatch"):
        f5.prove(tmp_path, facts)
