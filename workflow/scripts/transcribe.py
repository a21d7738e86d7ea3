"""Transcribe the segments of one shard that have no text yet, and check those that do."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from voicekiln import job
from voicekiln.asr import engines, listen, spoken_language
from voicekiln.asr.hypothesis import UPSTREAM, Limits
from voicekiln.corpus import transcribe as transcribing
from voicekiln.provenance import to_json
from voicekiln.store import tables
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
    limits = Limits(**{name: settings[name] for name in Limits.__dataclass_fields__})
    way = listen.ListenSettings(
        tuple(settings["temperatures"]), settings["second"], settings["min_agreement"], limits
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
    # what is at its default is no part of the keys, so that older transcripts stay in use
    if settings["precision"] != "auto":
        basis["precision"] = settings["precision"]
    if limits != UPSTREAM:
        basis["limits"] = asdict(limits)
    audio, store = Store(STORE, "normalize"), Store(STORE, "transcribe", basis)
    plan = transcribing.plan(wanted, settings["language"], audio, store)
    missing = [block for block in plan.blocks if store.get(block.key) is None]
    log.info("%d items, %d computed", len(plan.blocks), len(missing))
    rates = dict(zip(wanted["item"], wanted["rate_hz"].astype(int), strict=True))
    chosen = spoken_language.sample(plan.blocks, rates, settings["check_language"])
    likely = spoken_language.detect(chosen, audio, store, None)
    if missing or likely is None:
        likely = hear(smk, missing, chosen, audio, store, models, way)
    paths = dict(zip(wanted["item"], wanted["path"], strict=True))
    warn_of_languages(plan.blocks, chosen, likely, paths, models[0])
    fill(table, wanted, plan.records(store, limits))
    return store


def warn_of_languages(blocks, chosen, likely, paths, model):
    """Warn of languages that the model does not know, and that are probably not the spoken ones."""
    multilingual = not chosen or any(likely)
    languages = {block.language for block in blocks}
    for warning in spoken_language.unknown(languages, multilingual, engines.title(model)):
        log.warning("%s", warning)
    for warning in spoken_language.concerns(chosen, likely, paths):
        log.warning("%s", warning)


def hear(smk, missing, chosen, audio, store, models, way):
    """Make the blocks that are missing; the languages that the stretches `chosen` may be in."""
    import torch  # takes seconds; a job that has nothing to hear does without
    from voicekiln import gpu

    torch.set_num_threads(smk.threads)
    settings = smk.params.settings["transcribe"]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    total = sum(len(block.spans) for block in missing)
    log.info("using device %s, precision %s", device, settings["precision"])
    for model in models:
        log.info("loading Whisper model %s", engines.title(model))
    job.say(f"transcribing {total} segments with {engines.title(models[0])} on {device}")
    how = (settings["batch"], device, settings["word_times"], settings["precision"])
    first, *others = [engines.load(model, *how) for model in models]
    listener = listen.Listener(first, others[0] if others else None, way)
    done = job.Progress(total, "segments transcribed")
    transcribing.transcribe(missing, audio, store, listener, done)
    likely = spoken_language.detect(chosen, audio, store, first)
    if device == "cuda":
        gpu.log_peak()
    return likely


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
