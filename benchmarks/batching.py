"""Padding, lost clips and frames per second of our batches, f5_tts's and random ones of one size.

    python benchmarks/batching.py [FOLDER ...] [--caps 1600 3200 38400] [--timed 3200]

Lengths: what our own segmenter cuts from the recordings of the folders (the demo's and
../shared/data, where it is there), and two corpora by their published figures: LJSpeech (13 100
clips of 1.11 to 10.10 s, 6.57 on the average: a triangle with these three) and Malaysian-Emilia
(61 180 clips of 3 to 30 s, 10.35 on the average: a cut lognormal of these three). Each is batched
at the same cap in frames by

* ours: `batches.plan`. Clips longer than the cap stop it, by their names; the rest is planned here.
* f5-tts: its DynamicBatchSampler, as its Trainer calls it. It adds up the clips' own frames, so a
  batch is larger than the cap once it is padded, and leaves out in silence what is longer.
* random: shuffled, so many clips in each batch that it holds the cap's frames on the average.

`padding` is the share of computed frames without a clip, `largest` the largest batch with padding,
as a multiple of the cap: the memory it takes; `left out` the clips that no batch holds. `frames/s`:
forward and backward of a small DiT with our loss on every n-th batch, by the longest clip, one
thread, the three taking turns; frames of clips per CPU second, and the ratio to f5-tts's.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "benchmarks")]

import torch  # noqa: E402
import voicekiln.upstream  # noqa: E402, F401  (before f5_tts)
from data_steps import DEMO, settings  # noqa: E402
from f5_tts.model.dataset import DynamicBatchSampler  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from voicekiln.audio import normalize, segment  # noqa: E402
from voicekiln.audio.probe import AudioError  # noqa: E402
from voicekiln.audio.suffixes import AUDIO_SUFFIXES  # noqa: E402
from voicekiln.families import Clip, f5  # noqa: E402
from voicekiln.families.f5.mel import N_MELS  # noqa: E402
from voicekiln.training.data.plan import plan  # noqa: E402
from voicekiln.training.seeds import generator  # noqa: E402

SHARED = ROOT.parent / "shared" / "data"
FRAMES_PER_S = f5.STEPS_PER_S
MODEL = {"dim": 128, "depth": 4, "heads": 2, "ff_mult": 2, "text_dim": 64, "conv_layers": 1}
TOKENS_PER_S = 15
N_TOKENS = 60
MAX_CLIPS = 64  # the default of train.batch_clips, and of upstream's max_samples
ROUNDS = 3
SEED = 1

Batches = list[list[int]]


def cut(folders: list[Path]) -> list[int]:
    """Frames of the segments that our segmenter cuts from the recordings of folders."""
    config, frames = settings(), []
    normalizing = normalize.NormalizeSettings(**config["normalize"])
    cutting = segment.SegmentSettings(**config["segment"])
    with tempfile.TemporaryDirectory() as work:
        flac = Path(work, "normal.flac")
        for path in sorted(p for folder in folders for p in folder.rglob("*")):
            if path.suffix.lower() not in AUDIO_SUFFIXES:
                continue
            try:
                normalize.normalize(path, flac, normalizing)
            except AudioError:
                continue
            for start, end in segment.segment(flac, cutting, []).spans:
                frames.append(int((end - start) / f5.RATE_HZ * FRAMES_PER_S) + 1)
    return frames


def ljspeech() -> list[int]:
    """13 100 lengths; a triangle's mean is that of its three corners."""
    low, high, mean = 1.11, 10.10, 6.57
    rng = random.Random(SEED)
    return [in_frames(rng.triangular(low, high, 3 * mean - low - high)) for _ in range(13_100)]


def emilia() -> list[int]:
    """61 180 lengths with a long tail; the middle is moved until the average is the published."""
    low, high, mean, spread = 3.0, 30.0, 175.9 * 3600 / 61_180, 0.6

    def drawn(middle_s: float) -> list[float]:
        rng, lengths = random.Random(SEED), []
        while len(lengths) < 61_180:
            length_s = rng.lognormvariate(math.log(middle_s), spread)
            if low <= length_s <= high:
                lengths.append(length_s)
        return lengths

    least, most = 3.0, 20.0
    for _ in range(8):
        middle = (least + most) / 2
        least, most = (middle, most) if statistics.fmean(drawn(middle)) < mean else (least, middle)
    return [in_frames(length_s) for length_s in drawn(middle)]


def in_frames(length_s: float) -> int:
    return round(length_s * FRAMES_PER_S)


def ours(frames: list[int], cap: int) -> Batches:
    fit = [i for i, n in enumerate(frames) if n <= cap]
    ids = [f"{i:06d}" for i in fit]
    batches = plan([frames[i] for i in fit], ids, cap, MAX_CLIPS, 1, SEED, 93.75).epoch(0)
    return [[fit[i] for i in batch] for batch in batches]


class Lengths:
    """What upstream's sampler asks its data set."""

    def __init__(self, frames: list[int]):
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def get_frame_len(self, i: int) -> float:
        return self.frames[i]


def upstreams(frames: list[int], cap: int) -> Batches:
    sampler = SequentialSampler(Lengths(frames))
    return list(DynamicBatchSampler(sampler, cap, MAX_CLIPS, random_seed=SEED))


def randoms(frames: list[int], cap: int) -> Batches:
    size = max(1, min(MAX_CLIPS, round(cap / statistics.fmean(frames))))
    order = list(range(len(frames)))
    random.Random(SEED).shuffle(order)
    return [order[i : i + size] for i in range(0, len(order), size)]


WAYS: dict[str, Callable[[list[int], int], Batches]] = {
    "ours": ours,
    "f5-tts": upstreams,
    "random": randoms,
}


def computed(batch: list[int], frames: list[int]) -> int:
    """Frames of a batch with padding."""
    return len(batch) * max(frames[i] for i in batch)


def sample(batches: Batches, frames: list[int], budget: int) -> Batches:
    """Every n-th batch by its longest clip, of about `budget` computed frames in all."""
    ranked = sorted(batches, key=lambda batch: max(frames[i] for i in batch))
    step = max(1, round(sum(computed(b, frames) for b in batches) / budget))
    return ranked[step // 2 :: step]


def cpu_seconds(model: torch.nn.Module, batches: Batches, frames: list[int]) -> float:
    """CPU time of forward and backward over some batches."""
    spent = 0.0
    for batch in batches:
        clips = []
        for i in batch:
            n_tokens = max(1, round(frames[i] / FRAMES_PER_S * TOKENS_PER_S))
            tokens = torch.full((n_tokens,), i % N_TOKENS)
            clips.append(Clip(str(i), "", "", tokens, {"mel": torch.zeros(frames[i], N_MELS)}))
        draws = [f5.draw(clip, generator(SEED, 0, clip.id), True) for clip in clips]
        made = f5.collate(clips, draws, None)
        began = time.process_time()
        model.zero_grad()
        (f5.loss(model, made)["flow"] / made["totals"]["flow"]).backward()
        spent += time.process_time() - began
    return spent


def speeds(planned: dict[str, Batches], frames: list[int], budget: int) -> dict[str, float]:
    """Frames of clips per CPU second of each way; the least time of the rounds counts."""
    model = f5.build(f5.architecture(MODEL), N_TOKENS)
    parts = {way: sample(batches, frames, budget) for way, batches in planned.items()}
    least = dict.fromkeys(planned, math.inf)
    for n in range(ROUNDS):
        for way in list(parts)[:: 1 if n % 2 else -1]:
            least[way] = min(least[way], cpu_seconds(model, parts[way], frames))
    return {
        way: sum(frames[i] for batch in batches for i in batch) / least[way]
        for way, batches in parts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--caps", nargs="+", type=int, default=[1600, 3200, 38_400])
    parser.add_argument("--timed", nargs="*", type=int, default=[3200], help="caps to time")
    parser.add_argument("--budget", type=int, default=40_000, help="frames to compute for a time")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    corpora = {folder.name: cut([folder]) for folder in options.folders}
    if not corpora:
        corpora["demo"] = cut([DEMO])
        if SHARED.is_dir():
            corpora["real"] = cut([SHARED])
        corpora |= {"LJSpeech": ljspeech(), "Emilia": emilia()}
    for name, frames in corpora.items():
        lengths = [n / FRAMES_PER_S for n in sorted(frames)]
        middle = f"{lengths[0]:.1f} to {lengths[-1]:.1f} s, mean {statistics.fmean(lengths):.1f} s"
        print(f"{name}: {len(frames)} clips, {sum(lengths) / 3600:.1f} h, {middle}")
    print(
        f"\n{'corpus':9}{'cap':>7} {'batches':8}{'number':>7}{'padding':>9}{'largest':>9}", end=""
    )
    print(f"{'left out':>9}{'frames/s':>10}{'ratio':>7}")
    for name, frames in corpora.items():
        for cap in options.caps:
            planned = {way: make(frames, cap) for way, make in WAYS.items()}
            found = speeds(planned, frames, options.budget) if cap in options.timed else {}
            for way, batches in planned.items():
                seen = [i for batch in batches for i in batch]
                sizes = [computed(batch, frames) for batch in batches]
                padding = 1 - sum(frames[i] for i in seen) / sum(sizes)
                line = f"{name:9}{cap:7} {way:8}{len(batches):7}{100 * padding:8.2f}%"
                line += f"{max(sizes) / cap:8.2f}x{len(frames) - len(set(seen)):9}"
                if found:
                    line += f"{found[way]:10.0f}{found[way] / found['f5-tts']:7.2f}"
                print(line, flush=True)


if __name__ == "__main__":
    main()
