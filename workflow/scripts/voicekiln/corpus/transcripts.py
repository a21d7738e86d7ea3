"""The texts of a shard's segments: its reference texts, or what a recogniser made of the audio."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from voicekiln import job
from voicekiln.asr import engines, spoken_language, transcriber
from voicekiln.asr.hypothesis import UPSTREAM, Limits
from voicekiln.corpus import decisions, transcribe
from voicekiln.provenance import to_json
from voicekiln.store import tables
from voicekiln.store.items import Store

log = logging.getLogger("transcribe")
SCORES = ("avg_logprob", "no_speech_prob", "compression_ratio", "language_prob", "agreement")
NO_TEXT = "no reference text"
SEVERAL = "several transcripts, and no transcribe.model to choose"


@dataclass(frozen=True)
class Models:
    """The recognisers of a corpus and how they are used.

    Attributes:
        files: of the model, and of the second one if there are two.
        sha256: that these files must have; None for any.
        settings: section `transcribe`.
        threads: of the CPU.
        gpus: that the job may use.
    """

    files: Sequence[Path]
    sha256: Sequence[str | None]
    settings: Mapping[str, Any]
    threads: int
    gpus: int

    def limits(self) -> Limits:
        return Limits(**{name: self.settings[name] for name in Limits.__dataclass_fields__})

    def way(self) -> transcriber.TranscriberSettings:
        section = self.settings
        temperatures = tuple(section["temperatures"])
        return transcriber.TranscriberSettings(
            temperatures, section["second"], section["min_agreement"], self.limits()
        )

    def basis(self) -> dict[str, Any]:
        """Settings that the transcripts depend on besides the audio."""
        digests = [engines.digest(*pair) for pair in zip(self.files, self.sha256, strict=False)]
        settings, way, limits = self.settings, self.way(), self.limits()
        basis = {
            "version": [transcribe.VERSION, transcriber.VERSION],
            "models": [
                {"sha256": digest, "engine": engines.version(model)}
                for model, digest in zip(self.files, digests, strict=True)
            ],
            "batch": settings["batch"],
            "listen": [way.temperatures, way.second, way.min_agreement],
            "word_times": settings["word_times"],
        }
        # defaults are no part of the keys, so that older transcripts stay in use
        if settings["precision"] != "auto":
            basis["precision"] = settings["precision"]
        if limits != UPSTREAM:
            basis["limits"] = asdict(limits)
        return basis


def complete(
    table: pd.DataFrame,
    models: Models | None,
    audio: Store,
    root: Path,
    decoded_later: bool = False,
) -> list[Store]:
    """Give each kept segment a text, or drop it, in place; the stores that were used.

    Args:
        table: `tables.TRANSCRIBED`.
        models: None to use reference texts alone.
        audio: the store of normalised audio.
        root: of the store of transcripts.
        decoded_later: keep segments without text, for an acoustic model to transcribe.
    """
    kept = table["status"] == "keep"
    several = kept & (table["text_source"] == "several").fillna(False)
    silent = kept & table["text"].isna()
    if models is None:
        _drop(table, several, SEVERAL)
        if not decoded_later:
            _drop(table, silent & ~several, NO_TEXT)
        return []
    made = []
    wanted = kept if models.settings["check_reference"] else silent
    if wanted.any():
        made = [recognise(table, table[wanted], models, audio, root)]
    choose(table, several, models.settings["min_agreement"])
    return made


def _drop(table, rows, reason):
    decisions.drop(table, rows, "transcribe", reason)
    if rows.any():
        log.info("%d segments dropped: %s", rows.sum(), reason)


def recognise(
    table: pd.DataFrame, wanted: pd.DataFrame, models: Models, audio: Store, root: Path
) -> Store:
    """Fill in the hypotheses of the segments `wanted`; the store that holds them."""
    store = Store(root, "transcribe", models.basis())
    plan = transcribe.plan(wanted, models.settings["language"], audio, store)
    missing = [block for block in plan.blocks if store.get(block.key) is None]
    log.info("%d items, %d computed", len(plan.blocks), len(missing))
    rates = dict(zip(wanted["item"], wanted["rate_hz"].astype(int), strict=True))
    chosen = spoken_language.sample(plan.blocks, rates, models.settings["check_language"])
    likely = spoken_language.detect(chosen, audio, store, None)
    if missing or likely is None:
        likely = _transcribe(missing, chosen, audio, store, models)
    paths = dict(zip(wanted["item"], wanted["path"], strict=True))
    _warn_of_languages(plan.blocks, chosen, likely, paths, models.files[0])
    fill(table, wanted, plan.records(store, models.limits()))
    return store


def _transcribe(missing, chosen, audio, store, models):
    """Make the missing blocks; the languages that the stretches `chosen` may be in."""
    import torch  # takes seconds, which a job without missing blocks saves

    from voicekiln import gpu

    torch.set_num_threads(models.threads)
    settings = models.settings
    device = gpu.device(models.gpus)
    total = sum(len(block.spans) for block in missing)
    log.info("using device %s, precision %s", device, settings["precision"])
    for model in models.files:
        log.info("loading Whisper model %s", engines.title(model))
    job.say(f"transcribing {total} segments with {engines.title(models.files[0])} on {device}")
    how = (settings["batch"], device, settings["word_times"], settings["precision"])
    first, *others = [engines.load(model, *how) for model in models.files]
    recognisers = transcriber.Transcriber(first, others[0] if others else None, models.way())
    done = job.Progress(total, "segments transcribed")
    transcribe.transcribe(missing, audio, store, recognisers, done)
    likely = spoken_language.detect(chosen, audio, store, first)
    if device == "cuda":
        gpu.log_peak()
    return likely


def _warn_of_languages(blocks, chosen, likely, paths, model):
    """Warn of languages that the model does not know, or that are probably not spoken."""
    multilingual = not chosen or any(likely)
    languages = {block.language for block in blocks}
    for warning in spoken_language.unsupported_warnings(
        languages, multilingual, engines.title(model)
    ):
        log.warning("%s", warning)
    for warning in spoken_language.mismatch_warnings(chosen, likely, paths):
        log.warning("%s", warning)


def fill(table: pd.DataFrame, wanted: pd.DataFrame, records: Mapping[int, dict]) -> None:
    """Write hypotheses and scores into `table`; a segment without a reference text takes its
    hypothesis as the text.

    Args:
        wanted: the rows of `table` that were transcribed.
        records: of each, by its index.
    """
    rows = []
    for row in wanted.itertuples():
        record = records[row.Index]
        values = {name: record[name] for name in SCORES}
        values["words"] = None if record["words"] is None else to_json(record["words"])
        if tables.missing(row.text) and tables.missing(row.text_source):
            values |= dict.fromkeys(("text", "raw_text"), record["text"])
            values["text_source"] = "hypothesis"
        else:
            values["hypothesis"] = record["text"]
        if record["language_prob"] is not None:
            values["language"] = record["language"]
        if record["again"]:
            log.info("%s: transcribed again, agreement %.2f", _where(row), record["agreement"])
        rows.append(values)
    filled = pd.DataFrame(rows, index=wanted.index)
    for name in filled:
        there = filled[name].dropna()
        table.loc[there.index, name] = there


def choose(table: pd.DataFrame, several: pd.Series, min_agreement: float) -> None:
    """Choose one of several transcripts of a segment: the one closest to the hypothesis.

    If none agrees with the hypothesis, the hypothesis becomes the text.

    Args:
        several: mask of these segments.
        min_agreement: from which a transcript is accepted.
    """
    if several.any():
        log.info("found %d segments with more than one transcript", several.sum())
    for row in table[several].itertuples():
        texts = json.loads(row.raw_text)
        log.info("%s: %d transcripts, transcribed again", _where(row), len(texts))
        best = max(texts, key=lambda text: transcriber.text_agreement(text, row.hypothesis))
        if transcriber.text_agreement(best, row.hypothesis) >= min_agreement:
            values = [best, best, "reference", row.hypothesis]
        else:
            values = [row.hypothesis, row.hypothesis, "hypothesis", None]
        table.loc[row.Index, ["text", "raw_text", "text_source", "hypothesis"]] = values
        log.info("%s: updated transcript, %s", _where(row), values[2])


def _where(row) -> str:
    return f"{row.path}, {row.start / row.rate_hz:.2f} s"
