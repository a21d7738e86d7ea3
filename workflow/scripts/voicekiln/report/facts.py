"""Contents of a run's report, gathered from the files of the run and its corpora.

A missing file is None or an empty list here; the page has a sentence in its place.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from voicekiln import notices
from voicekiln.audio.span import load_span
from voicekiln.corpus import decisions
from voicekiln.corpus.audio_report import audio_report
from voicekiln.families import facts as families
from voicekiln.provenance import sha256_file
from voicekiln.report.clips import Clips
from voicekiln.store import tables
from voicekiln.store.files import read_json, read_jsonl
from voicekiln.store.items import Store
from voicekiln.text.clean import comparable

STEPS = decisions.OF_RECORDINGS + decisions.STEPS
PACKAGES = (
    "snakemake", "torch", "torchaudio", "accelerate", "openai-whisper", "numpy", "scipy",
    "soundfile", "soxr", "webrtcvad-wheels", "av", "librosa", "pandas", "pyarrow", "safetensors",
    "faster-whisper", "ctranslate2", "silero-vad", "onnxruntime", "resemblyzer",
    "speechmos", "transformers", "tokenizers", "num2words", "noisereduce", "uroman", "epitran",
)  # fmt: skip
SHOWN = 6  # clips of each kind
AUDIO_BYTES = 4_200_000  # base64 of all clips; the whole page stays below 5 MB


def gather(
    run: Path, corpora: Sequence[Path], store: Path, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Gather the contents of a run's report.

    Args:
        run: `results/runs/<run>`.
        corpora: `results/corpora/<corpus>` of each corpus of the run.
        store: `results/store`.
        settings: the resolved configuration of the run and its corpora, shown on the page.
    """
    clips = Clips(AUDIO_BYTES)
    choice = read_json(run / "choice.json")
    manifest = read_json(run / "export/MANIFEST.json")
    segments = read_segments(corpora)
    # audio is embedded in this order until the budget is spent: voices first
    voices = gather_voices(run, choice, manifest, clips)
    return {
        "name": run.name,
        "folder": run.as_posix(),
        "settings": settings,
        "warnings": notices.of_run(run.name, run.parents[1]),
        "corpora": [corpus_facts(folder) for folder in corpora],
        "segments": segments,
        "kept": examples(segments, "keep", "speaker", store, clips),
        "dropped": examples(segments, "drop", "reason", store, clips),
        "coverage": read_json(run / "tokenizer/coverage.json"),
        "reset": read_json(run / "base/reset.json"),
        "training": training_facts(run / "training"),
        "choice": choice,
        "voices": voices,
        "audio": audio_of(run, corpora, segments),
        "manifest": manifest,
        "versions": versions(settings["run"]["family"]),
    }


def corpus_facts(folder: Path) -> dict[str, Any]:
    """Ledger of a corpus, the lines of its funnel in the order of the steps, leaks and hashes."""
    ledger = read_json(folder / "ledger.json")
    digest = folder / "DIGEST.json"
    return {
        "name": folder.name,
        "folder": folder.as_posix(),
        "ledger": ledger,
        "funnel": funnel(ledger) if ledger and ledger["rate_hz"] else [],
        "warnings": notices.of_corpus(folder.name, folder.parents[1]),
        "leaks": read_json(folder / "leaks.json"),
        "files": (read_json(digest) or {"files": []})["files"],
        "sha256": sha256_file(digest) if digest.exists() else None,
    }


def funnel(ledger: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lines of the ledger, from the recorded audio to the kept segments.

    Each has `key` (its place in the ledger), `label`, `step`, `samples`, `count` with `unit`,
    `kind` (in, lost, kept), and `before`, the samples that remain after it is subtracted.
    """

    def line(key, label, samples, kind, step="", count=None, unit="segments"):
        return {
            "key": key, "label": label, "samples": samples, "kind": kind, "step": step,
            "count": count, "unit": unit,
        }  # fmt: skip

    def order(lost):
        return STEPS.index(lost["step"]) if lost["step"] in STEPS else len(STEPS)

    losses = [
        line(
            "lost", row["reason"], row["samples"], "lost", row["step"],
            row.get("segments", row.get("recordings")),
            "segments" if "segments" in row else "recordings",
        )
        for row in sorted(ledger["lost"], key=order)
    ]  # fmt: skip
    copies = [row for row in losses if row["step"] == "inventory"]
    kept = ledger["kept"]
    rows = [
        line(
            "samples_in", "recorded", ledger["samples_in"], "in",
            count=ledger["recordings"] + sum(row["count"] for row in copies), unit="recordings",
        ),
        *copies,
        line("non_speech", "no speech (pauses, noise)", ledger["non_speech"], "lost", "segment"),
        *[row for row in losses if row["step"] != "inventory"],
        line("kept.train", "kept for training", kept["train"]["samples"], "kept", "split",
             kept["train"]["segments"]),
        line("kept.val", "kept for validation", kept["val"]["samples"], "kept", "split",
             kept["val"]["segments"]),
    ]  # fmt: skip
    left = ledger["samples_in"]
    for row in rows:
        if row["kind"] != "in":
            left -= row["samples"]
        row["before"] = left if row["kind"] != "in" else 0
    return rows


def read_segments(corpora: Sequence[Path]) -> pd.DataFrame | None:
    """The segments of all corpora with length and speaking rate; None if there are none."""
    paths = [folder / "segments.parquet" for folder in corpora]
    parts = [tables.read(path) for path in paths if path.exists()]
    if not any(len(part) for part in parts):
        return None
    table = pd.concat(parts, ignore_index=True).drop_duplicates("segment_id", ignore_index=True)
    table["length_s"] = ((table["end"] - table["start"]) / table["rate_hz"]).astype(float)
    texts = [comparable(text) if isinstance(text, str) else "" for text in table["text"]]
    table["chars"] = [len(text.replace(" ", "")) for text in texts]
    table["chars_per_s"] = table["chars"] / table["length_s"]
    return table


def examples(
    segments: pd.DataFrame | None, status: str, by: str, store: Path, clips: Clips
) -> list[dict[str, Any]]:
    """Up to `SHOWN` segments with a status, taken in turn from the groups of the column `by`.

    Within a group, segments are ordered by a hash of the id: arbitrary but reproducible.
    """
    if segments is None:
        return []
    rows = segments[segments["status"] == status].copy()
    rows["draw"] = [hashlib.sha256(name.encode()).hexdigest() for name in rows["segment_id"]]
    rows = rows.sort_values("draw")
    rows["turn"] = rows.groupby(by, dropna=False).cumcount()
    rows = rows.sort_values(["turn", by, "draw"]).head(SHOWN)
    audio = Store(store, "normalize")
    shown = []
    for row in rows.to_dict("records"):
        row = {key: None if tables.missing(value) else value for key, value in row.items()}
        row["clip"] = None
        if row["item"] and audio.get(row["item"]) is not None:
            samples = load_span(audio, row["item"], row["start"], row["end"])
            row["clip"] = clips.embed(samples, row["rate_hz"])
        shown.append(row)
    return shown


def training_facts(folder: Path) -> dict[str, Any]:
    """Status of training, and its curves as lists of (update, value)."""
    rows = read_jsonl(folder / "metrics.jsonl")
    status, progress = read_json(folder / "status.json"), folder / "progress.json"
    train = [row for row in rows if row["kind"] == "train"]
    validation = [(row["update"], row["loss"]) for row in rows if row["kind"] == "validation"]
    return {
        "status": status,
        "progress": read_json(progress),
        "seen": written_at(progress),
        "best": best_of(status, validation),
        "warnings": status.get("warnings", []) if status else [],
        "settings": read_json(folder / "settings.json"),
        "auto": (read_json(folder / "fingerprint.json") or {}).get("auto", {}),
        "finished": read_json(folder / "finished.json"),
        "loss": [(row["update"], row["loss"]) for row in train],
        "learning_rate": [(row["update"], row["lr"]) for row in train],
        "validation": validation,
        "voices": [
            (row["update"], {k.removeprefix("loss_"): row[k] for k in row if k.startswith("loss_")})
            for row in rows
            if row["kind"] == "voices"
        ],
        "base": next((loss for update, loss in validation if update == 0), None),
        "seconds": sum(row.get("seconds", 0) for row in rows),
        "updates": rows[-1]["update"] if rows else 0,
    }


def written_at(path: Path) -> str | None:
    """Time of a file's last change, UTC to the minute; None if it is missing."""
    if not path.exists():
        return None
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")


def best_of(status: Mapping | None, validation: Sequence[tuple]) -> tuple[int, float] | None:
    """Update and validation loss of the best checkpoint so far, or None."""
    best = status.get("best") if status else None
    loss = dict(validation).get(best["update"]) if best else None
    return None if loss is None else (best["update"], loss)


def gather_voices(
    run: Path, choice: Mapping | None, manifest: Mapping | None, clips: Clips
) -> list[dict[str, Any]]:
    """Each speaker and language with `samples` or a `reference` clip, the main one first.

    Samples have text, file and clip (None if the file is missing). If the budget does not suffice,
    each speaker gets one sample first, then a reference clip, then further samples.
    """
    found: dict[tuple, dict[str, Any]] = {}

    def voice(speaker, language):
        new = {"speaker": speaker, "language": language, "reference": None, "samples": []}
        return found.setdefault((speaker, language), new)

    chosen = {row["segment_id"]: row for row in (choice or {}).get("references", [])}
    for row in (choice or {}).get("samples", []):
        of = chosen[row["reference"]]
        voice(of["speaker"], of["language"])["samples"].append(row | {"clip": None})
    for row in (manifest or {}).get("references", []):
        voice(row["speaker"], row["language"])["reference"] = row | {"clip": None}
    sampled = [one for one in found.values() if one["samples"]]
    rounds = max((len(one["samples"]) for one in sampled), default=0)
    order = [(one["samples"][0], run) for one in sampled]
    order += [(one["reference"], run / "export") for one in sampled if one["reference"]]
    order += [
        (one["samples"][i], run) for i in range(1, rounds) for one in sampled if one["samples"][i:]
    ]
    order += [
        (one["reference"], run / "export")
        for one in found.values()
        if one["reference"] and not one["samples"]
    ]
    for row, folder in order:
        row["clip"] = clips.embed_file(folder / row["file"])
    return list(found.values())


def audio_of(
    run: Path, corpora: Sequence[Path], segments: pd.DataFrame | None
) -> dict[str, Any] | None:
    """The exported audio report; before the export, one of the kept segments."""
    exported = read_json(run / "export/audio_report.json")
    if exported or segments is None:
        return exported
    paths = [folder / "recordings.parquet" for folder in corpora]
    recordings = [tables.read(path) for path in paths if path.exists()]
    if not recordings:
        return None
    kept = segments[segments["status"] == "keep"]
    return audio_report(kept, pd.concat(recordings, ignore_index=True))


def packages(family: str) -> list[str]:
    """The packages that a run of a family may depend on."""
    return sorted([*PACKAGES, *families.of(family).packages])


def versions(family: str) -> dict[str, str]:
    """Installed versions of the packages that the results depend on."""
    found = {}
    for name in packages(family):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
