"""CPU seconds per hour of audio of the data steps, beside the bare library calls on the same audio.

    python benchmarks/data_steps.py [FOLDER ...]

Ours: the library as the rules call it, single-threaded, one process. Bare: what each step cannot do
without, one call after the other on the whole file in memory: decoding, soxr, BS.1770 loudness by
pyloudnorm and a peak, FLAC encoding; decoding, soxr to 16 kHz and webrtcvad. Both take turns,
several times; the least of each counts.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyloudnorm
import soundfile
import soxr
import webrtcvad

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from voicekiln.audio import normalize, segment  # noqa: E402
from voicekiln.audio.probe import AudioError, probe  # noqa: E402
from voicekiln.audio.suffixes import AUDIO_SUFFIXES  # noqa: E402
from voicekiln.config.resolve import resolve  # noqa: E402
from voicekiln.provenance import sha256_file  # noqa: E402

ROUNDS = 3
DEMO = ROOT / "resources" / "demo" / "recordings"
REAL = ROOT.parent / "shared" / "data" / "long"


def settings() -> dict:
    """The defaults of the schema."""
    corpus = {"audio": "x", "language": "en", "transcripts": "sidecar"}
    return resolve({"corpora": {"c": corpus}})["corpora"]["c"]


def cpu_seconds(work: Callable[..., object], *args: object) -> float:
    """CPU time of `work(*args)`."""
    began = time.process_time()
    work(*args)
    return time.process_time() - began


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Samples `[n]` float32 mono and rate, by soundfile or PyAV, the whole file at once."""
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
        return samples.mean(axis=1), rate_hz
    except soundfile.LibsndfileError:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            resampler = av.AudioResampler(format="flt", layout="mono", rate=stream.rate)
            frames = [f for frame in container.decode(stream) for f in resampler.resample(frame)]
            parts = [frame.to_ndarray()[0] for frame in frames]
            return np.concatenate(parts), stream.rate


def inventory(path: Path) -> None:
    """What the inventory does with a file."""
    sha256_file(path)
    probe(path)


def bare_normalize(source: Path, target: Path, rate_hz: int) -> None:
    """Decode, resample, measure, scale, encode."""
    samples, source_hz = decode(source)
    samples = soxr.resample(samples - samples.mean(), source_hz, rate_hz, quality="HQ")
    loudness = pyloudnorm.Meter(rate_hz).integrated_loudness(samples)
    samples = samples * 10 ** ((-23 - loudness) / 20)
    samples = samples / max(1.0, np.abs(samples).max())
    soundfile.write(target, samples, rate_hz, format="FLAC", subtype="PCM_16")


def bare_vad(source: Path, frame_ms: int, aggressiveness: int) -> None:
    """Decode, resample to 16 kHz, ask webrtcvad for every frame."""
    samples, rate_hz = soundfile.read(source, dtype="float32")
    pcm = (soxr.resample(samples, rate_hz, 16000, quality="HQ") * 32767).astype(np.int16).tobytes()
    vad = webrtcvad.Vad(aggressiveness)
    size = 2 * 16 * frame_ms
    for at in range(0, len(pcm) - size + 1, size):
        vad.is_speech(pcm[at : at + size], 16000)


def main(folders: list[Path]) -> None:
    """Measure and print the table."""
    config = settings()
    normalizing = normalize.NormalizeSettings(**config["normalize"])
    cutting = segment.SegmentSettings(**config["segment"])
    files, seconds = [], 0.0
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in AUDIO_SUFFIXES:
                try:
                    seconds += probe(path).duration_s or 0.0
                    files.append(path)
                except AudioError:
                    pass
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as work:
        ours = [Path(work, f"{i}.flac") for i in range(len(files))]
        theirs = Path(work, "bare.flac")
        for _ in range(ROUNDS):
            totals: Counter[str] = Counter()
            for source, target in zip(files, ours, strict=True):
                spent = {
                    "inventory": cpu_seconds(inventory, source),
                    "normalize": cpu_seconds(normalize.normalize, source, target, normalizing),
                    "bare n": cpu_seconds(bare_normalize, source, theirs, normalizing.rate_hz),
                    "segment": cpu_seconds(segment.segment, target, cutting, []),
                    "bare s": cpu_seconds(
                        bare_vad, target, cutting.frame_ms, cutting.aggressiveness
                    ),
                }
                for name, value in spent.items():
                    totals[name] += value
            for name, value in totals.items():
                best[name] = min(value, best.get(name, value))
    hours = seconds / 3600
    print(f"{len(files)} recordings, {seconds / 60:.1f} min; CPU seconds per hour of audio\n")
    print(f"{'step':<12}{'ours':>8}{'bare':>8}{'ratio':>8}")
    rows = [
        ("inventory", best["inventory"], None),
        ("normalize", best["normalize"], best["bare n"]),
        ("segment", best["segment"], best["bare s"]),
    ]
    whole = sum(row[1] for row in rows)
    rows.append(("all", whole, best["bare n"] + best["bare s"]))
    for name, spent, bare in rows:
        line = f"{name:<12}{spent / hours:>8.1f}"
        if bare is not None:
            line += f"{bare / hours:>8.1f}{spent / bare:>8.2f}"
        print(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    chosen = parser.parse_args().folders
    main(chosen or [folder for folder in (DEMO, REAL) if folder.is_dir()])
