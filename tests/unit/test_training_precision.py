"""Half precision on the CPU: bf16 as it is, fp16 with the scaler that a GPU would have."""

import json

import pytest
import torch
from accelerate import Accelerator
from training_children import at_call, final, in_child, metrics, same
from training_setup import tiny_run
from voicekiln.errors import UserError
from voicekiln.training import worker
from voicekiln.training.log.records import EXIT_FINISHED
from voicekiln.training.process import collectives
from voicekiln.training.state import checkpoints
from voicekiln.training.step.ema import Ema

RUN = {"clips": 25, "epochs": 3, "log_every": 1}  # 12 updates


@pytest.fixture(scope="module")
def fp32(tmp_path_factory):
    settings = tiny_run(tmp_path_factory.mktemp("fp32"), **RUN)
    assert in_child(settings) == EXIT_FINISHED
    return settings


def kept_as(tensors) -> set[torch.dtype]:
    return {t.dtype for t in tensors.values() if t.is_floating_point()}


def resumed_equals_whole(tmp_path, precision, prepare=lambda: None, **more):
    """Runs a training twice, once killed in its 8th update; returns the settings of the whole."""
    whole = tiny_run(tmp_path / "whole", **RUN, precision=precision, **more)
    assert in_child(whole, prepare) == EXIT_FINISHED
    parts = tiny_run(tmp_path / "parts", **RUN, precision=precision, **more)
    killed = at_call(Ema, "update", 8)
    assert in_child(parts, lambda: (prepare(), killed())) < 0
    assert in_child(parts, prepare) == EXIT_FINISHED
    same(final(parts), final(whole))
    for kind in ("train", "validation"):
        assert metrics(parts, kind) == metrics(whole, kind)
    return whole


def test_bf16_trains_validates_saves_and_resumes(tmp_path, fp32):
    whole = resumed_equals_whole(tmp_path, "bf16")
    ours, theirs = metrics(whole, "validation"), metrics(fp32, "validation")
    assert ours[12] < ours[0]
    assert ours == pytest.approx(theirs, rel=0.02) and ours != theirs
    ema, tensors = checkpoints.load(whole.directory / "checkpoints" / "checkpoint_12")
    assert kept_as(ema) == kept_as(tensors["model"]) == {torch.float32}, "weights stay fp32"
    assert tensors["scaler"] is None


def test_bf16_is_another_run_than_fp32(tmp_path):
    assert in_child(tiny_run(tmp_path, **RUN)) == EXIT_FINISHED
    assert in_child(tiny_run(tmp_path, **RUN, precision="bf16")) == EXIT_FINISHED
    assert (tmp_path / "training" / "previous" / "1" / "checkpoints").exists()


def scale_of(settings) -> float:
    """The scale in a finished training's last state."""
    last = checkpoints.pointed(settings.directory / "checkpoints", "last")["checkpoint"]
    return checkpoints.load(settings.directory / "checkpoints" / last)[1]["scaler"]["scale"]


def with_scaler(**values):
    """Preparation: the Accelerator of an fp16 training on a GPU, on the CPU."""

    def prepare():
        def make_accelerator(precision):
            accelerator = Accelerator(cpu=True, mixed_precision=collectives.PRECISION[precision])
            accelerator.native_amp = True
            accelerator.scaler = torch.amp.GradScaler("cpu", **values)
            return accelerator

        worker.make_accelerator = make_accelerator

    return prepare


def test_fp16_scales_and_resumes_with_its_scale(tmp_path, fp32):
    """The scale doubles every 5 updates; a resumed run has the one it was saved with."""
    prepare = with_scaler(init_scale=2.0**10, growth_interval=5)
    whole = resumed_equals_whole(tmp_path, "fp16", prepare)
    assert metrics(whole, "validation") == pytest.approx(metrics(fp32, "validation"), rel=0.02)
    assert scale_of(whole) == 2.0**12


def test_fp16_leaves_out_updates_that_overflow(tmp_path, fp32):
    """Its scale is halved until the gradients are finite; the loss is, and training goes on."""
    run = tiny_run(tmp_path, **RUN, precision="fp16")
    assert in_child(run, with_scaler(init_scale=2.0**40, backoff_factor=2.0**-8)) == EXIT_FINISHED
    assert len(metrics(run, "train")) == 12
    rows = [
        json.loads(line) for line in (run.directory / "metrics.jsonl").read_text().split("\n")[:-1]
    ]
    finite = [row["update"] for row in rows if row["kind"] == "train" and "grad_norm" in row]
    assert finite and finite[0] > 1 and finite == list(range(finite[0], 13))
    assert scale_of(run) < 2.0**40
    assert metrics(run, "validation")[12] < metrics(run, "validation")[0]


def test_fp16_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="fp16 needs a GPU; on a CPU use fp32 or bf16"):
        collectives.make_accelerator("fp16")
