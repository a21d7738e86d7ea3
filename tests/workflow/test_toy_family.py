"""The steps against the family interface: the toy family from its vocabulary to the voice."""

import json
import shutil

import pytest
import soundfile
import torch
from conftest import ROOT
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from toy_setup import TOY_FAMILIES, toy_family
from voicekiln import families
from voicekiln.provenance import sha256_file
from voicekiln.store import tables
from workflow_runner import Workflow

pytestmark = pytest.mark.slow
LETTERS = list(" ,.?'Tabcdefghiklmnoprstuvwy")


@pytest.fixture
def tree(tmp_path):
    """The workflow with the toy family beside the others."""
    root = tmp_path / "tree"
    root.mkdir()
    for name in ("config", "envs", "profiles", "resources", "workflow/schemas"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).symlink_to(ROOT / name)
    (root / "workflow/report").symlink_to(ROOT / "workflow/report")
    shutil.copy(ROOT / "Snakefile", root)
    # copied together, because a rule finds its script relative to its own file, links resolved
    shutil.copytree(ROOT / "workflow/rules", root / "workflow/rules")
    shutil.copytree(ROOT / "workflow/scripts", root / "workflow/scripts")
    shutil.copytree(TOY_FAMILIES / "toy", root / "workflow/scripts/voicekiln/families/toy")
    return root


def release(folder):
    """A base of the toy family: the weights, the gain of its features, and the vocabulary."""
    folder.mkdir(parents=True)
    with toy_family():
        family = families.get("toy")
        torch.manual_seed(0)
        model = family.build(family.architecture(None), len(LETTERS))
    gain = {"extractor.gain": torch.tensor(8.0)}
    save_file(model.state_dict() | gain, folder / "toy.safetensors")
    (folder / "tokens.json").write_text(json.dumps(LETTERS))


def test_a_family_of_another_kind_runs_from_its_vocabulary_to_the_voice(tree, tmp_path):
    workflow = Workflow(tmp_path / "a voice", tree)
    release(workflow.dir / "toy_base")
    for i in range(7):
        workflow.add(("anna/garden.flac", "ben/station.flac")[i % 2], 1 + i // 2, f"{i}.wav")
    workflow.config["corpora"]["clips"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 1,
        "split": {"val_share": 0.2, "min_recordings": 2, "leak_similarity": 1.0},
        "deduplicate": {"takes_per_text": 0},
    }
    workflow.config["runs"]["voice"] = {
        "corpus": "clips",
        "family": "toy",
        "base": {"folder": "toy_base"},
        "features": {"gain": 2.0},
        "speak": {"samples_per_token": 400},
        "train": {"epochs": 2, "batch_s": 16, "validate_every": 1, "save_every": 1, "log_every": 1},
        "evaluate": {"n_sentences": 1},
    }
    workflow.run()
    run = workflow.path("runs/voice")

    coverage = json.loads((run / "tokenizer/coverage.json").read_text())
    tokens = json.loads((run / "tokenizer/tokens.json").read_text())
    assert tokens[: len(LETTERS)] == LETTERS and len(tokens) == coverage["tokens"] > len(LETTERS)
    hashed = {"path": "tokens.json", "sha256": sha256_file(run / "tokenizer/tokens.json")}
    assert coverage["files"] == [hashed]

    reset = load_file(run / "base/toy_base.safetensors")
    assert len(reset["toy_text.weight"]) == len(tokens) and "extractor.gain" not in reset

    index = tables.read(run / "features/clips/000.parquet")
    for row in index.itertuples():
        with safe_open(workflow.dir / row.pack, "pt") as pack:
            codes = pack.get_tensor(f"{row.feature}/codes")
            assert codes.dtype == torch.int16 and len(codes) == row.n_steps
            assert pack.get_tensor(f"{row.feature}/cond").shape == (row.n_steps, 8)

    metrics = [json.loads(line) for line in open(run / "training/metrics.jsonl")]
    assert {"loss", "loss_text", "loss_codes"} <= set(metrics[-1])
    settings = json.loads((run / "training/settings.json").read_text())
    assert settings["settings"]["warmup_updates"] == 2, "the family's default"

    choice = json.loads((run / "choice.json").read_text())
    for sample in choice["samples"]:
        found = soundfile.info(run / sample["file"])
        assert (found.samplerate, found.frames) == (8000, 400 * len(sample["text"]))

    manifest = json.loads((run / "export/MANIFEST.json").read_text())
    assert manifest["family"] == "toy" and manifest["rate_hz"] == 8000
    assert set(manifest["base_files"].values()) == {"voice.safetensors", "tokens.json"}
    assert {file["path"] for file in manifest["files"]} > {"voice.safetensors", "audio_report.json"}
    page = (run / "report.html").read_text()
    assert "Toy voice" in page and "F5-TTS" not in page

    assert "Nothing to be done" in workflow.run()
    # another gain in the base is another base for the features, and the same for the vocabulary
    base = workflow.dir / "toy_base/toy.safetensors"
    save_file(load_file(base) | {"extractor.gain": torch.tensor(4.0)}, base)
    workflow.run("results/runs/voice/features/clips/000.parquet")
    changed = tables.read(run / "features/clips/000.parquet")
    assert not set(changed["feature"]) & set(index["feature"])
    assert "extend_vocabulary" not in workflow.jobs
