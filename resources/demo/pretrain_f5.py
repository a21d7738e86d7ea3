"""Pre-train f5/model_380000.pt, the small base that the demo fine-tunes, with f5-tts's own Trainer.

`python resources/demo/pretrain_f5.py`: one command, fixed seed, fixed schedule. The model learns
from lower-case sentences without punctuation that the demo does not hold, in voices that the demo
does not have; so its vocabulary lacks the demo's capitals, marks and some letters.
"""

import argparse
import csv
import json
import logging
import random
import sys
import tempfile
import time
import zipfile
from itertools import islice
from pathlib import Path

import numpy as np
import speech
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "workflow" / "scripts"))
import voicekiln.upstream  # noqa: E402, F401 - before f5_tts
from f5_tts.model import CFM, DiT, Trainer  # noqa: E402
from f5_tts.model.modules import MelSpec  # noqa: E402

SEED = 0
RATE_HZ = 24000
N_TRAIN, N_DEV = 3000, 48
EPOCHS = 28  # of 188 updates
N_CLIPS = 16  # of a batch
LEARNING_RATE = 4e-3
WARMUP_UPDATES = 150
SAVE_EVERY_UPDATES = 500
UPDATE = (
    380000  # what the finished run is labelled with, so that a user's reset has a counter to strip
)
VOICES = ("en-us+f1", "en-us+m1", "en-gb", "en-gb+m2", "en-gb-x-rp+f3", "en-us+f5")
MISSING_LETTERS = "qx"  # sentences that need them are left out, too
ARCHITECTURE = {
    "backbone": "DiT",
    "dim": 64,
    "depth": 4,
    "heads": 2,
    "dim_head": 32,
    "ff_mult": 2,
    "dropout": 0.0,
    "text_dim": 64,
    "text_mask_padding": True,
    "text_embedding_average_upsampling": True,
    "conv_layers": 1,
    "pe_attn_head": None,
    "qk_norm": None,
    "attn_backend": "torch",
    "attn_mask_enabled": True,
}
LOG = logging.getLogger("pretrain_f5")


class Clips(torch.utils.data.Dataset):
    """Spoken sentences as f5-tts's collate function wants them, all in memory."""

    def __init__(self, rows: list[dict]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return self.rows[index]


def plain(text: str) -> str:
    """The text as the base knows it: words and spaces."""
    return " ".join(speech.plain_words(text))


def speak_all(n: int, seed: str, exclude: set[str]) -> list[dict]:
    """`n` sentences: mel_spec `[1, 100, T]` float32 and text; margins and level as of segments."""
    rng = np.random.default_rng([SEED, n])
    chooser = random.Random(f"{seed}:voices")
    to_mel = MelSpec(target_sample_rate=RATE_HZ, mel_spec_type="vocos")
    usable = (
        text
        for text in speech.sentences(seed, exclude)
        if not set(MISSING_LETTERS) & set(text.lower())
    )
    rows = []
    for text in islice(usable, n):
        manner = speech.Manner(
            chooser.choice(VOICES), chooser.randint(138, 160), chooser.randint(42, 58)
        )
        said = speech.speak(text, manner)
        said = np.pad(said * 0.07 / np.sqrt(np.mean(said**2)), rng.integers(2500, 6000, 2))
        said = said + speech.background(len(said), rng.uniform(-62, -54), rng)
        said = speech.resample(said.astype(np.float32), speech.RATE_HZ, RATE_HZ)
        mel = to_mel(torch.from_numpy(said)[None])
        rows.append({"mel_spec": mel, "text": list(plain(text)), "sentence": text})
    return rows


def build(vocabulary: list[str]) -> CFM:
    """f5-tts's model, untrained."""
    values = {key: value for key, value in ARCHITECTURE.items() if key != "backbone"}
    transformer = DiT(**values, text_num_embeds=len(vocabulary), mel_dim=100)
    return CFM(
        transformer=transformer,
        mel_spec_kwargs={"target_sample_rate": RATE_HZ, "mel_spec_type": "vocos"},
        vocab_char_map={token: i for i, token in enumerate(vocabulary)},
    )


@torch.no_grad()
def text_losses(model: CFM, rows: list[dict]) -> dict[str, float]:
    """Mean loss on fixed draws with every clip's own text and with the next clip's.

    The same noise, times and masks for both; no conditions dropped.
    """
    device_state = torch.get_rng_state()
    dropped = model.audio_drop_prob, model.cond_drop_prob
    model.audio_drop_prob = model.cond_drop_prob = 0.0
    model.eval()
    losses = {}
    for name, shift in {"true": 0, "shuffled": 1}.items():
        torch.manual_seed(SEED)
        values = []
        for _ in range(3):
            for i, row in enumerate(rows):
                mel = row["mel_spec"][0].T[None]
                values.append(model(mel, text=[rows[(i + shift) % len(rows)]["text"]])[0].item())
        losses[name] = float(np.mean(values))
    model.train()
    model.audio_drop_prob, model.cond_drop_prob = dropped
    torch.set_rng_state(device_state)
    return losses


class Pretrainer(Trainer):
    """Upstream's Trainer, which measures the averaged weights whenever it saves."""

    dev: list[dict]
    target: Path
    started: float

    def save_checkpoint(self, update: int, last: bool = False) -> None:
        """As upstream, but every state is labelled UPDATE, and deflated it replaces the target."""
        measured = text_losses(self.ema_model.ema_model, self.dev)
        LOG.info("update %d, %.0f s: %s", update, time.monotonic() - self.started, measured)
        super().save_checkpoint(UPDATE)
        deflate(Path(self.checkpoint_path, f"model_{UPDATE}.pt"), self.target)


def deflate(stored: Path, target: Path) -> None:
    """The same checkpoint, its entries deflated: torch.load reads both."""
    part = target.with_suffix(".part")
    with zipfile.ZipFile(stored) as old, zipfile.ZipFile(part, "w") as new:
        for entry in old.infolist():
            info = zipfile.ZipInfo(entry.filename)
            new.writestr(info, old.read(entry), zipfile.ZIP_DEFLATED, 9)
    part.replace(target)


def main(output: Path) -> None:
    """Make the data, train, write the checkpoint, vocab.txt and model.json."""
    torch.manual_seed(SEED)
    random.seed(SEED)  # CFM.forward draws from it what to drop
    with open(HERE / "sentences.tsv", newline="") as table:
        demo = {row["text"] for row in csv.DictReader(table, delimiter="\t")}
    train = speak_all(N_TRAIN, "f5", demo)
    dev = speak_all(N_DEV, "f5 dev", demo | {row["sentence"] for row in train})
    vocabulary = sorted({token for row in train for token in row["text"]})  # the space comes first
    output.mkdir(parents=True, exist_ok=True)
    (output / "vocab.txt").write_text("".join(f"{token}\n" for token in vocabulary))
    (output / "model.json").write_text(json.dumps(ARCHITECTURE, indent=1) + "\n")
    model = build(vocabulary)
    LOG.info("%d clips, %d parameters", len(train), sum(p.numel() for p in model.parameters()))
    with tempfile.TemporaryDirectory() as work:
        trainer = Pretrainer(
            model,
            epochs=EPOCHS,
            learning_rate=LEARNING_RATE,
            num_warmup_updates=WARMUP_UPDATES,
            save_per_updates=SAVE_EVERY_UPDATES,
            last_per_updates=10**9,  # at the end only
            checkpoint_path=work,
            batch_size_per_gpu=N_CLIPS,
            max_grad_norm=1.0,
            logger=None,
            ema_kwargs={"beta": 0.998, "update_every": 1},
            accelerate_kwargs={"cpu": True},
        )
        trainer.dev, trainer.started = dev, time.monotonic()
        trainer.target = output / f"model_{UPDATE}.pt"
        trainer.train(Clips(train), num_workers=1, resumable_with_seed=SEED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "f5")
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    main(parser.parse_args().output)
