"""Normalising and cutting recordings: CPU time and boundaries, ours beside two usual ways.

    python benchmarks/cutting.py [FOLDER ...] [--minutes 30] [--noise-db 10]

Each way takes the same recordings, one after the other in this process on one thread, from the file
to speech at one rate and one loudness, cut:

* ours: the library as the rules `normalize` and `segment` call it, with each engine; its measures
  (noise, bandwidth, clipping ...) and the segments' hashes are part of it. Segments are views.
* pydub: `normalize`, mono, 24 kHz, `detect_nonsilent` (pauses of 0.5 s, 16 dB below the recording's
  level) at its default step of 1 ms and at 10 ms, every piece exported as WAV. It is given decoded
  samples, since ffmpeg, by which it reads most formats, need not be there.
* silero: torchaudio's resampling, pyloudnorm (torchaudio's own loudness is a Python loop where its
  extension does not load), silero-vad's `get_speech_timestamps`, which asks the network frame by
  frame, in both its forms, every piece written as WAV.

With `--noise-db` white noise is added so far below each recording's level (RMS), and only our
engines are compared.

CPU seconds are user and system time with that of children (getrusage), without imports and loading
networks; the ways take turns, and the least of each counts. Where recordings are labelled
(`*.segments.tsv`, `*.regions.tsv`), F1
of the 10 ms frames and the distance of the boundaries from the labels, median and 90 %.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import resource
import sys
import tempfile
import warnings
from collections.abc import Iterable
from itertools import product
from pathlib import Path

import numpy as np
import pyloudnorm
import soundfile
from data_steps import DEMO, ROOT, decode, settings

sys.path[:0] = [str(ROOT / "tests")]

warnings.simplefilter("ignore")

import torch  # noqa: E402
from labelled_speech import boundary_errors_s, flags, frame_scores, labels  # noqa: E402
from pydub import AudioSegment, effects, silence  # noqa: E402
from silero_vad import get_speech_timestamps, load_silero_vad  # noqa: E402
from voicekiln import upstream  # noqa: E402, F401
from voicekiln.audio import segment  # noqa: E402
from voicekiln.audio.normalize import NormalizeSettings, normalize  # noqa: E402
from voicekiln.audio.probe import AudioError, probe  # noqa: E402
from voicekiln.audio.suffixes import AUDIO_SUFFIXES  # noqa: E402
from voicekiln.corpus.segments.segments import pcm_hashes  # noqa: E402

import torchaudio  # noqa: E402 isort: skip

SPEECH = ROOT.parent / "shared" / "data"
LOUDNESS_LUFS = -23.0
VAD_HZ = 16_000
PAUSE_MS, BELOW_DB = 500, 16


def cpu_s() -> float:
    """CPU time of this process and its children."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in spent)


def ours(engine: str):
    """The way of this pipeline."""
    config = settings()
    normalizing = NormalizeSettings(**config["normalize"])
    cutting = segment.SegmentSettings(**config["segment"] | {"engine": engine})

    def work(source: Path, folder: Path):
        flac = folder / "normalized.flac"
        clipped = normalize(source, flac, normalizing).clipped
        result = segment.segment(flac, cutting, clipped)
        pcm_hashes(flac, result.spans, result.samples)
        return np.array(result.speech) / result.rate_hz

    return work


def by_pydub(step_ms: int):
    """The way of scripts around pydub."""
    rate_hz = settings()["normalize"]["rate_hz"]

    def work(source: Path, folder: Path):
        samples, source_hz = decode(source)
        pcm = (samples.clip(-1, 1) * 32767).astype("<i2").tobytes()
        sound = AudioSegment(pcm, sample_width=2, frame_rate=source_hz, channels=1)
        sound = effects.normalize(sound.set_frame_rate(rate_hz))
        spans_ms = silence.detect_nonsilent(sound, PAUSE_MS, sound.dBFS - BELOW_DB, step_ms)
        for i, (start, end) in enumerate(spans_ms):
            sound[start:end].export(folder / f"{i}.wav", format="wav").close()
        return np.array(spans_ms) / 1000

    return work


def by_silero(onnx: bool):
    """The way of scripts around torchaudio and silero-vad."""
    network = load_silero_vad(onnx=onnx)
    rate_hz = settings()["normalize"]["rate_hz"]
    meter = pyloudnorm.Meter(rate_hz)

    def work(source: Path, folder: Path):
        samples, source_hz = decode(source)
        resample = torchaudio.functional.resample
        sound = resample(torch.from_numpy(samples), source_hz, rate_hz)
        loudness = meter.integrated_loudness(sound.numpy())
        sound = sound * 10 ** ((LOUDNESS_LUFS - loudness) / 20)
        found = get_speech_timestamps(resample(sound, rate_hz, VAD_HZ), network)
        spans_s = [(span["start"] / VAD_HZ, span["end"] / VAD_HZ) for span in found]
        for i, (start_s, end_s) in enumerate(spans_s):
            piece = sound[round(start_s * rate_hz) : round(end_s * rate_hz)]
            soundfile.write(folder / f"{i}.wav", piece.numpy(), rate_hz, "PCM_16")
        return np.array(spans_s)

    return work


def add_noise(paths: Iterable[Path], noise_db: float, folder: Path) -> None:
    """Write each recording with white noise `noise_db` below its level."""
    draws = np.random.default_rng(0)
    for path in paths:
        samples, rate_hz = decode(path)
        noise = draws.standard_normal(len(samples)) * samples.std() * 10 ** (-noise_db / 20)
        noisy = samples + noise
        soundfile.write(folder / f"{path.stem}.wav", noisy / np.abs(noisy).max(), rate_hz, "FLOAT")


def recordings(folders: list[Path]) -> dict[Path, float]:
    """Length of each recording, seconds."""
    found = {}
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            try:
                found[path] = probe(path).duration_s or 0.0
            except AudioError:
                pass
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--minutes", type=float, default=30, help="repeated up to so much")
    parser.add_argument("--noise-db", type=float, help="white noise so far below the recording")
    args = parser.parse_args()
    torch.set_num_threads(1)
    usual = [SPEECH / "long", SPEECH / "vad"] if SPEECH.is_dir() else [DEMO]
    folders = args.folders or usual
    noisy = tempfile.TemporaryDirectory()
    if args.noise_db is not None:
        add_noise(recordings(folders), args.noise_db, Path(noisy.name))
        folders = [Path(noisy.name)]
    lengths_s = recordings(folders)
    rounds = max(1, int(np.ceil(60 * args.minutes / sum(lengths_s.values()))))
    ways = {
        "ours, auto (default)": ours("auto"),
        "ours, webrtcvad": ours("webrtcvad"),
        "ours, silero": ours("silero"),
        "pydub, step 1 ms (default)": by_pydub(1),
        "pydub, step 10 ms": by_pydub(10),
        "torchaudio, silero ONNX": by_silero(True),
        "torchaudio, silero (default)": by_silero(False),
    }
    if args.noise_db is not None:
        ways = {way: work for way, work in ways.items() if way.startswith("ours")}
    least_s: dict[tuple[str, Path], float] = {}
    spans_s: dict[tuple[str, Path], np.ndarray] = {}
    for _, path, (way, work) in product(range(rounds), lengths_s, ways.items()):
        with tempfile.TemporaryDirectory() as folder:
            began = cpu_s()
            spans_s[way, path] = work(path, Path(folder))
            took = cpu_s() - began
        least_s[way, path] = min(took, least_s.get((way, path), took))
    hours = sum(lengths_s.values()) / 3600
    print(f"{len(lengths_s)} recordings, {60 * hours:.1f} min, {rounds} times\n")
    print(f"{'':<30}{'CPU s/h':>9}{'times ours':>12}")
    spent = {way: sum(least_s[way, path] for path in lengths_s) / hours for way in ways}
    for way, cost in spent.items():
        print(f"{way:<30}{cost:>9.1f}{cost / spent[next(iter(ways))]:>12.2f}")
    labelled = {path: takes for path in lengths_s if (takes := labels(path))}
    if labelled:
        print(
            f"\n{'frame F1':<30}"
            + "".join(f"{path.stem[:8]:>11}" for path in labelled)
            + f"{'all':>11}"
        )
    for way in ways if labelled else ():
        scores, errors_s = [], []
        for path, takes in labelled.items():
            found = spans_s[way, path]
            scores.append(frame_scores(flags(found, lengths_s[path]), takes)[0])
            errors_s.append(boundary_errors_s(found, takes))
        errors_s.append(np.concatenate(errors_s))
        print(f"{way:<30}" + "".join(f"{score:>11.3f}" for score in scores))
        for name, percentile in (("median", 50), ("90 %", 90)):
            values = (1000 * np.percentile(errors, percentile) for errors in errors_s)
            print(f"{'  boundaries, ms: ' + name:<30}" + "".join(f"{x:>11.0f}" for x in values))


if __name__ == "__main__":
    main()
