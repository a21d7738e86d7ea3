"""Transcribe the segments of one shard that have no text yet."""

import logging
from pathlib import Path

import torch
from voicekiln import job, tables
from voicekiln.asr import whisper
from voicekiln.corpus.transcribe import block_key, blocks, transcribe
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file
from voicekiln.store.items import Store

log = logging.getLogger("transcribe")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    settings = smk.params.settings["transcribe"]
    table = tables.read(Path(smk.input.table))
    silent = table[table["text"].isna() & (table["status"] == "keep")]
    made = []
    if len(silent) and settings["model"] is not None:
        made = [recognise(smk, settings, table, silent)]
    elif len(silent):
        table.loc[silent.index, ["status", "step", "reason"]] = [
            "drop",
            "transcribe",
            "no known text",
        ]
        log.warning("%d segments have no known text and no model is set", len(silent))
    table["words"] = None
    tables.write(table, Path(smk.output.table), tables.TRANSCRIBED, *made)


def recognise(smk, settings, table, silent):
    """Fill in text and scores of the segments `silent`, by way of the store that it returns."""
    model = Path(smk.input.model)
    digest = sha256_file(model)
    if settings["sha256"] not in (None, digest):
        raise UserError(f"{model}: SHA-256 is {digest}, not {settings['sha256']} as configured")
    language = settings["language"] or smk.params.settings["language"]
    language = None if language == "auto" else language
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_num_threads(smk.threads)

    basis = {
        "engine": settings["engine"],
        "version": whisper.VERSION,
        "model": digest,
        "language": language,
        "batch": settings["batch"],
    }
    store = Store(STORE, "transcribe", basis)
    parts = []  # key of the block, item of the audio, rows of the table
    for item, rows in silent.groupby("item", sort=False):
        rows = rows.drop_duplicates(["start", "end"])
        spans = list(zip(rows["start"].astype(int), rows["end"].astype(int), strict=True))
        for part in blocks(spans):
            parts.append((block_key(store, item, part), item, part))
    missing = {key: (key, item, spans) for key, item, spans in parts if store.get(key) is None}
    total = sum(len(spans) for _, _, spans in missing.values())
    log.info("%d items, %d computed", len(parts), len(missing))
    if missing:
        job.say(f"transcribing {total} segments with {model.name} on {device}")
        recogniser = whisper.WhisperRecogniser(model, language, settings["batch"], device)
        done = job.Progress(total, "segments transcribed")
        transcribe(
            missing.values(), Store(STORE, "normalize"), store, recogniser, whisper.RATE_HZ, done
        )
    heard = {}
    for key, item, spans in parts:
        for span, entry in zip(spans, store.require(key)["segments"], strict=True):
            heard[item, *span] = entry
    for row in silent.itertuples():
        entry = heard[row.item, int(row.start), int(row.end)]
        table.loc[row.Index, "text"] = entry["text"]
        table.loc[row.Index, "raw_text"] = entry["text"]
        table.loc[row.Index, "text_source"] = "whisper"
        for score in ("avg_logprob", "no_speech_prob", "compression_ratio"):
            table.loc[row.Index, score] = entry[score]
    return store


if "snakemake" in globals():
    main(snakemake)
