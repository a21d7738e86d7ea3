"""The first loss with embedding rows for new characters: ours beside random ones.

    python benchmarks/new_rows.py [--seeds 5]

The demo's base knows lower-case letters without marks, q and x; the demo's sentences have capitals
and full stops. Their clips are cut at the true places, and the loss of all of them is measured at
update 0, on fixed draws, with rows for the new characters that are

    ours      the row of a known form of the character, or the mean of all rows, and a little noise
    mean      the mean of all rows, and the same noise
    random    as f5-tts draws them, from a normal distribution of variance 1
    filler    the base's row for "no text here"

and once with the texts in the base's own characters (lower case, no marks), where nothing is new.
"""

import argparse
import csv
import json
import statistics
import sys
from pathlib import Path

import soundfile
import soxr
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from voicekiln.families import Clip, f5  # noqa: E402
from voicekiln.families.f5.mel import log_mel  # noqa: E402
from voicekiln.families.f5.reset import new_rows  # noqa: E402
from voicekiln.families.f5.text import Characters  # noqa: E402
from voicekiln.families.f5.weights import EMBEDDING  # noqa: E402
from voicekiln.tokenizers.characters import read_vocab  # noqa: E402
from voicekiln.training.seeds import generator  # noqa: E402

DEMO = ROOT / "resources" / "demo"
LEVEL = 0.07  # root mean square that the base was trained at
MARGIN_S = 0.15


def clips(name: str = "*.flac") -> list[tuple[torch.Tensor, str]]:
    """Features and text of each sentence in the demo's recordings of a form."""
    found = []
    with open(DEMO / "sentences.tsv", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    for path in sorted((DEMO / "recordings").rglob(name)):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        samples = soxr.resample(samples.mean(1), rate, f5.RATE_HZ)
        for row in rows:
            if row["recording"] != path.relative_to(DEMO / "recordings").as_posix():
                continue
            start, end = float(row["start_s"]) - MARGIN_S, float(row["end_s"]) + MARGIN_S
            said = torch.from_numpy(samples[int(start * f5.RATE_HZ) : int(end * f5.RATE_HZ)])
            said = said - said.mean()
            features = log_mel(said * LEVEL / said.square().mean().sqrt())
            found.append((features, row["text"]))
    return found


def plain(text: str) -> str:
    """The text in the base's own characters."""
    return "".join(c for c in text.lower() if c.isalpha() or c == " ")


@torch.no_grad()
def first_loss(rows: torch.Tensor, weights: dict, vocab: list[str], spoken: list) -> float:
    """Mean loss over all values of the clips, as a validation at update 0 has it."""
    arch = f5.architecture(json.loads((DEMO / "f5/model.json").read_text()))
    model = f5.build(arch, len(vocab)).eval()
    model.load_state_dict(weights | {EMBEDDING: torch.cat([weights[EMBEDDING], rows])})
    tokenizer = Characters(vocab)
    ids = [torch.tensor(tokenizer.encode(text)) for _, text in spoken]
    total = count = 0.0
    for i, ((features, _), tokens) in enumerate(zip(spoken, ids, strict=True)):
        clip = Clip(str(i), "", "", tokens, {"mel": features})
        draws = [f5.draw(clip, generator(0, "validation", clip.id), False)]
        batch = f5.collate([clip], draws, None)
        total += float(f5.loss(model, batch)["flow"])
        count += batch["totals"]["flow"]
    return total / count


def figures(spoken: list, seeds: int) -> dict[str, list[float]]:
    """First losses by kind of rows, one for each seed."""
    base = read_vocab(DEMO / "f5/vocab.txt")
    weights = f5.read_weights(DEMO / "f5/model_380000.pt")
    added = sorted({c for _, text in spoken for c in text} - set(base))
    vocab, old = [*base, *added], weights[EMBEDDING]
    lower = [(features, plain(text)) for features, text in spoken]
    lower = [(f, "".join(c for c in text if c in base)) for f, text in lower]
    found = {"nothing new": [first_loss(old[:0], weights, base, lower)]}
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        mean, _ = new_rows(old, base, [f"new {c}" for c in added], seed)
        kinds = {
            "ours": new_rows(old, base, added, seed)[0],
            "mean": mean,
            "random": torch.randn(len(added), old.shape[1], generator=generator),
            "filler": old[:1].expand(len(added), -1),
        }
        for kind, rows in kinds.items():
            found.setdefault(kind, []).append(first_loss(rows, weights, vocab, spoken))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    spoken = clips("*.flac") + clips("*.ogg") + clips("*.opus")
    print(f"{len(spoken)} clips, {seeds} seeds: mean of the first loss (lowest ... highest)")
    for kind, losses in figures(spoken, seeds).items():
        mean = statistics.fmean(losses)
        print(f"{kind:12} {mean:.4f} ({min(losses):.4f} ... {max(losses):.4f})")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
