"""A training of the toy family: two arrays per clip, two loss parts, prompts."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import save_file
from training_setup import TRAIN
from voicekiln import families
from voicekiln.training import settings as train_settings
from voicekiln.training.settings import RunSettings

TOY_FAMILIES = Path(__file__).parent / "toy_families"

LETTERS = list(" abcdefgh")
BATCH_S = 2.4  # 120 codes


@contextmanager
def toy_family() -> Iterator[None]:
    """The toy family is one of the families; not for longer, or other tests would see it too."""
    families.__path__.append(str(TOY_FAMILIES))
    try:
        yield
    finally:
        families.__path__.remove(str(TOY_FAMILIES))


def toy_run(
    folder: Path,
    clips: int = 25,
    model: dict | None = None,
    added_tokens: int = 0,
    speakers: str = "ab",
    **train,
) -> RunSettings:
    """Settings of a run whose files are written into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    family = families.get("toy")
    (folder / "tokens.json").write_text(json.dumps(LETTERS))
    arch = family.architecture(model)
    torch.manual_seed(0)
    base = folder / "base.safetensors"
    save_file(family.build(arch, len(LETTERS)).state_dict(), base)
    content = {
        "family": "toy",
        "base": {"checkpoint": str(base), "architecture": arch, "added_tokens": added_tokens},
        "base_files": {},
        "tokenizer": str(folder),
        "train_rows": str(write_rows(folder / "train.jsonl", clips, speakers, seed=1)),
        "val_rows": str(write_rows(folder / "val.jsonl", 5, speakers, seed=2)),
        "directory": str(folder / "training"),
        "settings": TRAIN | {"epochs": 3, "batch_s": BATCH_S} | train,
        "threads": 1,
        "code": "abc",
    }
    path = folder / "settings.json"
    path.write_text(json.dumps(content))
    return train_settings.read(path)


def write_rows(path: Path, clips: int, speakers: str, seed: int) -> Path:
    """Rows of clips of each speaker in turn, and a pack beside them."""
    rng = random.Random(seed)
    generator = torch.Generator().manual_seed(seed)
    pack, arrays, lines = path.with_suffix(".safetensors"), {}, []
    for i in range(clips):
        name, n = f"{path.stem}-{i:03d}", rng.randint(10, 40)
        codes = torch.randint(4, (n,), generator=generator)
        arrays[f"{name}/codes"] = codes.to(torch.int16)
        arrays[f"{name}/cond"] = torch.randn(n // 2, 8, generator=generator)
        row = {
            "id": name,
            "text": "".join(rng.choices(LETTERS[1:], k=rng.randint(2, 8))),
            "speaker": speakers[i % len(speakers)],
            "language": "en",
            "n_steps": n,
            "duration_s": n / 50,
            "feature": name,
            "pack": str(pack),
            "audio_sha256": f"{i:064x}",
        }
        lines.append(json.dumps(row) + "\n")
    save_file(arrays, pack)
    path.write_text("".join(lines))
    return path
