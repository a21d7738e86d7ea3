"""Many recordings: 2000 for real, 100 000 with prefabricated tables of the shard steps.

    .venv/bin/python benchmarks/scale.py [--real 2000] [--tables 100000]

For real: splices of the demo's speech with given texts become a data set; then nothing is changed,
and then one recording is added. Prefabricated: as many files lie there, the tables of the shard
steps are written without any audio, and the merging steps run on them; then a dry run, a run with
nothing to do, a dry run after one file was added, and the inventory of its shard. Prints seconds,
peak memory of the largest process, jobs and items.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))
from voicekiln.audio import decode  # noqa: E402
from voicekiln.config.resolve import resolve  # noqa: E402
from voicekiln.corpus.sources.recordings import list_recordings, listing_of  # noqa: E402
from voicekiln.corpus.sources.shards import assign, shard_of  # noqa: E402
from voicekiln.provenance import sha256_json  # noqa: E402
from voicekiln.store import tables  # noqa: E402

DEMO = ROOT / "resources" / "demo" / "recordings"
RATE_HZ = 24_000


class Run:
    """Snakemake in a folder, timed."""

    def __init__(self, folder: Path, corpus: dict):
        self.folder = folder
        self.corpus = corpus
        (folder / "my.yaml").write_text(yaml.safe_dump({"corpora": {"voice": corpus}}))

    def __call__(self, label: str, *args: str) -> str:
        """Run `snakemake ARGS`; one line about what it took."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
        command += ["--directory", str(self.folder), "--configfile", str(self.folder / "my.yaml")]
        for log in (self.folder / "logs").rglob("*.log"):
            log.unlink()
        began = time.perf_counter()
        with tempfile.TemporaryFile("w+") as out:
            process = subprocess.Popen([*command, "--cores", "2", *args], stdout=out, stderr=out)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            output = out.read()
        seconds = time.perf_counter() - began
        if process.returncode:
            sys.exit(output[-4000:])
        planned = re.search(r"^total +(\d+)", output, re.M) if "-n" in args else None
        jobs = Counter(re.findall(r"^local(?:rule|checkpoint) (\w+):", output, re.M))
        items = Counter()
        for log in (self.folder / "logs").rglob("*.log"):
            for step, n in re.findall(r"INFO (\w+): .*?(\d+)(?: items)? computed", log.read_text()):
                items[step] += int(n)
        done = f"{sum(jobs.values())} jobs, items computed: {dict(items)}" if jobs else "no job"
        done = f"{planned[1]} jobs to do" if planned else done
        print(f"{label:42}{seconds:8.1f} s{usage.ru_maxrss / 1024:8.0f} MB  {done}", flush=True)
        return output


def speech() -> np.ndarray:
    """All of the demo's speech, `[n]` float32."""
    parts = []
    for path in sorted(path for name in ("anna", "ben") for path in (DEMO / name).glob("*.*")):
        with decode.stream(path) as audio:
            parts += [block[:, 0] for block in audio.blocks]
    return np.concatenate(parts)


WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("n", "r", "st", "l", "m")]


def sentence(draw: np.random.Generator) -> str:
    """A text that no other recording has."""
    return " ".join(draw.choice(WORDS, 9))


def real(folder: Path, n: int) -> None:
    """`n` recordings of about three seconds, every step for real."""
    draw = np.random.default_rng(0)
    source = speech()

    def write(i):
        starts = draw.integers(0, len(source) - RATE_HZ, 3)
        samples = np.concatenate([source[start : start + RATE_HZ] for start in starts])
        target = folder / f"in/{i % 50:02d}/{i:05d}.wav"
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, samples, RATE_HZ)
        target.with_suffix(".txt").write_text(sentence(draw))

    for i in range(n):
        write(i)
    run = Run(folder, corpus(shards=8))
    run(f"{n} recordings, the data set", "dataset")
    run("  nothing changed", "dataset")
    write(n)
    run("  one recording added", "dataset")


def prefabricated(folder: Path, n: int) -> None:
    """`n` files with texts beside them, whose tables are made up to the merge."""
    for i in range(n):
        target = folder / f"in/{i % 500:03d}/{i:06d}.wav"
        if i < 500:
            target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"%d" % i)
        target.with_suffix(".txt").write_text("said")
    settings = corpus(shards=64)
    run = Run(folder, settings)
    here = os.getcwd()
    os.chdir(folder)
    whole = resolve({"corpora": {"voice": settings}})["corpora"]["voice"]
    for transcripts in ("ignore", "sidecar"):
        sources = whole | {"transcripts": transcripts}
        began = time.process_time()
        listing_of(sources, "voice", settings["shards"], needs_texts=False)
        used_s = time.process_time() - began
        print(f"{n} files: listed in {used_s:.1f} s of CPU (transcripts: {transcripts})")
    assigned = assign(list_recordings(whole, "voice"), settings["shards"])
    os.chdir(here)
    draw = np.random.default_rng(0)
    targets = []
    for shard, rows in enumerate(assigned):
        targets += _write_shard(folder, f"{shard:03d}", rows, draw)
    targets.append("results/corpora/voice/checked.json")
    (folder / targets[-1]).write_text("{}\n")
    run("  tables made up, marked as done", "--touch", "-F", *targets)
    run("  merge, deduplicate, validate, split", "dataset")
    run("  dry run", "-n", "dataset")
    run("  nothing changed", "dataset")
    (folder / "in/000/one more.wav").write_bytes(b"one more")
    run("  dry run, one file added", "-n", "dataset")
    shard = shard_of("000/one more.wav", settings["shards"])
    name = f"{shard:03d}/inventory"
    run("  inventory of its shard", f"results/corpora/voice/shards/{name}.parquet")
    times = folder / f"results/benchmarks/inventory/voice/{shard:03d}.tsv"
    names, values = (line.split("\t") for line in times.read_text().split("\n")[:2])
    used = dict(zip(names, values, strict=True))
    print(f"  this job: {used['cpu_time']} s of CPU, {used['max_rss']} MB")


def _write_shard(folder, shard, listed, draw):
    recordings, segments, acoustics = [], [], []
    for row in listed:
        digest = sha256_json(row["path"])
        n_samples = 3 * RATE_HZ
        common = {"recording_id": digest[:16], "root": row["root"], "path": row["path"]}
        common |= {"item": digest[:32], "rate_hz": RATE_HZ, "speaker": "voice", "language": "en"}
        recordings.append(
            common
            | {"content_sha256": digest, "bytes": 1, "duration_s": 3.0, "n_samples": n_samples}
            | {"status": "ok", "source_rate_hz": RATE_HZ, "channels": 1, "audio_sha256": digest}
            | {"container": "wav", "codec": "pcm_16"}
        )
        text = sentence(draw)
        segment = {"segment_id": f"{digest[:16]}_0_{n_samples}", "start": 0, "end": n_samples}
        segment |= {"text": text, "raw_text": text, "text_source": "reference", "status": "keep"}
        segment |= {"level_db": -25.0, "silence_share": 0.1, "clipped_share": 0.0}
        segment |= {"snr_db": float(draw.normal(40, 3)), "pitch_hz": float(draw.normal(180, 9))}
        segments.append(common | segment | {"audio_sha256": digest})
        acoustics.append(
            {
                "segment_id": segment["segment_id"],
                "fingerprint": draw.bytes(4 * 30),
                "speaker_features": draw.normal(size=40).tolist(),
            }
        )
    files = {"inventory": (recordings, tables.RECORDINGS)}
    files["normalize"] = files["inventory"]
    files["segment"] = files["align"] = files["measure"] = (segments, tables.SEGMENTS)
    files["transcribe"] = (segments, tables.TRANSCRIBED)
    files["acoustics"] = (acoustics, tables.ACOUSTICS)
    written = []
    for name, (rows, schema) in files.items():
        path = f"results/corpora/voice/shards/{shard}/{name}.parquet"
        tables.write(tables.frame(rows, schema), folder / path, schema)
        written.append(path)
    for name in ("unsaid.jsonl", "segment.json"):
        written.append(f"results/corpora/voice/shards/{shard}/{name}")
        (folder / written[-1]).write_text("{}" if name == "segment.json" else "")
    return written


def corpus(shards: int) -> dict:
    """The section of the configuration."""
    made_up = {"max_loss": {"align": 1, "deduplicate": 1, "validate": 1}}  # splices cut words
    return {"audio": "in", "language": "en", "transcripts": "sidecar", "shards": shards} | made_up


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--real", type=int, default=2000)
    parser.add_argument("--tables", type=int, default=100_000)
    args = parser.parse_args()
    for work, n in ((real, args.real), (prefabricated, args.tables)):
        if n:
            with tempfile.TemporaryDirectory() as folder:
                work(Path(folder), n)


if __name__ == "__main__":
    main()
