"""A training of XTTS's GPT at small size on made-up codes and mels."""

import json
import random
from pathlib import Path

import torch
from safetensors.torch import save_file
from training_setup import TRAIN
from voicekiln import families
from voicekiln.training import settings as train_settings
from voicekiln.training.settings import RunSettings
from xtts_small import write_vocab

LETTERS = "abcdefgh"
STEPS_PER_S = families.get("xtts").STEPS_PER_S
BATCH_S = 90 / STEPS_PER_S


def xtts_run(
    folder: Path, clips: int = 9, model: dict | None = None, added_tokens: int = 0, **train
) -> RunSettings:
    """Settings of a run whose files are written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    family = families.get("xtts")
    n_tokens = write_vocab(folder / "vocab.json", LETTERS)
    arch = {
        "layers": 2,
        "width": 32,
        "heads": 2,
        "n_audio_tokens": 18,
        "max_text_tokens": 20,
        "max_audio_tokens": 50,
        "start_text": n_tokens - 1,
        "stop_text": 0,
        "start_audio": 16,
        "stop_audio": 17,
        "cond_latents": 4,
        "dropout": 0.1,
    } | (model or {})
    torch.manual_seed(0)
    base = folder / "base.safetensors"
    save_file(family.build(arch, n_tokens).state_dict(), base)
    content = {
        "family": "xtts",
        "base": {"checkpoint": str(base), "architecture": arch, "added_tokens": added_tokens},
        "base_files": {},
        "tokenizer": str(folder),
        "train_rows": str(write_rows(folder / "train.jsonl", clips, seed=1)),
        "val_rows": str(write_rows(folder / "val.jsonl", 4, seed=2)),
        "directory": str(folder / "training"),
        "settings": TRAIN | {"batch_s": BATCH_S} | train,
        "threads": 1,
        "code": "abc",
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(content))
    return train_settings.read(path)


def write_rows(path: Path, clips: int, seed: int) -> Path:
    """Rows of clips, and a pack beside them."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    pack, arrays, lines = path.with_suffix(".safetensors"), {}, []
    for i in range(clips):
        name, n = f"{path.stem}-{i:03d}", rng.randint(10, 40)
        codes = torch.randint(16, (n,), generator=generator)
        arrays[f"{name}/codes"] = codes.to(torch.int16)
        arrays[f"{name}/cond_mel"] = torch.randn(4 * n, 80, generator=generator)
        row = {
            "id": name,
            "text": "".join(rng.choices(LETTERS, k=rng.randint(2, 8))),
            "speaker": "a",
            "language": "en",
            "n_steps": n,
            "duration_s": n / STEPS_PER_S,
            "feature": name,
            "pack": str(pack),
            "audio_sha256": f"{i:064x}",
        }
        lines.append(json.dumps(row) + "\n")
    save_file(arrays, pack)
    path.write_text("".join(lines))
    return path
