"""The repository's workflow in temporary directories, with pieces of the demo as recordings."""

import copy
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from functools import cache
from pathlib import Path

import pandas as pd
import soundfile
import yaml
from conftest import ROOT

DEMO = ROOT / "resources" / "demo"


class Workflow:
    """The Snakefile of the repository, or of a copy at `root`, run in `self.dir`."""

    def __init__(self, folder: Path, root: Path = ROOT):
        self.dir, self.root = folder, root
        self.dir.mkdir(parents=True, exist_ok=True)
        self.config: dict | None = {"corpora": {}, "runs": {}}  # None: the shipped one
        self.said = Counter()  # sentences of each demo recording that `add` has used

    def add(self, source: str, n_sentences: int, name: str, text: bool = True) -> None:
        """Write the next sentences of a demo recording to `in/NAME`, none of them used before."""
        piece(source, n_sentences, self.dir / "in" / name, text, self.said[source])
        self.said[source] += n_sentences

    def command(self, *args: str) -> list[str]:
        """The command line of `snakemake ARGS` in this directory."""
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile")]
        command += ["--directory", str(self.dir)]
        if self.config is not None:
            config = copy.deepcopy(self.config)
            for corpus in config["corpora"].values():  # those of tests are small
                corpus.setdefault("min_total_s", 0)
                corpus["split"] = {"min_train": 1, "min_val": 1} | corpus.get("split", {})
            (self.dir / "my.yaml").write_text(yaml.safe_dump(config))
            command += ["--configfile", str(self.dir / "my.yaml")]
        return [*command, "--cores", "2", *args]

    def run(self, *args: str, ok: bool = True) -> str:
        """Output of `snakemake ARGS`; fails the test unless it ends as expected."""
        shutil.rmtree(self.dir / "logs", ignore_errors=True)
        done = subprocess.run(self.command(*args), capture_output=True, text=True, timeout=900)
        output = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, output
        self.jobs = Counter(re.findall(r"^local(?:rule|checkpoint) (\w+):", output, re.M))
        return output

    def kill(self, process: subprocess.Popen) -> None:
        """SIGKILL for a Snakemake and for all that works in this directory; its lock is removed."""
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.unlock()

    def unlock(self) -> None:
        """As `snakemake --unlock` after a kill."""
        shutil.rmtree(self.dir / ".snakemake" / "locks", ignore_errors=True)

    def processes(self) -> dict[int, str]:
        """Command lines of all that works in this directory."""
        found = {}
        for entry in os.scandir("/proc"):
            with suppress(OSError, ValueError):
                if os.readlink(f"{entry.path}/cwd") == str(self.dir):
                    command = Path(entry.path, "cmdline").read_text().replace("\0", " ")
                    found[int(entry.name)] = command
        return found

    @property
    def computed(self) -> dict[str, int]:
        """Items that the last run computed, by step; steps without any are left out."""
        counts = Counter()
        for log in (self.dir / "logs").rglob("*.log"):
            for step, n in re.findall(r"INFO (\w+): .*?(\d+)(?: \w+)? computed", log.read_text()):
                counts[step] += int(n)
        return {step: n for step, n in counts.items() if n}

    def path(self, name: str) -> Path:
        """A file under `results/`."""
        return self.dir / "results" / name

    def dataset(self, corpus: str) -> dict[str, bytes]:
        """The files of a corpus that have to be the same for the same input."""
        folder = self.path(f"corpora/{corpus}")
        names = ["ledger.json", "leaks.json", "recordings.parquet", "segments.parquet"]
        names += ["dataset/train.jsonl", "dataset/val.jsonl", "DIGEST.json"]
        return {name: (folder / name).read_bytes() for name in names}


@cache
def sentences() -> pd.DataFrame:
    """What is said where in the demo's recordings."""
    return pd.read_csv(DEMO / "sentences.tsv", sep="\t")


def piece(name: str, n_sentences: int, target: Path, text: bool = False, first: int = 0) -> None:
    """Write some sentences of a demo recording, with a sidecar text if asked for."""
    rows = sentences()
    rows = rows[rows["recording"] == name]
    said = rows[first : first + n_sentences]
    start_s = (rows["end_s"].iloc[first - 1] + said["start_s"].iloc[0]) / 2 if first else 0.0
    end_s = (said["end_s"].iloc[-1] + rows["start_s"].iloc[first + n_sentences]) / 2
    target.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(DEMO / "recordings" / name) as source:
        start, end = (round(s * source.samplerate) for s in (start_s, end_s))
        source.seek(start)
        soundfile.write(target, source.read(end - start, dtype="int16"), source.samplerate)
    if text:
        target.with_suffix(".txt").write_text(" ".join(said["text"]))
