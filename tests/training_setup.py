"""A small training for tests: a tiny DiT of the real class on made-up features."""

import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from voicekiln import families
from voicekiln.config import schema
from voicekiln.training import settings as train_settings
from voicekiln.training.settings import RunSettings

# The schema's defaults, but for a training of a second; `saving` only stands for two other keys.
DEFAULTS = {
    name: key["default"]
    for name, key in schema.run("f5")["properties"]["train"]["properties"].items()
    if name != "saving"
}
TRAIN = DEFAULTS | {
    "epochs": 2,
    "learning_rate": 1.0e-3,
    "warmup_updates": 3,
    "ema_every": 2,
    "ema_follow_updates": 3,
    "batch_s": 1.28,
    "batch_clips": 4,
    "accumulate": 2,
    "seed": 7,
    "save_every": 3,
    "validate_every": 4,
    "samples": 0,
    "keep": -1,
    "log_every": 2,
    "workers": 0,
}
STEPS_PER_S = 93.75  # of F5-TTS; 1.28 s are 120 frames
MODEL = {
    "dim": 32,
    "depth": 2,
    "heads": 2,
    "dim_head": 16,
    "ff_mult": 2,
    "text_dim": 16,
    "conv_layers": 1,
    "dropout": 0.1,
    "text_mask_padding": True,
}
LETTERS = " abcdefgh"


def tiny_run(folder: Path, **changes) -> RunSettings:
    """Settings of a run whose files are written into `folder`; for `changes` see `write_run`."""
    return train_settings.read(write_run(folder, **changes))


def write_run(
    folder: Path,
    clips: int = 13,
    model: dict | None = None,
    n_frames: tuple[int, int] = (10, 40),
    threads: int = 1,
    added_tokens: int = 0,
    earlier: dict[str, str] | None = None,
    **train,
) -> Path:
    """Write all files of a run; returns the worker's settings file.

    Args:
        folder: for the files.
        clips: number of training clips.
        model: architecture values that replace those of `MODEL`.
        n_frames: shortest and longest clip.
        threads: threads of the worker.
        added_tokens: number of the vocabulary's last tokens that count as new.
        earlier: rows of earlier runs' validation clips.
        train: settings that replace those of `TRAIN`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    family = families.get("f5")
    architecture = family.architecture(MODEL | (model or {}))
    vocab = folder / "vocab.txt"
    vocab.write_text("".join(f"{letter}\n" for letter in LETTERS), encoding="utf-8")
    torch.manual_seed(0)
    net = family.build(architecture, len(LETTERS))
    for parameter in net.parameters():
        # Upstream begins with zeros in many places, and half of the model would do nothing.
        torch.nn.init.normal_(parameter, std=0.1)
    base = folder / "base.safetensors"
    save_file(net.state_dict(), base)
    rows = {
        "train": write_rows(folder / "train.jsonl", clips, n_frames, seed=1),
        "val": write_rows(folder / "val.jsonl", 4, n_frames, seed=2),
    }
    content = {
        "family": "f5",
        "base": {
            "checkpoint": str(base),
            "architecture": architecture,
            "added_tokens": added_tokens,
        },
        "base_files": {"checkpoint": str(base), "vocab": str(vocab)},
        "tokenizer": str(folder),
        "train_rows": str(rows["train"]),
        "val_rows": str(rows["val"]),
        "directory": str(folder / "training"),
        "settings": TRAIN | train,
        "threads": threads,
        "earlier": earlier or {},
        "code": "abc",
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_rows(path: Path, clips: int, between: tuple[int, int], seed: int) -> Path:
    """Rows of clips, and a pack of smooth random features beside them."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    pack = path.with_suffix(".safetensors")
    features, lines = {}, []
    for i in range(clips):
        n_frames = rng.randint(*between)
        name = f"{path.stem}-{i:03d}"
        tone = torch.randn(1, 100, generator=generator)
        features[f"{name}/mel"] = tone + 0.1 * torch.randn(n_frames, 100, generator=generator)
        row = {
            "id": name,
            "text": "".join(rng.choices(LETTERS[1:], k=rng.randint(2, 8))),
            "speaker": "a",
            "language": "en",
            "n_steps": n_frames,
            "duration_s": n_frames / STEPS_PER_S,
            "feature": name,
            "pack": str(pack),
            "audio_sha256": f"{i:064x}",
        }
        lines.append(json.dumps(row) + "\n")
    save_file(features, pack)
    path.write_text("".join(lines), encoding="utf-8")
    return path
