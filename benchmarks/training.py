"""Updates per second of our training loop beside f5_tts's Trainer.

Same model, batches, precision and threads:

    python benchmarks/training.py [--threads 1] [--rounds 3] [--epochs 2] [--precision fp32]
    python benchmarks/training.py --sizes base_3200 base_38400 --precision bf16   # on a GPU

Each trial is a process of its own; the two take turns, so that a busy machine slows both. Only
the time from the end of the first epoch to the end of the last counts: no start, no validation, no
saving, and the same clips on both sides.
Both load their batches with one loader process; ours draws the noise there too, upstream in the
training process. Beside the time on the clock stands that of the training process on the CPU, which
tells more where the machine is shared. FLOP are those of the model's matrix products, forwards and
backwards, as torch's FlopCounterMode counts them for one batch. Times vary; this is no test.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")]

FRAMES_PER_S = 93.75
BASE = {"dim": 1024, "depth": 22, "heads": 16, "text_dim": 512, "conv_layers": 4}
SIZES = {
    "tiny": {
        "model": {"dim": 64, "depth": 2, "heads": 2, "dim_head": 32, "text_dim": 32},
        "batch_frames": 400,
    },
    "mid": {
        "model": {"dim": 256, "depth": 10, "heads": 4, "dim_head": 64, "text_dim": 128},
        "batch_frames": 800,
    },
    "base_3200": {"model": BASE, "batch_frames": 3200, "clips": 200, "n_frames": (300, 1100)},
    "base_38400": {"model": BASE, "batch_frames": 38400, "clips": 800, "n_frames": (300, 1100)},
}
LEARNING_RATE, WARMUP = 1.0e-4, 10


def setting(size: str, folder: Path, epochs: int, precision: str, threads: int):
    """Settings of a run; both sides use its data and its base."""
    from training_setup import tiny_run

    choice = {"clips": 60, "n_frames": (60, 200)} | SIZES[size]
    return tiny_run(
        folder,
        clips=choice["clips"],
        model={"conv_layers": 2, "ff_mult": 2, "dim_head": 64} | choice["model"],
        n_frames=choice["n_frames"],
        threads=threads,
        epochs=1 + epochs,  # the first is not timed
        learning_rate=LEARNING_RATE,
        warmup_updates=WARMUP,
        batch_s=SIZES[size]["batch_frames"] / FRAMES_PER_S,
        batch_clips=0,
        accumulate=1,
        precision=precision,
        ema_every=10,
        ema_follow_updates=100,
        save_every=None,
        validate_every=10**9,
        log_every=10,
        workers=1,
    )


class Enough(Exception):
    """As many updates as were asked for are done."""


def clock(updates: int, per_epoch: int):
    """A function to be called at the end of each update, and the list of times it fills."""
    import torch

    waited_for = {per_epoch, updates}  # the others only queue work for the GPU
    times: list[tuple[float, float]] = []

    def tick():
        if torch.cuda.is_available() and len(times) + 1 in waited_for:
            torch.cuda.synchronize()
        times.append((time.perf_counter(), time.process_time()))
        if len(times) >= updates:
            raise Enough

    return tick, times


def batches_of(run):
    """The batches that both sides train on."""
    from voicekiln.training.data.clips import read_rows
    from voicekiln.training.data.plan import plan, to_steps

    rows, s = read_rows(run.train_rows), run.train
    steps, ids = [r.n_steps for r in rows], [r.id for r in rows]
    batch_steps = to_steps(s.batch_s, FRAMES_PER_S)
    return plan(steps, ids, batch_steps, s.batch_clips, 1, s.seed, FRAMES_PER_S)


def ours(run, updates: int, per_epoch: int) -> list[tuple[float, float]]:
    """Ends of updates of our loop."""
    from voicekiln.training import worker
    from voicekiln.training.process.collectives import make_accelerator
    from voicekiln.training.process.stop import Stop
    from voicekiln.training.step.ema import Ema

    tick, times = clock(updates, per_epoch)
    average = Ema.update

    def update(self):
        average(self)
        tick()

    Ema.update = update
    try:
        worker.train(run, Stop(), make_accelerator(run.train.precision), None)
    except Enough:
        pass
    return times


def upstreams(run, updates: int, per_epoch: int) -> list[tuple[float, float]]:
    """Ends of updates of f5_tts's Trainer with our batches."""
    import voicekiln.upstream  # noqa: F401  (before f5_tts)
    from f5_tts.model import trainer
    from torch.utils.data import Dataset, Sampler
    from voicekiln import families
    from voicekiln.features.packs import PackReader
    from voicekiln.training.data.clips import read_rows

    family = families.get(run.family)
    vocab = family.tokenizer(run.tokenizer).vocab
    rows = read_rows(run.train_rows)
    model = family.build(run.architecture, len(vocab))
    model.load_state_dict(family.read_weights(run.checkpoint))
    model.vocab_char_map = {token: i for i, token in enumerate(vocab)}
    packs = PackReader()

    class Clips(Dataset):
        def __len__(self):
            return len(rows)

        def __getitem__(self, i):
            mel = packs.get(rows[i].pack, rows[i].feature)["mel"]
            return {"mel_spec": mel.T, "text": list(rows[i].text)}

    s = run.train
    batches = batches_of(run)

    class SameBatches(Sampler):
        """Stands in for upstream's DynamicBatchSampler."""

        drop_last = True

        def __init__(self, *args, **kwargs):
            self.epoch = 0

        def set_epoch(self, epoch):
            self.epoch = epoch

        def __iter__(self):
            return iter(map(list, batches.epoch(self.epoch)))

        def __len__(self):
            return batches.per_epoch

    trainer.DynamicBatchSampler = SameBatches
    tick, times = clock(updates, per_epoch)
    theirs = trainer.Trainer(
        model,
        s.epochs,
        s.learning_rate,
        num_warmup_updates=s.warmup_updates,
        save_per_updates=10**9,
        keep_last_n_checkpoints=0,
        checkpoint_path=str(run.directory / "upstream"),
        batch_size_per_gpu=round(s.batch_s * FRAMES_PER_S),
        batch_size_type="frame",
        max_samples=s.batch_clips,
        max_grad_norm=s.max_grad_norm,
        logger=None,
        accelerate_kwargs={"mixed_precision": {"fp32": "no"}.get(s.precision, s.precision)},
    )
    average = theirs.ema_model.update

    def update():
        average()
        tick()

    theirs.ema_model.update = update
    try:
        theirs.train(Clips(), num_workers=1, resumable_with_seed=s.seed)
    except Enough:
        pass
    return times


def trial(side: str, size: str, epochs: int, precision: str, threads: int) -> None:
    """Prints the updates per second of one trial, by the clock and by the CPU, as JSON."""
    import torch

    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        run = setting(size, Path(folder), epochs, precision, threads)
        per_epoch = batches_of(run).per_epoch
        updates = per_epoch * (1 + epochs)
        times = {"ours": ours, "upstream": upstreams}[side](run, updates, per_epoch)
        memory = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
        n_frames, flop = frames_and_flop(run)
    first, last = times[per_epoch - 1], times[-1]
    n = len(times) - per_epoch
    rates = [n / (end - begin) for begin, end in zip(first, last, strict=True)]
    print(json.dumps({"rates": rates, "frames": n_frames, "flop": flop, "memory": memory}))


def frames_and_flop(run) -> tuple[float, float]:
    """Of a mean update: frames of its clips without padding, and the model's FLOP."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from voicekiln import families
    from voicekiln.features.packs import PackReader
    from voicekiln.training.data.clips import BatchRequest, Clips, read_rows

    family, rows = families.get(run.family), read_rows(run.train_rows)
    tokenizer = family.tokenizer(run.tokenizer)
    clips = Clips(family, rows, tokenizer, PackReader(), 0, train=True)
    batches = batches_of(run)
    members = batches.members[batches.per_epoch // 2]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = family.build(run.architecture, tokenizer.n_tokens).to(device)
    batch = clips.batch(BatchRequest(members, 0))
    batch = {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(run.train.precision)
    with (
        FlopCounterMode(display=False) as counter,
        torch.autocast(device, dtype, dtype is not None),
    ):
        sum(family.loss(model, batch).values()).backward()
    padded = batches.padded(members)
    real = sum(batches.n_steps) / batches.per_epoch
    return real, counter.get_total_flops() / padded * real / (1 - batches.padding)


def main() -> None:
    """Runs the trials in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=["tiny", "mid"])
    parser.add_argument("--trial", nargs=2, metavar=("SIDE", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        side, size = options.trial
        trial(side, size, options.epochs, options.precision, options.threads)
        return
    print(f"updates per second; {options.precision}, threads: {options.threads}")
    print(f"{'model':10} {'time':5} {'upstream':>9} {'ours':>9} {'ratio':>6}   ratio of each round")
    for size in options.sizes:
        found: dict[str, list[dict]] = {"upstream": [], "ours": []}
        for n in range(options.rounds):
            for side in ("upstream", "ours") if n % 2 == 0 else ("ours", "upstream"):
                found[side].append(run_trial(side, size, options))
        for i, name in enumerate(("clock", "cpu")):
            theirs, here = ([r["rates"][i] for r in found[s]] for s in ("upstream", "ours"))
            ratios = [a / b for a, b in zip(here, theirs, strict=True)]
            medians = f"{statistics.median(theirs):9.3f} {statistics.median(here):9.3f}"
            each = " ".join(f"{r:.2f}" for r in ratios)
            print(f"{size:10} {name:5} {medians} {statistics.median(ratios):6.2f}   {each}")
        for side, trials in found.items():
            rate = statistics.median(trial["rates"][0] for trial in trials)
            frames, flop = rate * trials[0]["frames"], rate * trials[0]["flop"] / 1e12
            memory = max(trial["memory"] for trial in trials) / 1e6
            on_gpu = f", {memory:.0f} MB" if memory else ""
            print(f"{size:10} {side}: {frames:.0f} frames/s, {flop:.3f} TFLOP/s{on_gpu}")


def run_trial(side: str, size: str, options) -> dict:
    """One trial in a process of its own."""
    command = [sys.executable, __file__, "--trial", side, size]
    command += ["--epochs", str(options.epochs), "--threads", str(options.threads)]
    command += ["--precision", options.precision]
    environment = os.environ | {"OMP_NUM_THREADS": str(options.threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side} {size}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
