"""Near-duplicate texts and copies of recordings, at scale and against the truth.

    .venv/bin/python benchmarks/duplicates.py [--texts N ...] [--clips N ...] [--segments N ...]

Texts: made-up sentences of about 60 letters, a fifth of them nearly repeated, a twentieth (at most
50 000) alike but for a number. Ours against signatures by datasketch, on 5000 of them. Clips: two
to seven seconds of made-up words by espeak-ng in 240 voices; beyond 10 000, fingerprints of the
same with the bands shifted, backwards, slower or faster, and cut anew. Among them copies of others
that were altered by codec, gain, trimming, resampling or noise; with `--speech DIR`, of the
recordings there. Segments: the step `deduplicate` as a whole. Each line is a process of its own;
seconds are of CPU time.
"""

import argparse
import itertools
import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soxr

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / "workflow" / "scripts"),
    str(ROOT / "tests" / "unit"),
    str(ROOT / "tests"),
]
from test_fingerprint import ALTERED, noisy, samples_of  # noqa: E402
from voicekiln.audio.fingerprint import fingerprint  # noqa: E402
from voicekiln.corpus.deduplicate import DeduplicateSettings, deduplicate  # noqa: E402
from voicekiln.corpus.fingerprints import of_segments  # noqa: E402
from voicekiln.search.fingerprints import Fingerprints, find_copies  # noqa: E402
from voicekiln.search.minhash import near_duplicates  # noqa: E402
from voicekiln.store import tables  # noqa: E402

RATE_HZ = 24_000
THRESHOLD = 0.85
SYLLABLES = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "st", "l")]
LANGUAGES = "en en-us de fr es it pt nl pl ru sv tr hi am sw id hu cs fi el".split()
VARIANTS = ["", *(f"+m{i}" for i in range(1, 8)), *(f"+f{i}" for i in range(1, 5))]
SUFFIXES = {".wav", ".flac", ".ogg", ".mp3", ".webm", ".m4a"}
WAYS = ALTERED | {
    "noise 10 dB": lambda x: noisy(x, 10),
    "down and up": lambda x: soxr.resample(soxr.resample(x, RATE_HZ, 16_000), 16_000, RATE_HZ),
}


def peak_mb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def sentences(n: int) -> list[str]:
    """About `n` distinct texts; those of the second half repeat others, or are much alike."""
    draw = np.random.default_rng(0)
    words = np.array([a + b for a in SYLLABLES for b in SYLLABLES[:40]])
    texts = [" ".join(some) for some in words[draw.integers(0, len(words), (n, 10))]]
    for i in range(n // 5):
        texts[n - 1 - i] = texts[int(draw.integers(0, n // 2))][:-1] + "xyz"[i % 3]
    alike = min(50_000, n // 20)
    begin = " ".join(words[:12])
    for i in range(alike):
        texts[n // 2 + i] = f"{begin} {i}"
    return list(dict.fromkeys(texts))


def time_texts(n: int) -> None:
    texts = sentences(n)
    began = time.process_time()
    linked = near_duplicates(texts, THRESHOLD)
    seconds = time.process_time() - began
    row = f"{len(texts):10}{seconds:8.1f}{len(texts) / seconds:10.0f}{peak_mb():10.0f}"
    print(f"{row}{len(linked):10}", flush=True)


def time_datasketch(n: int) -> None:
    try:
        from datasketch import MinHash
    except ImportError:
        print("datasketch is not installed: no comparison")
        return
    texts = sentences(n)
    began = time.process_time()
    for text in texts:
        sketch = MinHash(num_perm=128)
        for i in range(len(text) - 3):
            sketch.update(text[i : i + 4].encode())
    seconds = time.process_time() - began
    print(f"datasketch: {len(texts) / seconds:.0f} signatures a second, before any lookup")


def cut(samples: np.ndarray, draw: np.random.Generator) -> list[np.ndarray]:
    """Pieces of two to seven seconds."""
    ends = np.cumsum(draw.integers(2 * RATE_HZ, 7 * RATE_HZ, len(samples) // RATE_HZ))
    return np.split(samples, ends[ends < len(samples)])[:-1]


def spoken(n: int, seed: int) -> list[np.ndarray]:
    """`n` clips of distinct speech."""
    draw = np.random.default_rng(seed)
    words = np.array([a + b for a in SYLLABLES for b in SYLLABLES[:40]])
    clips = []
    while len(clips) < n:
        voice = draw.choice(LANGUAGES) + draw.choice(VARIANTS)
        command = ["espeak-ng", "-v", voice, "-p", f"{draw.integers(15, 85)}", "--stdout"]
        command += ["-s", f"{draw.integers(130, 210)}", "--", " ".join(draw.choice(words, 400))]
        wave = subprocess.run(command, check=True, capture_output=True).stdout[44:]
        samples = np.frombuffer(wave, "<i2").astype(np.float32) / 32768
        clips += cut(soxr.resample(samples, 22_050, RATE_HZ), draw)
    return clips[:n]


def varied(clips: list[np.ndarray], n: int) -> list[np.ndarray]:
    """`n` fingerprints: of these clips, then of voices that are made from them."""
    draw = np.random.default_rng(0)
    made = [fingerprint(clip, RATE_HZ) for clip in clips]
    said = np.concatenate(made)
    for speed, bands, backwards in itertools.product((1, 0.8, 1.25), range(17), (False, True)):
        if len(made) >= n:
            break
        voice = said << np.uint32(bands) | said >> np.uint32(32 - bands) if bands else said
        voice = ~voice[::-1] if backwards else voice
        voice = voice[(np.arange(int(len(voice) / speed)) * speed).astype(int)]
        if (speed, bands, backwards) != (1, 0, False):
            ends = np.cumsum(draw.integers(70, 290, len(voice) // 150))
            made += np.split(voice, ends[ends < len(voice)])[:-1]
    return made[:n]


def write_clips(folder: Path, n: int, speech: Path | None) -> None:
    """Fingerprints of `n` clips, of some more, and of these altered in each of `WAYS`."""
    made = varied(spoken(min(n, 10_000), seed=0), n)
    if speech:
        draw = np.random.default_rng(0)
        files = sorted(path for path in speech.rglob("*") if path.suffix in SUFFIXES)
        clips = [clip for path in files for clip in cut(samples_of(path), draw)]
    else:
        clips = spoken(200, seed=1)
    for alter in (np.asarray, *WAYS.values()):
        made += [fingerprint(np.asarray(alter(clip), np.float32), RATE_HZ) for clip in clips]
    np.savez(folder / "prints.npz", bits=np.concatenate(made), ends=np.cumsum([*map(len, made)]))


def time_copies(folder: Path, n: int) -> None:
    with np.load(folder / "prints.npz") as file:
        held = Fingerprints.of(np.split(file["bits"], file["ends"][:-1]))
    began = time.process_time()
    i, j, *_ = find_copies(held, 0.3)
    seconds = time.process_time() - began
    n_altered = (len(held) - n) // (1 + len(WAYS))
    planted = (i >= n) & (i < n + n_altered) & ((j - i) % n_altered == 0)
    way = (j - i)[planted] // n_altered
    recall = len(way) / (n_altered * len(WAYS))
    missed = {name: n_altered - int((way == k + 1).sum()) for k, name in enumerate(WAYS)}
    row = f"{n:10}{seconds:8.1f}{peak_mb():10.0f}{recall:9.4f}{np.count_nonzero(j < n):8}"
    print(f"{row}  missed of {n_altered}: { {k: v for k, v in missed.items() if v} }", flush=True)


def write_corpus(folder: Path, n: int) -> None:
    """The tables of `n` segments of ten speakers; the texts of `sentences`, prints of `varied`."""
    draw = np.random.default_rng(0)
    texts = sentences(n)
    texts += texts[: n - len(texts)]
    names = [f"{i:016x}" for i in draw.permutation(n)]
    columns = {
        "segment_id": [f"{name}_0_96000" for name in names],
        **dict.fromkeys(("recording_id", "path", "item", "audio_sha256"), names),
        **dict.fromkeys(("text", "raw_text"), texts),
        "speaker": [f"s{k}" for k in draw.integers(0, 10, n)],
        "confidence": draw.random(n),
        "snr_db": draw.normal(40, 3, n),
    }
    same = {"start": 0, "end": 96_000, "rate_hz": RATE_HZ, "status": "keep", "language": "en"}
    columns |= {name: [value] * n for name, value in (same | {"text_source": "hypothesis"}).items()}
    arrays = {
        name: pa.array(columns[name], kind) if name in columns else pa.nulls(n, kind)
        for name, kind in tables.SEGMENTS.items()
    }
    pq.write_table(pa.table(arrays), folder / "segments.parquet")
    fingerprints = varied(spoken(min(n, 10_000), seed=0), n)
    acoustics = {
        "segment_id": arrays["segment_id"],
        "fingerprint": [one.tobytes() for one in fingerprints],
    }
    pq.write_table(pa.table(acoustics), folder / "acoustics.parquet")
    tables.write_digest(folder / "DIGEST.json", [folder / "segments.parquet"])


def time_deduplicate(folder: Path) -> None:
    began = time.process_time()
    digest = folder / "DIGEST.json"
    segments = tables.read_checked(digest, "segments.parquet")
    columns = ["segment_id", "fingerprint"]
    fingerprints = of_segments(segments, tables.read_columns(digest, "acoustics.parquet", columns))
    settings = DeduplicateSettings(0.3, 1, 0.85, True)
    _, pairs = deduplicate(segments, fingerprints, settings, segments["start"] > 0)
    seconds = time.process_time() - began
    print(f"{len(segments):10}{seconds:8.1f}{peak_mb():10.0f}{len(pairs):10}", flush=True)


def alone(work, *args) -> None:
    """Do it in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=args)
    process.start()
    process.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--clips", type=int, nargs="*", default=[2000, 10_000, 100_000, 1_000_000])
    parser.add_argument("--segments", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--speech", type=Path, help="folder of recordings to be altered")
    args = parser.parse_args()
    if args.texts:
        print(f"{'texts':>10}{'s':>8}{'texts/s':>10}{'peak MB':>10}{'linked':>10}")
        for n in args.texts:
            alone(time_texts, n)
        alone(time_datasketch, 5000)
    if shutil.which("espeak-ng") is None:
        sys.exit("espeak-ng is not installed: no clips")
    if args.clips:
        print(f"{'clips':>10}{'s':>8}{'peak MB':>10}{'recall':>9}{'others':>8}")
    for n in args.clips:
        with tempfile.TemporaryDirectory() as folder:
            alone(write_clips, Path(folder), n, args.speech)
            alone(time_copies, Path(folder), n)
    if args.segments:
        print(f"{'segments':>10}{'s':>8}{'peak MB':>10}{'pairs':>10}")
    for n in args.segments:
        with tempfile.TemporaryDirectory() as folder:
            alone(write_corpus, Path(folder), n)
            alone(time_deduplicate, Path(folder))


if __name__ == "__main__":
    main()
