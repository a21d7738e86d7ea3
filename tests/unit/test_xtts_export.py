"""The exported XTTS voice: coqui-tts loads it strictly, and another run can start from it."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from voicekiln import upstream  # noqa: F401  before coqui-tts
from voicekiln.errors import UserError
from voicekiln.families import base as bases
from voicekiln.families import facts, xtts
from voicekiln.families.xtts import how_to_speak, proof, sizes, text, weights
from voicekiln.voice import manifest
from xtts_small import base_files

TOKENIZER = {
    **{
        key: schema["default"]
        for key, schema in facts.of("xtts").sections["tokenizer"]["keys"].items()
    },
    "min_count": 2,
}
TEXTS = {"a": ("ሰላም ሰላም the man", "am"), "b": ("ሰላም again", "am")}


@pytest.fixture(scope="module")
def voice(tmp_path_factory, xtts_release) -> tuple[Path, dict]:
    """Folder and manifest of an Amharic voice whose weights differ from the base's."""
    folder, base = tmp_path_factory.mktemp("xtts voice"), base_files(xtts_release)
    for name in ("tokenizer", "reset", "export"):
        (folder / name).mkdir()
    text.extend(base, TEXTS, TOKENIZER, folder / "tokenizer")
    pieces = text.tokenizer(folder / "tokenizer")
    arch = sizes.architecture(None, base)
    settings = {"seed": 0, "new_rows": "mean"}
    record = xtts.reset(base, arch, pieces, settings, [], folder / "reset")
    trained = weights.read_weights(folder / "reset" / record["file"]["name"])
    trained = {name: 1.01 * tensor for name, tensor in trained.items()}
    noise = 0.1 * np.random.default_rng(0).standard_normal(48000).astype(np.float32)
    about = {"name": "ana", "update": 7, "languages": ["am"], "references": [{"language": "am"}]}
    done = xtts.export(
        folder / "export",
        trained,
        base,
        arch,
        pieces,
        {"ana_am": noise, "ana_2": noise[:24000]},
        {"ana_am": "ሰላም man", "ana_2": "again"},
        {"unoptimized": True},
        about,
    )
    return folder / "export", manifest.write(folder / "export", about | done)


# S2-9, S2-10, S2-11
def test_the_folder_has_the_files_of_a_ready_voice(voice, xtts_release):
    folder, written = voice
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {
        *("model.pth", "unoptimize_model.pth", "config.json", "vocab.json", "speakers_xtts.pth"),
        *("reference.wav", "reference.txt", "HOW_TO_SPEAK.md", "MANIFEST.json"),
        *(f"references/{stem}.{kind}" for stem in ("ana_am", "ana_2") for kind in ("wav", "txt")),
    }
    optimised = torch.load(folder / "model.pth", weights_only=True)
    whole = torch.load(folder / "unoptimize_model.pth", weights_only=True)
    assert set(optimised) == {"config", "model"} and "optimizer" in whole and whole["step"] == 7
    assert not any("dvae" in name for name in optimised["model"])
    dvae = torch.load(xtts_release / "dvae.pth", weights_only=True)
    assert {f"xtts.{n}" for n in optimised["model"]} | {f"dvae.{n}" for n in dvae} == set(
        whole["model"]
    )
    sizes = {name: (folder / name).stat().st_size for name in ("model.pth", "unoptimize_model.pth")}
    assert sizes["model.pth"] < sizes["unoptimize_model.pth"]
    config = json.loads((folder / "config.json").read_text())
    assert config["languages"][-1] == "am" and config == optimised["config"]
    assert soundfile.info(folder / "reference.wav").samplerate == 24000
    assert "Coqui Public Model License" in (folder / "HOW_TO_SPEAK.md").read_text()


def test_upstream_loads_the_voice_strictly_and_speaks(voice):
    folder, _ = voice
    assert proof.prove(*voice) > 0.1
    from TTS.tts.configs.xtts_config import XttsConfig
    from TTS.tts.models.xtts import Xtts

    config = XttsConfig()
    config.load_json(str(folder / "config.json"))
    paths = {"checkpoint_path": folder / "unoptimize_model.pth", "checkpoint_dir": folder}
    Xtts(config).load_checkpoint(config, **paths, eval=False, strict=True)


def test_the_page_speaks_a_language_that_upstream_does_not_list(voice, monkeypatch):
    folder, _ = voice
    code = how_to_speak.python("ana_am", "am", ["am"])
    assert code in (folder / "HOW_TO_SPEAK.md").read_text()
    assert how_to_speak.unlisted(["sw", "en", "am", "pt-br"]) == ["am", "sw"]
    assert "preprocess_text" not in how_to_speak.python("ana_am", "pt-br", [])
    assert "('am', 'sw')" in how_to_speak.python("ana", "en", ["am", "sw"])
    monkeypatch.chdir(folder)
    code = code.replace("Text to synthesise.", "ሰላም Man")
    load, speak = code.split("latents, speaker = ")
    names = {}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(load, names)
        names["model"].gpt.max_gen_mel_tokens = 20
        exec("latents, speaker = " + speak, names)
    tokenizer = text.tokenizer(folder)
    assert names["model"].tokenizer.encode("ሰላም Man", "am") == tokenizer.encode("ሰላም Man", "am")
    assert soundfile.info("spoken.wav").duration > 0.1
    Path("spoken.wav").unlink()


def test_other_weights_and_broken_files_are_noticed(voice, tmp_path):
    folder, written = voice
    with pytest.raises(UserError, match="coqui-tts reads weights with the hash"):
        proof.prove(folder, written | {"weights_sha256": "0" * 64})
    shutil.copytree(folder, tmp_path / "voice")
    state = torch.load(folder / "model.pth", weights_only=True)
    del state["model"]["gpt.final_norm.bias"]
    torch.save(state, tmp_path / "voice" / "model.pth")
    with pytest.raises(UserError, match="coqui-tts cannot load .*final_norm.bias"):
        proof.prove(tmp_path / "voice", written)


# S4-38 ... S4-40: the export of one run is the base of the next
def test_another_run_starts_from_the_voice(voice, tmp_path):
    folder, written = voice
    base = bases.files({bases.VOICE: str(folder / "MANIFEST.json")})
    arch = sizes.architecture(None, base)
    assert arch == written["architecture"]
    pieces = text.tokenizer(folder)
    settings = {"seed": 0, "new_rows": "mean"}
    record = xtts.reset(base, arch, pieces, settings, [("ሰላም", "am")], tmp_path)
    assert record["tensors"]["bit_equal"] == 90
    assert record["weights_sha256"] == written["weights_sha256"]
    both = [weights.read_weights(folder / name) for name in ("model.pth", "unoptimize_model.pth")]
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


def test_weights_of_another_size_or_an_empty_reference_are_refused(voice, xtts_release, tmp_path):
    folder, _ = voice
    base, pieces = base_files(xtts_release), text.tokenizer(folder)
    arch = sizes.architecture(None, base)
    own = weights.read_weights(folder / "model.pth")
    clip, about = np.ones(9, np.float32), {"name": "a", "update": 1, "languages": ["en"]}

    def refused(weights, samples) -> str:
        with pytest.raises(UserError) as caught:
            xtts.export(
                tmp_path / "out",
                weights,
                base,
                arch,
                pieces,
                {"a": samples},
                {"a": "word"},
                {"unoptimized": False},
                about,
            )
        return str(caught.value)

    assert "reference clip a or its text is empty" in refused(own, clip[:0])
    few = own | {"text_head.bias": own["text_head.bias"][1:]}
    shapes = "gpt.text_head.bias: (67,) in the file, expected (68,)"
    assert (said := refused(few, clip)).startswith("the chosen checkpoint: ") and shapes in said
    assert not (tmp_path / "out").exists()
