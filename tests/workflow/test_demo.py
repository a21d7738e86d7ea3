"""The shipped demo, run once as `make demo` runs it, and what it must have reached."""

import json
import zipfile
from collections import defaultdict

import jiwer
import numpy as np
import pytest
import torch
from conftest import ROOT
from safetensors import safe_open
from voicekiln.families import Clip, f5
from voicekiln.provenance import sha256_json
from voicekiln.store import tables
from voicekiln.text.clean import comparable
from voicekiln.tokenizers.characters import read_vocab
from voicekiln.training.data.clips import read_rows
from voicekiln.training.seeds import generator
from workflow_runner import Workflow, sentences

pytestmark = pytest.mark.slow
# digest of the keys of all items by step; without `inventory` (its keys include file times) and
# `measure` (versions of optional packages)
STORE_KEYS = {
    "normalize": "60f1e9237bb87579",
    "segment": "ecd837662d5207f5",
    "transcribe": "1b9329838835f55e",
    "align": "acc6ba060a3ae81c",
    "features": "6f2da02b007f5d08",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Workflow:
    """The demo in a directory elsewhere, with the shipped configuration."""
    workflow = Workflow(tmp_path_factory.mktemp("demo"))
    workflow.config = None
    workflow.run()
    return workflow


def test_a_second_call_has_nothing_to_do(demo):
    assert "Nothing to be done" in demo.run()


def test_items_in_the_store_of_an_earlier_version_are_found(demo):
    """A changed key means that everyone who updates computes these items again.

    Change a line of STORE_KEYS only together with the VERSION of its step.
    """
    keys = defaultdict(set)
    for path in demo.path("corpora/demo/shards").glob("*/*.parquet"):
        for step, used in tables.used_items(path).items():
            keys[step] |= set(used)
    for path in demo.path("runs/demo_f5/features/demo").glob("*.parquet"):
        keys["features"] |= set(tables.read(path)["feature"])
    digests = {step: sha256_json(sorted(found))[:16] for step, found in keys.items()}
    assert {step: digests[step] for step in STORE_KEYS} == STORE_KEYS


def test_snakemakes_own_report_holds_the_page(demo):
    demo.run("--report", "report.zip")
    with zipfile.ZipFile(demo.dir / "report.zip") as report:
        pages = [name for name in report.namelist() if name.endswith("report.html")]
        whole = demo.path("runs/demo_f5/report.html").read_bytes()
        assert whole in [report.read(name) for name in pages]


def test_whisper_reads_the_demo(demo):
    segments = tables.read(demo.path("corpora/demo/segments.parquet"))
    seconds = segments["rate_hz"].astype(float)
    said, heard, cut = [], [], 0
    for row in sentences().itertuples():
        inside = (
            (segments["path"] == row.recording)
            & (segments["start"] / seconds < row.end_s)
            & (segments["end"] / seconds > row.start_s)
        )
        found = segments[inside]
        said.append(comparable(row.text))
        heard.append(comparable(" ".join(found["text"])))
        covered = (found["start"] / seconds).min() <= row.start_s + 0.05
        covered &= (found["end"] / seconds).max() >= row.end_s - 0.05
        cut += not covered
    error_rate = jiwer.wer(said, heard)
    print(f"word error rate {error_rate:.3f} over {len(said)} sentences")
    assert error_rate <= 0.05
    assert cut == 0, f"{cut} sentences are cut at an edge"


def test_the_ledger_tells_of_everything(demo):
    ledger = json.loads(demo.path("corpora/demo/ledger.json").read_text())
    kept = sum(side["samples"] for side in ledger["kept"].values())
    lost = sum(line["samples"] for line in ledger["lost"])
    assert kept + lost + ledger["non_speech"] == ledger["samples_in"]
    assert [file["path"] for file in ledger["unreadable"]["files"]] == ["dora/unfinished.wav"]
    assert {line["reason"] for line in ledger["lost"]} >= {"same audio"}
    leaks = json.loads(demo.path("corpora/demo/leaks.json").read_text())
    assert [leaks[k] for k in leaks if k.startswith("shared")] == [0, 0, 0, 0]


def test_the_vocabulary_grew_and_the_base_was_reset(demo):
    base = read_vocab(ROOT / "resources/demo/f5/vocab.txt")
    extended = read_vocab(demo.path("runs/demo_f5/tokenizer/vocab.txt"))
    assert extended[: len(base)] == base and len(extended) > len(base)
    reset = json.loads(demo.path("runs/demo_f5/base/reset.json").read_text())
    assert reset["stripped"] and reset["counters"] == {"initted": False, "step": 0}
    assert reset["tensors"]["bit_equal"] == reset["tensors"]["total"] - 1


def test_the_demo_learns(demo):
    choice = json.loads(demo.path("runs/demo_f5/choice.json").read_text())
    gain = 1 - choice["validation_loss"] / choice["base_validation_loss"]
    print(f"validation loss {choice['base_validation_loss']:.3f} -> ", end="")
    print(f"{choice['validation_loss']:.3f}, {100 * gain:.0f} % lower")
    assert gain >= 0.1


def test_the_texts_matter_to_the_voice(demo):
    """The loss on fixed draws is lower with the clips' own texts than with one another's."""
    run = demo.path("runs/demo_f5")
    manifest = json.loads((run / "export/MANIFEST.json").read_text())
    vocab = read_vocab(run / "export/vocab.txt")
    model = f5.build(manifest["architecture"], len(vocab)).eval()
    model.load_state_dict(f5.read_weights(run / "export" / manifest["checkpoint"]))
    rows = read_rows(run / "training/val_rows.jsonl")
    features = []
    for row in rows:
        with safe_open(demo.dir / row.pack, "pt") as pack:
            features.append(pack.get_tensor(f"{row.feature}/mel"))
    tokenizer = f5.tokenizer(run / "tokenizer")
    ids = [torch.tensor(tokenizer.encode(row.text, row.language)) for row in rows]

    def mean_loss(shift):
        losses = []
        for draw in range(4):
            for i, row in enumerate(rows):
                text_ids, arrays = ids[(i + shift) % len(ids)], {"mel": features[i]}
                clip = Clip(row.id, row.text, row.language, text_ids, arrays)
                batch = f5.collate([clip], [f5.draw(clip, generator(draw, row.id), False)], None)
                with torch.no_grad():
                    loss = f5.loss(model, batch)["flow"] / batch["totals"]["flow"]
                losses.append(float(loss))
        return np.mean(losses)

    own, others = mean_loss(0), mean_loss(1)
    print(f"loss with own texts {own:.4f}, with others' {others:.4f}")
    assert own < others


def test_upstream_loads_the_voice_and_speaks(demo):
    from f5_tts.infer.utils_infer import load_checkpoint
    from f5_tts.model import CFM, DiT
    from f5_tts.model.utils import get_tokenizer
    from omegaconf import OmegaConf

    folder = demo.path("runs/demo_f5/export")
    config = OmegaConf.load(folder / "config.yaml").model
    characters, size = get_tokenizer(str(folder / "vocab.txt"), "custom")
    model = CFM(
        transformer=DiT(**config.arch, text_num_embeds=size, mel_dim=100),
        mel_spec_kwargs=dict(config.mel_spec),
        vocab_char_map=characters,
    )
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    model = load_checkpoint(model, str(folder / manifest["checkpoint"]), "cpu", use_ema=True)
    text = (folder / "reference.txt").read_text().strip()
    mel, _ = model.sample(
        cond=torch.randn(1, 24000) * 0.05, text=[text], duration=150, steps=4, cfg_strength=2.0
    )
    assert mel.shape == (1, 150, 100) and torch.isfinite(mel).all()


def test_the_data_set_trains_another_family(demo):
    """`make demo-xtts` behind `make demo`: no data step runs again, and the voice is exported."""
    from xtts_small import make_demo

    make_demo(demo.path("models/xtts_demo"))
    config = ["--configfile", str(ROOT / "config/demo_xtts.yaml")]
    demo.run(*config)
    data = {"normalize", "segment", "transcribe", "align", "measure", "split_corpus"}
    assert not data & set(demo.jobs) and demo.jobs["train_run"] == 1
    run = demo.path("runs/demo_xtts")
    choice = json.loads((run / "choice.json").read_text())
    assert choice["validation_loss"] < 0.9 * choice["base_validation_loss"]
    # the vocabulary lacked letters, and coqui-tts has loaded the voice
    reset = json.loads((run / "base/reset.json").read_text())
    assert reset["vocabulary"]["added"]
    assert (run / "export/MANIFEST.json").exists() and (run / "report.html").exists()
    assert "Nothing to be done" in demo.run(*config)
