"""How well Resemblyzer's embeddings tell voices apart: similarities by clip length and condition.

    python benchmarks/voices.py

Clips of 1 to 12 s, as the pipeline cuts them, of five speakers (Amharic, German, two English,
French). First pairs of clips, by the shorter one's length and by how many stretches of 1.6 s are
heard of each; then a clip and its speaker's mean, beside other speakers' clips, all as recorded,
or the clips after a telephone's bandwidth, in noise, or in a room.
"""

import itertools
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import soxr
from data_steps import ROOT, settings

sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "unit")]
from test_music import echoing  # noqa: E402
from voicekiln.audio import segment  # noqa: E402
from voicekiln.audio.normalize import NormalizeSettings, normalize  # noqa: E402
from voicekiln.audio.resemblyzer import Embedder  # noqa: E402

SPEECH = ROOT.parent / "shared" / "data" / "long"
SPEAKERS = {
    "am": "am_spk098_session.flac",
    "de": "de_kerstin_session.flac",
    "en": "en_lj_001-0019_0032.flac",
    "sonnets": "en_sonnet_*.mp3",
    "fr": "fr_fleursdumal_006.mp3",
}
RATE_HZ = 16_000
LENGTHS_S = (0, 1.6, 3, 5, 30)


def noisy(samples: np.ndarray, snr_db: float) -> np.ndarray:
    noise = np.random.default_rng(0).standard_normal(len(samples)).astype(np.float32)
    return samples + noise * samples.std() * 10 ** (-snr_db / 20)


WAYS = {
    "as recorded": lambda x: x,
    "telephone": lambda x: soxr.resample(soxr.resample(x, RATE_HZ, 8000), 8000, RATE_HZ),
    "noise, 20 dB": lambda x: noisy(x, 20),
    "noise, 10 dB": lambda x: noisy(x, 10),
    "room, 0.4 s": lambda x: echoing(x).astype(np.float32),
}


def clips() -> dict[str, list[np.ndarray]]:
    """Segments of each speaker, `[n]` float32 at 16 kHz."""
    config, found = settings(), {}
    with tempfile.TemporaryDirectory() as folder:
        flac = Path(folder, "a.flac")
        for speaker, pattern in SPEAKERS.items():
            found[speaker] = []
            for source in sorted(SPEECH.glob(pattern)):
                clipped = normalize(source, flac, NormalizeSettings(**config["normalize"])).clipped
                cut = segment.segment(flac, segment.SegmentSettings(**config["segment"]), clipped)
                samples, rate_hz = soundfile.read(flac, dtype="float32")
                found[speaker] += [
                    soxr.resample(samples[start:end], rate_hz, RATE_HZ) for start, end in cut.spans
                ]
    return found


def percentiles(values, at) -> str:
    return " ".join(f"{x:5.2f}" for x in np.percentile(values, at)) if len(values) else "-"


def main() -> None:
    cut = clips()
    spoken = [(speaker, clip) for speaker, some in cut.items() for clip in some]
    total_s = sum(len(clip) for _, clip in spoken) / RATE_HZ
    print("pairs: stretches, shorter clip, same voice (0, 1, 5, 50 %), other (50, 95, 99, 100 %)")
    for stretches in (1, 2, 3, None):
        embed = Embedder(stretches)
        began = time.process_time()
        vectors = np.array([embed(clip, RATE_HZ) for _, clip in spoken])
        cost = (time.process_time() - began) / total_s
        print(f"{stretches or 'all'} stretches: {cost:.4f} CPU s per second")
        pairs = list(itertools.combinations(range(len(spoken)), 2))
        shorter = np.array([min(len(spoken[i][1]), len(spoken[j][1])) for i, j in pairs]) / RATE_HZ
        alike = np.array([vectors[i] @ vectors[j] for i, j in pairs])
        same = np.array([spoken[i][0] == spoken[j][0] for i, j in pairs])
        for low, high in itertools.pairwise(LENGTHS_S):
            here = (shorter >= low) & (shorter < high)
            print(
                f"  {low:3g} to {high:3g} s  {percentiles(alike[here & same], [0, 1, 5, 50])}"
                f"   {percentiles(alike[here & ~same], [50, 95, 99, 100])}"
            )
    embed = Embedder()
    long = [(speaker, clip) for speaker, clip in spoken if len(clip) >= 1.6 * RATE_HZ]
    names = np.array([speaker for speaker, _ in long])
    plain = np.array([embed(clip, RATE_HZ) for _, clip in long])
    means = {name: plain[names == name].mean(axis=0) for name in SPEAKERS}
    print("clips and a speaker's mean: own (0, 5, 50 %), other speakers' (50, 95, 100 %)")
    for way, alter in WAYS.items():
        vectors = np.array([embed(alter(clip), RATE_HZ) for _, clip in long])
        own, other = [], []
        for name, mean in means.items():
            alike = vectors @ (mean / np.linalg.norm(mean))
            own += alike[names == name].tolist()
            other += alike[names != name].tolist()
        print(f"{way:14} {percentiles(own, [0, 5, 50])}   {percentiles(other, [50, 95, 100])}")


if __name__ == "__main__":
    main()
