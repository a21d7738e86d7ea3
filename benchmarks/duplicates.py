"""Near-duplicate texts and copies of recordings, at scale and against the truth.

    .venv/bin/python benchmarks/duplicates.py [--texts 10000 100000 1000000] [--clips 2000]

Texts: made-up sentences of about 60 letters, a fifth of them nearly repeated, a twentieth (at most
50 000) alike but for a number. Ours against signatures by datasketch, on 5000 of them. Clips:
distinct sentences spoken by espeak-ng, 600 of them altered by codec, gain, trimming, resampling or
noise; pairs found against pairs made.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [
    str(ROOT / "workflow" / "scripts"),
    str(ROOT / "tests" / "unit"),
    str(ROOT / "tests"),
]
from test_fingerprint import ALTERED, noisy  # noqa: E402
from voicekiln.audio.fingerprint import copies, fingerprint  # noqa: E402
from voicekiln.text.minhash import near_leaders  # noqa: E402

RATE_HZ = 24_000
THRESHOLD = 0.85
SYLLABLES = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("", "n", "r", "st", "l")]
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


def time_texts(sizes) -> None:
    print(f"{'texts':>10}{'s':>8}{'texts/s':>10}{'peak MB':>10}{'linked':>10}")
    for n in sizes:
        texts = sentences(n)
        began = time.perf_counter()
        linked = near_leaders(texts, THRESHOLD)
        seconds = time.perf_counter() - began
        row = f"{len(texts):10}{seconds:8.1f}{len(texts) / seconds:10.0f}{peak_mb():10.0f}"
        print(f"{row}{len(linked):10}", flush=True)
    try:
        from datasketch import MinHash
    except ImportError:
        print("datasketch is not installed: no comparison")
        return
    texts = sentences(5000)
    began = time.perf_counter()
    for text in texts:
        sketch = MinHash(num_perm=128)
        for i in range(len(text) - 3):
            sketch.update(text[i : i + 4].encode())
    seconds = time.perf_counter() - began
    print(f"datasketch: {len(texts) / seconds:.0f} signatures a second, before any lookup")


def spoken(n: int) -> list[np.ndarray]:
    """`n` distinct clips of two to four seconds, in several voices."""
    texts = sentences(3 * n)[:n]  # none of those that repeat others
    clips = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "say.wav")
        for i, text in enumerate(texts):
            voice = ["en", "de", "fr", "es", "it"][i % 5]
            command = ["espeak-ng", "-v", voice, "-p", str(20 + i % 60), "-s", str(140 + i % 50)]
            subprocess.run([*command, "-w", path, "--", text[:40]], check=True)
            samples, rate_hz = soundfile.read(path, dtype="float32")
            clips.append(soxr.resample(samples, rate_hz, RATE_HZ).astype(np.float32))
    return clips


def find_copies(n: int) -> None:
    if shutil.which("espeak-ng") is None:
        print("espeak-ng is not installed: no clips")
        return
    clips = spoken(n)
    prints = [fingerprint(clip, RATE_HZ) for clip in clips]
    made = {name: set() for name in WAYS}
    for i in range(min(600, n)):
        name = list(WAYS)[i % len(WAYS)]
        altered = np.asarray(WAYS[name](clips[i]), np.float32)
        made[name].add((i, len(prints)))
        prints.append(fingerprint(altered, RATE_HZ))
    began = time.perf_counter()
    i, j, _ = copies(prints, 0.3)
    seconds = time.perf_counter() - began
    found = set(zip(i.tolist(), j.tolist(), strict=True))
    truth = set().union(*made.values())
    print(f"{len(clips)} clips, {len(truth)} copies, looked up in {seconds:.1f} s")
    print(f"recall {len(found & truth) / len(truth):.3f}, others found: {len(found - truth)}")
    for name, pairs in made.items():
        print(f"  {name:12} {len(found & pairs)}/{len(pairs)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--clips", type=int, default=2000)
    args = parser.parse_args()
    time_texts(args.texts)
    find_copies(args.clips)


if __name__ == "__main__":
    main()
