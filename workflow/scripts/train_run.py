"""Fine-tune the base: gather rows and settings, start the worker, pass on its outcome."""

import logging
import sys
from pathlib import Path

import pandas as pd
import torch
from voicekiln import families, job
from voicekiln.corpus.dataset import load
from voicekiln.families import base as bases
from voicekiln.features.store import check_packs
from voicekiln.store import tables
from voicekiln.store.files import read_json, read_jsonl, write_json, write_jsonl
from voicekiln.store.items import STORE
from voicekiln.training.log.records import EXIT_ERROR
from voicekiln.training.process.launch import finished_record, launch
from voicekiln.training.settings import divide_threads, job_threads

log = logging.getLogger("train")


def main(smk):
    job.start(smk)
    finished = Path(smk.output.finished)
    directory = finished.parent
    reset = Path(smk.input.reset)
    base = read_json(reset)
    settings = smk.params.settings
    family = families.get(settings["family"])
    rows = write_rows(smk, directory)
    processes = max(1, min(smk.resources.gpu, torch.cuda.device_count()))
    threads, workers = divided(settings["train"]["workers"], smk.threads, processes)
    content = {
        "family": settings["family"],
        "base": {
            "checkpoint": str(reset.parent / base["file"]["name"]),
            "added_tokens": len(base["vocabulary"]["added"]),
            "architecture": family.architecture(
                smk.params.architecture, bases.files(smk.params.base)
            ),
        },
        "base_files": smk.params.base,
        "tokenizer": str(Path(smk.input.coverage).parent),
        "train_rows": str(rows["train"]),
        "val_rows": str(rows["val"]),
        "directory": str(directory),
        "settings": settings["train"] | {"workers": workers},
        "threads": threads,
        "vocoder": smk.params.vocoder,
        "earlier": earlier(directory.parents[1], smk.params.earlier),
        "code": smk.params.code,
    }
    path = directory / "settings.json"
    write_json(path, content)
    outcome = launch(path, directory, processes, threads, job.say, job.abandoned)
    summary_line = outcome.summary_line(directory)
    job.say(summary_line)
    if outcome.exit_code == EXIT_ERROR:  # otherwise the worker's own last line suffices
        log.error("%s", summary_line)
    if outcome.exit_code:
        sys.exit(outcome.exit_code)
    write_json(finished, finished_record(directory))


def divided(workers, threads, processes):
    """Threads and loader processes of each training process."""
    each, loaders = divide_threads(workers, threads, processes, torch.cuda.is_available())
    wanted = job_threads(workers)
    if processes > 1 and loaders < wanted - 1:
        log.warning(
            "%d training processes with %d loader processes each need %d threads, and the job has "
            "%d: each has %d loader processes; use --set-threads train_run=%d",
            processes,
            wanted - 1,
            processes * wanted,
            threads,
            loaders,
            processes * wanted,
        )
    return each, loaders


def earlier(runs, names):
    """Existing rows of validation clips of the runs that the base comes from, by run."""
    found = {}
    for name in names:
        rows = runs / name / "training" / "val_rows.jsonl"
        packs = {row["pack"] for row in read_jsonl(rows)} or {str(rows)}
        if missing := [pack for pack in sorted(packs) if not Path(pack).exists()]:
            log.warning(
                "run %s: %s is missing, so what the voice forgets of this run is not measured; "
                "build that run again to measure it",
                name,
                missing[0],
            )
        else:
            found[name] = str(rows)
    return found


def write_rows(smk, directory):
    """Write training and validation clips, one per line; returns the files by split."""
    segments = load(smk.input.datasets, smk.params.settings["train_on"])
    index = pd.concat([tables.read(Path(path)) for path in smk.input.features])
    index = index.drop_duplicates("segment_id")
    check_packs(STORE, dict(zip(index["pack"], index["pack_bytes"], strict=True)))
    table = segments.merge(index, on="segment_id", how="inner", validate="one_to_one")
    if len(table) != len(segments):
        lost = set(segments["segment_id"]) - set(table["segment_id"])
        raise RuntimeError(f"no features for {len(lost)} segments, such as {min(lost)}")
    files = {}
    for side in ("train", "val"):
        rows = [
            {
                "id": row.segment_id,
                "text": row.text,
                "speaker": row.speaker,
                "language": row.language,
                "n_steps": int(row.n_steps),
                "duration_s": (row.end - row.start) / row.rate_hz,
                "feature": row.feature,
                "pack": row.pack,
                "audio_sha256": row.audio_sha256,
            }
            for row in table[table["split"] == side].itertuples()
        ]
        files[side] = directory / f"{side}_rows.jsonl"
        write_jsonl(files[side], rows)
    return files


if "snakemake" in globals():
    main(snakemake)
