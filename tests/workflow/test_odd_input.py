"""Whatever lies in a folder: each file gets a row, the good ones go on, nothing else happens."""

import json
import os
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from workflow_runner import DEMO, sentences

pytestmark = pytest.mark.slow
RATE_HZ = 16_000
# names that a shell, a format string, a glob or a terminal would take for something else
NAMES = [
    "with space.wav",
    "quo'te\".wav",
    "new\nline.wav",
    "{braces}{shard}.wav",
    "-rf.wav",
    "$(touch hacked).wav",
    "; touch hacked;.wav",
    "* ?[a].wav",
    "ሰላም — €.wav",
    "tab\there.flac",
    "no.dots.wav.mp3",
]


def speech():
    """Sentences of the demo with silence around them: samples, rate, text."""
    rows = sentences()
    rows = rows[rows["recording"] == sorted(rows["recording"].unique())[0]]
    samples, rate_hz = soundfile.read(DEMO / "recordings" / rows["recording"].iloc[0])
    for row in rows.itertuples():
        said = samples[round(row.start_s * rate_hz) : round(row.end_s * rate_hz)]
        yield np.pad(said, rate_hz // 4), rate_hz, row.text


def write_good(folder):
    """Every name once, in another depth, rate and number of channels each; its text beside it."""
    said = speech()
    subtypes = ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"]
    texts = {}
    for i, name in enumerate(NAMES):
        samples, rate_hz, text = next(said)
        channels = [1, 2, 6][i % 3]
        suffix = Path(name).suffix[1:]
        subtype = subtypes[i % 6] if suffix == "wav" else None
        tiled = np.repeat(samples.reshape(len(samples), -1)[:, :1], channels, axis=1)
        tiled = tiled[:, : 2 if suffix == "mp3" else None]
        with open(folder / name, "wb") as file:
            soundfile.write(file, tiled, rate_hz, subtype, format=suffix)
        (folder / name).with_suffix(".txt").write_text(text)
        texts[name] = text
    return texts


def write_odd(folder):
    """What is no usable recording, with a word of the reason that it should get."""
    rng = np.random.default_rng(0)
    second = 0.1 * rng.standard_normal(RATE_HZ)
    for name, samples, subtype in [
        ("nan.wav", np.where(np.arange(RATE_HZ) == 99, np.nan, second), "FLOAT"),
        ("inf.wav", np.where(np.arange(RATE_HZ) == 99, np.inf, second), "DOUBLE"),
        ("whole.wav", second, "PCM_16"),
    ]:
        soundfile.write(folder / name, samples, RATE_HZ, subtype)
    content = (folder / "whole.wav").read_bytes()
    (folder / "whole.wav").unlink()
    (folder / "cut.wav").write_bytes(content[: len(content) // 2])
    claim = content[:40] + struct.pack("<I", 0x70000000) + content[44:]
    (folder / "hours.wav").write_bytes(claim)
    (folder / "zero.wav").write_bytes(b"")
    (folder / "garbage.mp3").write_bytes(rng.bytes(5000))
    (folder / "text.ogg").write_text("not audio\n" * 100)
    (folder / "list.wav").write_text("#EXTM3U\nfile:///etc/passwd\nhttp://localhost:9/x.mp3\n")
    (folder / "concat.wav").write_text("ffconcat version 1.0\nfile '/etc/passwd'\n")
    (folder / "nowhere.wav").symlink_to(folder / "gone")
    (folder / "ring.wav").symlink_to("ring.wav")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.wav")
    with open(os.fsencode(folder) + b"/caf\xe9.wav", "wb") as file:
        file.write(content)
    return {
        "nan.wav": "NaN or infinite",
        "inf.wav": "NaN or infinite",
        "cut.wav": "truncated",
        "hours.wav": "states",
        "zero.wav": "0 bytes",
        "garbage.mp3": "not an audio file",
        "text.ogg": "not an audio file",
        "list.wav": "not an audio file",
        "concat.wav": "not an audio file",
        "nowhere.wav": "no such file",
        "ring.wav": "no such file",
        "pipe.wav": "no such file",
        "caf\\xe9.wav": "not UTF-8",
    }


def write_empty(folder):
    """Readable, and nothing to be learned from."""
    rng = np.random.default_rng(1)
    soundfile.write(folder / "silence.wav", np.zeros(2 * RATE_HZ), RATE_HZ, "PCM_16")
    soundfile.write(folder / "one.wav", [0.5], RATE_HZ, "PCM_16")
    soundfile.write(folder / "noise.wav", 0.01 * rng.standard_normal(RATE_HZ), RATE_HZ, "PCM_16")


def test_every_file_gets_a_row_and_the_good_ones_a_segment(workflow):
    folder = workflow.dir / "in"
    folder.mkdir(parents=True)
    texts, reasons = write_good(folder), write_odd(folder)
    write_empty(folder)
    workflow.config["corpora"]["odd"] = {
        "audio": "in",
        "language": "en",
        "transcripts": "sidecar",
        "shards": 3,
        "max_bad_recordings": 1.0,
        "max_loss": {step: 1.0 for step in ("segment", "transcribe", "align", "validate", "total")},
        "validate": {"max_deviation": 100.0},
    }
    before = sorted(os.listdir(workflow.dir))
    workflow.run("dataset")
    made = set(os.listdir(workflow.dir)) - set(before)
    assert made <= {"results", "logs", ".snakemake", "my.yaml"}, "nothing was run or written"

    recordings = pd.read_parquet(workflow.path("corpora/odd/recordings.parquet"))
    rows = recordings.set_index("path")
    for path, reason in reasons.items():
        assert rows.loc[path, "status"] == "bad" and reason in rows.loc[path, "reason"], path
    assert set(rows.index) == {*texts, *reasons, "silence.wav", "one.wav", "noise.wav"}

    segments = pd.read_parquet(workflow.path("corpora/odd/segments.parquet"))
    kept = segments[segments["status"] == "keep"]
    assert set(kept["path"]) == set(texts)
    assert set(rows[rows["status"] == "ok"].index) == {
        *texts,
        "silence.wav",
        "one.wav",
        "noise.wav",
    }
    lines = [
        json.loads(line)
        for side in ("train", "val")
        for line in workflow.path(f"corpora/odd/dataset/{side}.jsonl").read_text().splitlines()
    ]
    assert len(lines) == len(texts)
    assert "Nothing to be done" in workflow.run("dataset")


def test_a_kaldi_directory_is_a_corpus(workflow):
    """Several speakers in one recording, times and texts from Kaldi's files, no command run."""
    folder = workflow.dir / "kaldi"
    folder.mkdir(parents=True)
    said = list(speech())[:9]
    lines = {"wav.scp": [], "segments": [], "text": [], "utt2spk": []}
    for recording, mine in {"r1": range(6), "r2": range(6, 9)}.items():
        lines["wav.scp"].append(f"{recording} {recording}.wav")
        spoken = [said[i][0] for i in mine]
        soundfile.write(folder / f"{recording}.wav", np.concatenate(spoken), said[0][1])
        edges = np.cumsum([0, *map(len, spoken)]) / said[0][1]
        for k, i in enumerate(mine):
            lines["segments"].append(f"u{i} {recording} {edges[k]:.3f} {edges[k + 1]:.3f}")
            lines["text"].append(f"u{i} {said[i][2]}")
            lines["utt2spk"].append(f"u{i} {'anna' if i < 3 else 'bert'}")
    lines["wav.scp"].append(f"r3 touch {workflow.dir}/hacked; cat r1.wav |")
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content) + "\n")
    workflow.config["corpora"]["k"] = {
        "audio": "kaldi",
        "language": "en",
        "shards": 2,
        "max_bad_recordings": 0.5,
    }
    workflow.run("dataset")
    assert not (workflow.dir / "hacked").exists()
    segments = pd.read_parquet(workflow.path("corpora/k/segments.parquet")).sort_values(
        ["path", "start"]
    )
    assert segments["speaker"].tolist() == ["anna"] * 3 + ["bert"] * 6
    assert segments["raw_text"].tolist() == [text for *_, text in said]
    recordings = pd.read_parquet(workflow.path("corpora/k/recordings.parquet")).set_index("path")
    assert "commands are not run" in recordings.loc["r3", "reason"]
