"""Reset of F5-TTS bases, with upstream's Trainer as maker of checkpoints and as judge."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from f5_small import TINY, TOKENS, reset, tiny_model, upstream_train
from safetensors.torch import load_file, save_file
from voicekiln.errors import UserError
from voicekiln.families import f5
from voicekiln.families.f5.reset import new_rows
from voicekiln.families.f5.weights import EMBEDDING, read_base
from voicekiln.tokenizers.characters import relative
from voicekiln.weights.files import tensor_sha256

ROOT = Path(__file__).resolve().parents[2]
ARCH = f5.architecture(TINY)
NEW = [*TOKENS, "ሰ", "ላ", "É"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """`model_380000.pt`: the last state of a training by upstream's own Trainer."""
    folder = tmp_path_factory.mktemp("upstream")
    trainer = upstream_train(folder, tiny_model(), epochs=1)
    trainer.save_checkpoint(380000)
    return folder / "model_380000.pt"


def reset_to(folder, base, tokens=NEW, name="pretrained_reset.safetensors", seed=7):
    out = folder / name
    return out, reset(base, TOKENS, tokens, out, seed, ARCH)


def test_a_trainers_file_is_recognised(finished):
    base = read_base(finished)
    assert base.source == "ema"
    assert len(base.weights) == 54
    found = " ".join(base.training_state)
    for part in ("update = 380000", "optimizer_state_dict", "scheduler_state_dict", "EMA step = 2"):
        assert part in found


def test_the_reset_base_holds_weights_alone_and_they_are_the_same_bits(tmp_path, finished):
    out, record = reset_to(tmp_path, finished)
    ema = torch.load(finished, weights_only=True)["ema_model_state_dict"]
    written = load_file(out)
    assert set(written) == set(ema)
    assert not written["initted"] and written["step"].item() == 0
    grown = "ema_model." + EMBEDDING
    for name in set(ema) - {grown, "initted", "step"}:
        assert torch.equal(written[name], ema[name]), name
    assert torch.equal(written[grown][: len(TOKENS) + 1], ema[grown])
    assert written[grown].shape[0] == len(NEW) + 1
    assert record["tensors"] == {
        "total": 54,
        "bit_equal": 53,
        "grown": [EMBEDDING],
        "grown_rows_bit_equal": len(TOKENS) + 1,
    }
    model = f5.build(ARCH, len(NEW))
    assert record["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert [entry["starts_from"] for entry in record["vocabulary"]["added"]] == [
        "mean",
        "mean",
        "E",
    ]
    assert [entry["row"] for entry in record["vocabulary"]["added"]] == [
        len(TOKENS) + 1,
        len(TOKENS) + 2,
        len(TOKENS) + 3,
    ]
    assert str(tmp_path) not in json.dumps(record)
    assert not read_base(out).training_state


def test_the_same_bytes_every_time(tmp_path, finished):
    first, record = reset_to(tmp_path, finished, name="a.safetensors")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    second, again = reset_to(tmp_path, finished, name="b.safetensors")
    torch.set_num_threads(threads)
    assert first.read_bytes() == second.read_bytes()
    assert record["file"]["sha256"] == again["file"]["sha256"]
    other, _ = reset_to(tmp_path, finished, name="c.safetensors", seed=8)
    assert other.read_bytes() != first.read_bytes()


def test_upstream_ends_at_once_on_the_old_file_and_trains_from_update_0_on_the_new(
    tmp_path, finished
):
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    (old / "pretrained_model.pt").write_bytes(finished.read_bytes())
    upstream_train(old, tiny_model(), epochs=2)
    assert torch.load(old / "model_last.pt", weights_only=True)["update"] == 380000

    out, _ = reset_to(new, finished)
    trainer = upstream_train(new, tiny_model(len(NEW), seed=1), epochs=2)
    last = torch.load(new / "model_last.pt", weights_only=True)
    assert last["update"] == 4  # 2 epochs of 2 updates
    assert last["ema_model_state_dict"]["step"] == 4
    # It trained from these weights and not from its own random ones.
    before = load_file(out)["ema_model.transformer.proj_out.weight"]
    after = trainer.model.state_dict()["transformer.proj_out.weight"]
    assert 0 < (after - before).abs().max() < 0.05


def test_a_pinned_vocabulary_changes_no_tensor(tmp_path, finished):
    _, record = reset_to(tmp_path, finished, tokens=TOKENS)
    assert record["tensors"] == {
        "total": 54,
        "bit_equal": 54,
        "grown": [],
        "grown_rows_bit_equal": 0,
    }


def test_a_file_without_training_state_is_taken_as_it_is(tmp_path, finished):
    once, first = reset_to(tmp_path, finished, tokens=TOKENS, name="once.safetensors")
    twice, second = reset_to(tmp_path, once, tokens=TOKENS, name="twice.safetensors")
    assert first["stripped"] and second["stripped"] == []
    assert twice.read_bytes() == once.read_bytes()
    assert second["base"]["weights_sha256"] == first["weights_sha256"]


@pytest.mark.parametrize(
    "make",
    [
        lambda full: {"model_state_dict": full["model_state_dict"], "update": 9},
        lambda full: {"module." + k: v for k, v in full["model_state_dict"].items()} | {"step": 9},
        lambda full: {
            "ema_model_state_dict": {
                ("ema_model.module." + k[len("ema_model.") :] if k.startswith("ema") else k): v
                for k, v in full["ema_model_state_dict"].items()
            }
        },
    ],
    ids=["no EMA", "bare with prefix", "EMA step only"],
)
def test_other_layouts_are_stripped_too(tmp_path, finished, make):
    content = make(torch.load(finished, weights_only=True))
    torch.save(content, tmp_path / "other.pt")
    out, record = reset_to(tmp_path, tmp_path / "other.pt")
    assert any(word in " ".join(record["stripped"]) for word in ("update = 9", "step = "))
    assert read_base(out).training_state == []


def command(*arguments):
    """The reset as a user calls it."""
    script = ROOT / "workflow" / "scripts" / "reset_checkpoint.py"
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".CKPT"])
def test_a_command_resets_a_checkpoint_alone(tmp_path, finished, suffix):
    """S0-1 to S0-8, E-2: counters and optimiser go, the EMA's weights stay to the last bit."""
    before = finished.read_bytes()
    out = tmp_path / "new" / f"model_pretrained_reset{suffix}"
    done = command(finished, out)
    assert done.returncode == 0, done.stderr
    for part in ("update = 380000", "optimizer_state_dict", "EMA step = 2", "54 tensors"):
        assert part in done.stdout
    assert "Checkpoint reset successfully!" in done.stdout
    reset_base, base = read_base(out), read_base(finished)
    assert reset_base.training_state == [] and set(reset_base.weights) == set(base.weights)
    assert all(torch.equal(reset_base.weights[k], v) for k, v in base.weights.items())
    assert finished.read_bytes() == before and len(list(out.parent.iterdir())) == 1


def test_upstream_trains_from_update_0_on_what_the_command_wrote(tmp_path, finished):
    """S0-1: from the file with counters it ends at once."""
    out = tmp_path / "pretrained_reset.pt"
    f5.strip(finished, out)
    content = torch.load(out, weights_only=True)
    assert list(content) == ["ema_model_state_dict"]  # S0-5
    trainer = upstream_train(tmp_path, tiny_model(), epochs=1)
    state = torch.load(trainer.checkpoint_path + "/model_last.pt", weights_only=True)
    assert state["update"] == 2


def test_the_command_strips_other_layouts_too(tmp_path, finished):
    """S0-6, E-1: without an EMA the model's weights are taken, and it says so."""
    full = torch.load(finished, weights_only=True)
    torch.save({"model_state_dict": full["model_state_dict"], "update": 9}, tmp_path / "a.pt")
    record = f5.strip(tmp_path / "a.pt", tmp_path / "b.pt")
    assert record["weights_from"] == "model" and record["stripped"] == ["update = 9"]
    again = f5.strip(tmp_path / "b.pt", tmp_path / "c.pt")
    assert again["stripped"] == [] and again["weights_sha256"] == record["weights_sha256"]
    assert (tmp_path / "b.pt").read_bytes() == (tmp_path / "c.pt").read_bytes()


def test_the_command_overwrites_nothing_unasked(tmp_path, finished):
    out = tmp_path / "out.pt"
    out.write_text("mine")
    refused = command(finished, out)
    assert refused.returncode == 1 and "already exists" in refused.stderr
    assert out.read_text() == "mine"
    for target, message in [
        (finished, "is the input file"),
        (tmp_path / "out.txt", "expected the name of a checkpoint file"),
        (tmp_path, "expected the name of a checkpoint"),
    ]:
        done = command(finished, target, "--force")
        assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    (tmp_path / "text.pt").write_text("no checkpoint at all")
    assert "this is text" in command(tmp_path / "text.pt", out, "--force").stderr
    assert out.read_text() == "mine"
    assert command(finished, out, "--force").returncode == 0
    assert read_base(out).training_state == []


def test_old_mel_constants_are_left_out(tmp_path):
    state = {"ema_model." + k: v for k, v in tiny_model().state_dict().items()}
    state["ema_model.mel_spec.mel_stft.spectrogram.window"] = torch.zeros(1024)
    save_file(state, tmp_path / "old.safetensors")
    base = read_base(tmp_path / "old.safetensors")
    assert len(base.weights) == 54 and base.training_state == []


def test_another_runs_reset_base_loads_strictly(tmp_path, finished):
    out, _ = reset_to(tmp_path, finished)
    model = f5.build(ARCH, len(NEW))
    model.load_state_dict(f5.read_weights(out))
    assert model.state_dict()[EMBEDDING].shape == (len(NEW) + 1, 32)


def error_of(tmp_path, base, tokens_base=TOKENS, tokens=NEW, arch=ARCH) -> str:
    out = tmp_path / "x.safetensors"
    with pytest.raises(UserError) as caught:
        reset(base, tokens_base, tokens, out, 0, arch)
    assert not out.exists()
    return str(caught.value)


def test_what_does_not_fit_is_refused(tmp_path, finished):
    message = error_of(tmp_path, finished, tokens_base=TOKENS[:-1])
    assert f"{len(TOKENS)} tokens" in message and f"holds {len(TOKENS) - 1}" in message
    swapped = [*TOKENS[:-2], TOKENS[-1], TOKENS[-2]]
    assert "must start with all its tokens" in error_of(tmp_path, finished, tokens=swapped)
    less = tiny_model().state_dict()
    del less["transformer.proj_out.bias"]
    torch.save(less, tmp_path / "less.pt")
    message = error_of(tmp_path, tmp_path / "less.pt")
    assert "transformer.proj_out.bias: nothing in the file, (100,) in the model" in message


def test_an_extended_vocabulary_beside_a_reset_base_is_named(tmp_path, finished):
    out, _ = reset_to(tmp_path, finished)
    assert "whose vocabulary was extended, the extended one" in error_of(tmp_path, out)


def test_a_file_without_f5_weights_is_refused_with_its_entries(tmp_path):
    torch.save({"gpt.weight": torch.zeros(1), "step": 7}, tmp_path / "x.pt")
    assert "gpt.weight, step" in error_of(tmp_path, tmp_path / "x.pt")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = tiny_model().state_dict()
    state["transformer.proj_out.bias"][3] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    assert "transformer.proj_out.bias holds NaN" in error_of(tmp_path, tmp_path / "nan.pt")


def test_new_rows_are_near_their_start_and_differ_from_each_other():
    embedding = torch.randn(51, 64, generator=torch.Generator().manual_seed(1)) * 3 + 1
    base = [chr(0x4E00 + i) for i in range(49)] + ["e"]
    rows, origins = new_rows(embedding, base, ["ሰ", "ላ", "É"], seed=0)
    assert origins == ["mean", "mean", "e"]
    mean, spread = embedding[1:].mean(0), embedding[1:].std(0)
    distance = ((rows[0] - mean) / spread).pow(2).mean().sqrt()
    assert 0.05 < distance < 0.15
    assert (rows[0] - rows[1]).norm() > 0.05 * spread.norm()
    assert (rows[2] - embedding[50]).norm() < 0.15 * spread.norm()
    # A row depends on its token alone, not on which others are new.
    alone, _ = new_rows(embedding, base, ["ላ"], seed=0)
    assert tensor_sha256(alone[0]) == tensor_sha256(rows[1])
    drawn, origins = new_rows(embedding, base, ["ሰ", "ላ", "É"], seed=0, how="random")
    assert origins == ["random"] * 3 and 0.8 < drawn.std() < 1.2 and drawn.mean().abs() < 0.3


def test_new_rows_cost_less_at_the_first_step_than_random_ones():
    """N8: clips of the demo, whose capitals and marks its base does not know."""
    spec = importlib.util.spec_from_file_location("new_rows", ROOT / "benchmarks" / "new_rows.py")
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    found = benchmark.figures(benchmark.clips("garden.flac"), seeds=2)
    (known,) = found["nothing new"]
    assert known < max(found["ours"]) < min(found["random"])


def test_relatives():
    known = {"e", "A", ".", " "}
    assert [relative(t, known) for t in ("é", "É", "E", "a", "…", "\u00a0", "ሰ", "ni2")] == [
        *("e", "e", "e", "A", ".", " "),
        None,
        None,
    ]
