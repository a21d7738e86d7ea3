"""Transcribe the segments of one shard that have no text yet, and check those that do."""

import json
import logging
from pathlib import Path

import pandas as pd
from voicekiln import job, tables
from voicekiln.asr import engines, listen
from voicekiln.corpus import transcribe as transcribing
from voicekiln.provenance import to_json
from voicekiln.store.items import Store

log = logging.getLogger("transcribe")
STORE = Path("results", "store")
SCORES = ("avg_logprob", "no_speech_prob", "compression_ratio", "language_prob", "agreement")


def main(smk):
    job.start(smk)
    settings = smk.params.settings["transcribe"]
    table = tables.read(Path(smk.input.table))
    table["words"] = None
    kept = table["status"] == "keep"
    several = kept & (table["text_source"] == "several").fillna(False)
    silent = kept & table["text"].isna()
    made = []
    if settings["model"] is None:
        drop(table, several, "several transcripts, and no transcribe.model to choose")
        drop(table, silent & ~several, "no known text")
    else:
        wanted = kept if settings["check_known"] else silent
        if wanted.any():
            made = [recognise(smk, settings, table, table[wanted])]
        choose(table, several, settings["min_agreement"])
    tables.write(table, Path(smk.output.table), tables.TRANSCRIBED, *made)


def drop(table, rows, reason):
    """Drop segments for want of a text."""
    table.loc[rows, ["status", "step", "reason"]] = ["drop", "transcribe", reason]
    if rows.any():
        log.info("%d segments dropped: %s", rows.sum(), reason)


def choose(table, several, min_agreement):
    """Of segments that came with more than one transcript, keep the one that is heard.

    Where none agrees with what is heard, that is the text.
    """
    if several.any():
        log.info("found %d segments with more than one transcript", several.sum())
    for row in table[several].itertuples():
        texts = json.loads(row.raw_text)
        where = f"{row.path}, {row.start / row.rate_hz:.2f} s"
        log.info("%s: %d transcripts, transcribed again", where, len(texts))
        best = max(texts, key=lambda text: listen.agree(text, row.heard))
        if listen.agree(best, row.heard) >= min_agreement:
            values = [best, best, "known", row.heard]
        else:
            values = [row.heard, row.heard, "whisper", None]
        table.loc[row.Index, ["text", "raw_text", "text_source", "heard"]] = values
        log.info("%s: updated transcript, %s", where, values[2])


def recognise(smk, settings, table, wanted):
    """Fill in what is heard in the segments `wanted`, by way of the store that it returns."""
    models = [Path(path) for path in (smk.input.model, smk.input.second_model) if path]
    digests = [engines.digest(*pair) for pair in zip(models, smk.params.sha256, strict=False)]
    way = listen.ListenSettings(
        tuple(settings["temperatures"]), settings["second"], settings["min_agreement"]
    )
    basis = {
        "version": [transcribing.VERSION, listen.VERSION],
        "models": [
            {"sha256": digest, "engine": engines.version(model)}
            for model, digest in zip(models, digests, strict=True)
        ],
        "batch": settings["batch"],
        "listen": [way.temperatures, way.second, way.min_agreement],
        "word_times": settings["word_times"],
    }
    audio, store = Store(STORE, "normalize"), Store(STORE, "transcribe", basis)
    plan = transcribing.plan(wanted, settings["language"], audio, store)
    missing = [block for block in plan.blocks if store.get(block.key) is None]
    log.info("%d items, %d computed", len(plan.blocks), len(missing))
    if missing:
        hear(smk, missing, audio, store, models, way)
    fill(table, wanted, plan.records(store))
    return store


def hear(smk, missing, audio, store, models, way):
    """Make the blocks that are missing."""
    import torch  # takes seconds; a job that has nothing to hear does without

    torch.set_num_threads(smk.threads)
    settings = smk.params.settings["transcribe"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    total = sum(len(block.spans) for block in missing)
    precision = "single" if device == "cpu" else "half"
    log.info("using device %s, %s precision", device, precision)
    for model in models:
        log.info("loading Whisper model %s", model)
    job.say(f"transcribing {total} segments with {models[0].name} on {device}")
    first, *others = [
        engines.load(model, settings["batch"], device, settings["word_times"]) for model in models
    ]
    listener = listen.Listener(first, others[0] if others else None, way)
    done = job.Progress(total, "segments transcribed")
    transcribing.transcribe(missing, audio, store, listener, done)


def fill(table, wanted, records):
    """Write what was heard in the segments `wanted` into the table."""
    rows = []
    for row in wanted.itertuples():
        record = records[row.Index]
        values = {name: record[name] for name in SCORES}
        values["words"] = None if record["words"] is None else to_json(record["words"])
        if tables.missing(row.text) and tables.missing(row.text_source):
            values |= {"text": record["text"], "raw_text": record["text"], "text_source": "whisper"}
        else:
            values["heard"] = record["text"]
        if record["language_prob"] is not None:
            values["language"] = record["language"]
        if record["again"]:
            where = f"{row.path}, {row.start / row.rate_hz:.2f} s"
            log.info("%s: transcribed again, agreement %.2f", where, record["agreement"])
        rows.append(values)
    filled = pd.DataFrame(rows, index=wanted.index)
    for name in filled:
        there = filled[name].dropna()
        table.loc[there.index, name] = there


if "snakemake" in globals():
    main(snakemake)
