"""Time and peak memory of every step on one very long recording, up to the merged table.

    .venv/bin/python benchmarks/long_recording.py [--hours 12] [--model whisper.pt]

The demo's speech, again and again under a slowly changing gain, as one FLAC file. Prints for each
job what Snakemake's own benchmark says: seconds and the largest resident memory. Without a model
made-up subtitles are given.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import yaml
from scale import ROOT, sentence, speech
from voicekiln.corpus.decisions import STEPS

RATE_HZ = 24_000


def write(path: Path, hours: float) -> None:
    """About `hours` of speech, no two repetitions alike."""
    source = speech()
    draw = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, "PCM_16") as file:
        written = 0
        while written < hours * 3600 * RATE_HZ:
            gain = draw.uniform(0.3, 0.9)
            noise = draw.normal(0, 1e-4, len(source))
            file.write((source * gain + noise).clip(-1, 1))
            written += len(source)


def write_subtitles(path: Path, hours: float) -> None:
    """Made-up texts of five seconds, a second apart."""
    draw = np.random.default_rng(1)
    with path.open("w") as file:
        for i in range(int(hours * 600)):
            times = [
                f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d},000" for s in (6 * i, 6 * i + 5)
            ]
            file.write(f"{i + 1}\n{times[0]} --> {times[1]}\n{sentence(draw)}\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=12.0)
    parser.add_argument("--model", help="a Whisper checkpoint; else texts with times are given")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "in").mkdir()
        write(folder / "in/long.flac", args.hours)
        model = args.model and str(Path(args.model).resolve())
        corpus = {"audio": "in", "language": "en", "shards": 1, "transcribe": {"model": model}}
        corpus["max_loss"] = dict.fromkeys(STEPS, 1)
        if model is None:
            write_subtitles(folder / "in/long.srt", args.hours)
            corpus["transcripts"] = "sidecar"
        (folder / "my.yaml").write_text(yaml.safe_dump({"corpora": {"voice": corpus}}))
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(folder), "--configfile", str(folder / "my.yaml")]
        command += ["--cores", "2", "--quiet", "all", "--"]
        target = "results/corpora/voice/tables/correct/DIGEST.json"
        subprocess.run([*command, target], check=True)
        print(f"{'step':12}{'s':>8}{'MB':>8}")
        for path in sorted(folder.rglob("results/benchmarks/*/*/*.tsv")):
            row = pd.read_csv(path, sep="\t").iloc[0]
            print(f"{path.parts[-3]:12}{row['s']:8.0f}{row['max_rss']:8.0f}")


if __name__ == "__main__":
    main()
