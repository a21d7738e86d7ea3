"""How long a checkpoint pauses training: ours compared with a plain `torch.save`.

    python benchmarks/checkpoints.py [--parameters 30] [--rounds 5]

One state (model, average, two moments of AdamW: 16 bytes a parameter) is saved alternately. Ours
pauses while a copy is taken; file, checksum, sync to disk and rename run in the background. The
plain way is `torch.save` of the same state, with and without the sync that makes it safe. Median
wall-clock times; they depend on the disk.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from voicekiln.training.state.history import History  # noqa: E402
from voicekiln.training.state.writer import CheckpointWriter  # noqa: E402

WIDTH = 1024


def made(millions: float) -> tuple[dict, dict]:
    """Averaged weights, and the other tensors of a checkpoint."""
    n = max(1, round(millions * 1e6 / WIDTH**2))
    model = {f"layer.{i}.weight": torch.randn(WIDTH, WIDTH) for i in range(n)}
    moments = {
        i: {"exp_avg": torch.randn(WIDTH, WIDTH), "exp_avg_sq": torch.rand(WIDTH, WIDTH)}
        for i in range(n)
    }
    ema = {name: tensor.clone() for name, tensor in model.items()}
    return ema, {"model": model, "optimizer": {"state": moments}, "ema_updates": 1}


def plain(folder: Path, ema: dict, tensors: dict, synced: bool) -> float:
    """Seconds that a plain save stops the training for."""
    began = time.perf_counter()
    with open(folder / "plain.pt", "wb") as file:
        torch.save({"ema": ema, **tensors}, file)
        if synced:
            file.flush()
            os.fsync(file.fileno())
    return time.perf_counter() - began


def ours(writer: CheckpointWriter, ema: dict, tensors: dict, update: int) -> tuple[float, float]:
    """Seconds that our save stops the training for, and until it is on disk."""
    began = time.perf_counter()
    writer.take(ema, tensors, {"update": update, "epoch": 0, "validation_loss": None}, History())
    stood = time.perf_counter() - began
    writer.wait()
    return stood, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parameters", type=float, default=30, help="millions")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ema, tensors = made(args.parameters)
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        settings = SimpleNamespace(keep=0)
        run = SimpleNamespace(directory=Path(folder), settings=settings, lease=None)
        writer = CheckpointWriter(run)
        first, _ = ours(writer, ema, tensors, 1)
        for n in range(args.rounds):
            times = {
                "torch.save": plain(Path(folder), ema, tensors, synced=False),
                "torch.save, synced": plain(Path(folder), ema, tensors, synced=True),
            }
            times["ours: pause"], times["ours: on disk"] = ours(writer, ema, tensors, n + 2)
            for name, seconds in times.items():
                rows.setdefault(name, []).append(seconds)
    print(f"{args.parameters:g} million parameters, {16 * args.parameters:g} MB")
    print(f"the first of ours, which takes the memory for the copy: {1000 * first:.0f} ms")
    least = statistics.median(rows["ours: pause"])
    for name, seconds in rows.items():
        middle = statistics.median(seconds)
        print(f"{name:20s} {1000 * middle:8.0f} ms   {middle / least:5.2f}x")


if __name__ == "__main__":
    main()
