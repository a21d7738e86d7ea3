"""Seconds of audio trained per second by our loop, beside coqui-tts's GPTTrainer under Trainer.fit.

    python benchmarks/xtts_training.py [--layers 8] [--width 512] [--updates 12] [--rounds 3]

Same model (without dropout), base weights, clips, clips per batch, optimiser, precision (fp32) and
one thread. Clips are noise of 1.5 to 11 s, so that lengths differ as in real data. Upstream draws
clips with replacement in batches of mixed length, computes the codes in every update and pads crops
with silence; ours has codes and mels in the feature packs, whose making is timed apart, and batches
of similar length. Each trial is a process of its own; the two take turns. The first two updates are
not timed. Times vary; this is no test.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / part) for part in ("workflow/scripts", "tests")]

N_CODES, N_CLIPS, BATCH, WARM = 1024, 48, 4, 2
RATE_HZ, LETTERS = 22050, "abcdefgh"


class Enough(Exception):
    """As many updates as were asked for are done."""


class Clock:
    """Times of the ends of updates, and seconds of audio in each."""

    def __init__(self, updates: int):
        self.updates = updates
        self.times, self.seconds = [], []

    def tick(self, seconds: float) -> None:
        """An update with so many seconds of audio has ended."""
        self.times.append((time.perf_counter(), time.process_time()))
        self.seconds.append(seconds)
        if len(self.times) >= self.updates:
            raise Enough

    def rates(self) -> list[float]:
        """Seconds of audio per second: by the clock, and by the CPU time of the process."""
        trained = sum(self.seconds[WARM:])
        first, last = self.times[WARM - 1], self.times[-1]
        return [trained / (end - begin) for begin, end in zip(first, last, strict=True)]


def files(folder: Path, layers: int, width: int) -> list[dict]:
    """A release with upstream's DVAE, and clips; the clips as upstream lists them."""
    import numpy as np
    import soundfile
    import torch
    from TTS.tts.layers.xtts.dvae import DiscreteVAE
    from xtts_small import make

    make(folder / "base", letters=LETTERS, layers=layers, width=width, heads=8, n_codes=N_CODES)
    torch.manual_seed(0)
    dvae = DiscreteVAE(
        channels=80,
        normalization=None,
        positional_dims=1,
        num_tokens=N_CODES,
        codebook_dim=512,
        hidden_dim=512,
        num_resnet_blocks=3,
        kernel_size=3,
        num_layers=2,
        use_transposed_convs=False,
    )
    torch.save(dvae.state_dict(), folder / "base/dvae.pth")
    rng, noise = random.Random(0), np.random.default_rng(0)
    clips = []
    for i in range(N_CLIPS):
        seconds = rng.uniform(1.5, 11.0)
        path = folder / f"{i:03d}.wav"
        soundfile.write(path, 0.1 * noise.standard_normal(round(seconds * RATE_HZ)), RATE_HZ)
        text = "".join(rng.choices(LETTERS, k=round(12 * seconds)))
        clips.append({"text": text, "audio_file": str(path), "language": "en", "seconds": seconds})
    return clips


def upstreams(folder: Path, clips: list[dict], updates: int) -> tuple[Clock, dict]:
    """Updates of GPTTrainer under Trainer.fit."""
    from trainer import Trainer, TrainerArgs
    from TTS.config import load_config
    from TTS.tts.layers.xtts.trainer.gpt_trainer import GPTArgs, GPTTrainer, GPTTrainerConfig

    base = folder / "base"
    args = {
        key: value
        for key, value in load_config(str(base / "config.json")).model_args.to_dict().items()
        if key in GPTArgs.__dataclass_fields__
    }
    args |= {
        "tokenizer_file": str(base / "vocab.json"),
        "mel_norm_file": str(base / "mel_stats.pth"),
        "dvae_checkpoint": str(base / "dvae.pth"),
        "xtts_checkpoint": str(base / "model.pth"),
    }
    config = GPTTrainerConfig(
        model_args=GPTArgs(**args),
        epochs=100,
        batch_size=BATCH,
        num_loader_workers=1,
        output_path=str(folder / "upstream"),
        optimizer="AdamW",
        optimizer_params={"betas": [0.9, 0.96], "eps": 1e-8, "weight_decay": 1e-2},
        optimizer_wd_only_on_weights=True,
        lr=1e-5,
        run_eval=False,
        print_step=10**6,
        plot_step=10**6,
        save_step=10**6,
        dashboard_logger="tensorboard",
    )
    model = GPTTrainer(config)
    for block in model.xtts.gpt.modules():
        if type(block).__name__ == "Dropout":
            block.p = 0.0
    theirs = Trainer(
        TrainerArgs(), config, output_path=config.output_path, model=model, train_samples=clips
    )
    clock, step = Clock(updates), theirs.train_step

    def timed(batch, *rest):
        seconds = float(batch["wav_lengths"].sum()) / RATE_HZ
        done = step(batch, *rest)
        clock.tick(seconds)
        return done

    theirs.train_step = timed
    try:
        theirs.fit()
    except SystemExit:  # as it answers any error, ours too
        if len(clock.times) < updates:
            raise
    return clock, {}


def ours(folder: Path, clips: list[dict], updates: int) -> tuple[Clock, dict]:
    """Updates of our loop, and the cost of the features in seconds per second of audio."""
    import soundfile
    import torch
    from safetensors.torch import save_file
    from training_setup import TRAIN
    from voicekiln import families
    from voicekiln.training import loop, worker
    from voicekiln.training import settings as train_settings
    from voicekiln.training.process.collectives import make_accelerator
    from voicekiln.training.process.stop import Stop
    from xtts_small import base_files

    family, base = families.get("xtts"), base_files(folder / "base")
    arch = family.architecture(None, base) | {"dropout": 0.0}
    save_file(family.check(base, arch), folder / "gpt.safetensors")
    extract = family.extractor(base, {}, "cpu")
    arrays, rows, started = {}, [], time.process_time()
    for i, clip in enumerate(clips):
        samples = torch.from_numpy(soundfile.read(clip["audio_file"], dtype="float32")[0])
        found = extract(samples)
        arrays |= {f"{i:03d}/{name}": array for name, array in found.items()}
        row = {"id": f"{i:03d}", "text": clip["text"], "speaker": "a", "language": "en"}
        row |= {"n_steps": family.n_steps(found), "duration_s": clip["seconds"]}
        row |= {"feature": f"{i:03d}", "pack": str(folder / "pack.safetensors")}
        rows.append(row | {"audio_sha256": f"{i:064x}"})
    cost = (time.process_time() - started) / sum(clip["seconds"] for clip in clips)
    save_file(arrays, folder / "pack.safetensors")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = {"batch_s": 60.0, "batch_clips": BATCH, "accumulate": 1, "epochs": 100}
    changes |= {"learning_rate": 1e-5, "betas": [0.9, 0.96], "decay": "upstream", "workers": 1}
    changes |= {"ema_decay": 0, "save_every": None, "validate_every": 10**9, "log_every": 1}
    run = train_settings.from_json(
        {
            "family": "xtts",
            "base": {
                "checkpoint": str(folder / "gpt.safetensors"),
                "architecture": arch,
                "added_tokens": 0,
            },
            "base_files": {},
            "tokenizer": str(folder / "base"),
            "train_rows": str(folder / "rows.jsonl"),
            "val_rows": str(folder / "rows.jsonl"),
            "directory": str(folder / "training"),
            "settings": TRAIN | changes,
            "threads": 1,
            "code": "abc",
        }
    )
    clock, trained = Clock(updates), []
    losses, step = family.loss, loop.Training.step

    def loss(model, batch):
        trained.append(float(batch["clips"][:, 1].sum()) * 1024 / RATE_HZ)
        return losses(model, batch)

    def timed(self, *args):
        trained.clear()
        done = step(self, *args)
        clock.tick(sum(trained))
        return done

    family.loss, loop.Training.step = loss, timed
    try:
        worker.train(run, Stop(), make_accelerator("fp32"), None)
    except Enough:
        pass
    return clock, {"features": cost}


def trial(side: str, options) -> None:
    """Prints what one trial measured, as JSON."""
    import torch
    import voicekiln.upstream  # noqa: F401  (before coqui-tts)

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = files(folder, options.layers, options.width)
        torch.set_num_threads(1)  # coqui-tts's imports change it
        run = {"ours": ours, "upstream": upstreams}[side]
        clock, more = run(folder, clips, WARM + options.updates)
    print(json.dumps({"rates": clock.rates(), "seconds": sum(clock.seconds[WARM:])} | more))


def main() -> None:
    """Runs the trials in turn and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--updates", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trial", choices=["ours", "upstream"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trial:
        trial(options.trial, options)
        return
    found: dict[str, list[dict]] = {"upstream": [], "ours": []}
    for n in range(options.rounds):
        for side in ("upstream", "ours") if n % 2 == 0 else ("ours", "upstream"):
            found[side].append(run_trial(side, options))
    print(f"seconds of audio trained per second; {options.layers} x {options.width}, fp32")
    print(f"{'time':5} {'upstream':>9} {'ours':>9} {'ratio':>6}   ratio of each round")
    for i, name in enumerate(("clock", "cpu")):
        theirs, here = ([r["rates"][i] for r in found[side]] for side in ("upstream", "ours"))
        ratios = [a / b for a, b in zip(here, theirs, strict=True)]
        medians = f"{statistics.median(theirs):9.3f} {statistics.median(here):9.3f}"
        each = " ".join(f"{ratio:.2f}" for ratio in ratios)
        print(f"{name:5} {medians} {statistics.median(ratios):6.2f}   {each}")
    cost = statistics.median(trial["features"] for trial in found["ours"])
    print(f"features, once: {cost:.3f} CPU seconds per second of audio")


def run_trial(side: str, options) -> dict:
    """One trial in a process of its own."""
    command = [sys.executable, __file__, "--trial", side, "--updates", str(options.updates)]
    command += ["--layers", str(options.layers), "--width", str(options.width)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{side}: {done.stderr[-3000:]}{done.stdout[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
