"""Training on a GPU: a few updates of the tiny model, stopped and resumed."""

import json
import multiprocessing

import pytest
import torch
from training_setup import tiny_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]

RUN = {"clips": 25, "epochs": 4, "workers": 1}


def train(settings, stop_after: int | None, queue):
    """Runs in a process of its own: accelerate keeps one precision for a process."""
    from voicekiln.training import worker
    from voicekiln.training.process.stop import Stop
    from voicekiln.training.step.ema import Ema

    stop, average = Stop(), Ema.update

    def update(self):
        average(self)
        if self.updates == stop_after:
            stop.request("the test's")

    Ema.update = update
    queue.put(worker.run(settings, stop))


def exit_code(settings, stop_after=None) -> int:
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    process = context.Process(target=train, args=(settings, stop_after, queue))
    process.start()
    process.join(300)
    return queue.get() if process.exitcode == 0 else process.exitcode


def losses(settings, kind):
    lines = (settings.directory / "metrics.jsonl").read_text().splitlines()
    return {r["update"]: r["loss"] for r in map(json.loads, lines) if r["kind"] == kind}


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_trains_stops_and_resumes(precision, tmp_path):
    whole = tiny_run(tmp_path / "whole", **RUN, precision=precision)
    assert exit_code(whole) == 0
    parts = tiny_run(tmp_path / "parts", **RUN, precision=precision)
    assert exit_code(parts, stop_after=5) == 75
    assert exit_code(parts) == 0
    expected = losses(whole, "validation")
    assert expected[16] < expected[0]
    # atomic additions come in any order on a GPU
    assert losses(parts, "validation") == pytest.approx(expected, rel=1e-3)
    rows = (whole.directory / "metrics.jsonl").read_text()
    assert '"memory_mb"' in rows


def test_auto_finds_batches_and_keeps_them(tmp_path):
    run = RUN | {"batch_s": "auto", "update_s": 5.12, "accumulate": 1}
    settings = tiny_run(tmp_path, **run)
    assert exit_code(settings, stop_after=3) == 75
    path = settings.directory / "fingerprint.json"
    found = json.loads(path.read_text())
    assert found["identity"]["batch_frames"] == 480, "so little fits every GPU"
    assert exit_code(settings) == 0
    assert json.loads(path.read_text())["sha256"] == found["sha256"]


def test_the_first_loss_is_the_cpus(tmp_path):
    """fp32: draws and data do not depend on the device."""
    gpu = tiny_run(tmp_path / "gpu", **RUN)
    assert exit_code(gpu) == 0
    from voicekiln import families
    from voicekiln.features.packs import PackReader
    from voicekiln.training.data.clips import BatchRequest, Clips, read_rows
    from voicekiln.training.data.plan import in_order, to_steps

    family = families.get("f5")
    rows, tokenizer = read_rows(gpu.val_rows), family.tokenizer(gpu.tokenizer)
    model = family.build(gpu.architecture, tokenizer.n_tokens).eval()
    model.load_state_dict(family.read_weights(gpu.checkpoint))
    clips = Clips(family, rows, tokenizer, PackReader(), gpu.train.seed, train=False)
    total = count = 0.0
    batch_steps = to_steps(gpu.train.batch_s, family.STEPS_PER_S)
    groups = in_order(clips.n_steps, clips.ids, batch_steps)
    for group in groups:
        batch = clips[BatchRequest(group, "validation")]
        with torch.no_grad():
            value = family.loss(model, batch)["flow"]
        total += value.item()
        count += batch["totals"]["flow"]
    assert losses(gpu, "validation")[0] == pytest.approx(total / count, rel=1e-3)
