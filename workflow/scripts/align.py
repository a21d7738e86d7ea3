"""Check the transcripts of one shard against the audio and the reference texts."""

import logging
from functools import cache
from pathlib import Path

from voicekiln import job
from voicekiln.audio.segment import SegmentSettings, identity
from voicekiln.corpus import acoustic, confidence
from voicekiln.corpus.segments import edges
from voicekiln.corpus.segments.reading import distribute
from voicekiln.provenance import require_sha256
from voicekiln.store import tables
from voicekiln.store.files import write_jsonl
from voicekiln.store.items import STORE, Store

log = logging.getLogger("align")


def main(smk):
    job.start(smk)
    settings = smk.params.settings["align"]
    table = tables.read(Path(smk.input.table))
    recordings = tables.read(Path(smk.input.recordings))
    audio = Store(STORE, "normalize")
    made = []
    align = aligner(smk, table, audio, made) if smk.params.model and len(table) else None
    if smk.params.decodes:
        acoustic.drop_without_text(table, recordings)
    if align:
        table = align(table, table["status"] == "keep")
    if settings["check_edges"]:
        cutting = SegmentSettings(**smk.params.settings["segment"])
        store = Store(STORE, "align", {"segment": identity(cutting), "version": edges.VERSION})
        made.append(store)
        table = edges.fix(table, cutting, audio, store)
    before = table["text"]
    spell = acoustic.speller(Path(smk.params.model)) if smk.params.decodes else None
    table, unsaid = distribute(table, recordings, settings["max_cer"], spell)
    if align:  # stretches of a reference text that replaced the hypothesis
        replaced = (table["text"] != before).fillna(False)
        table = align(table, replaced & (table["status"] == "keep"))
    table = confidence.inspect(table)
    write_jsonl(Path(smk.output.unsaid), unsaid, sort_keys=True)
    tables.write(table, Path(smk.output.table), tables.SEGMENTS, *made)


def aligner(smk, table, audio, made):
    """Aligns the kept texts of a table; its store is added to those that were `made`."""
    folder, settings = Path(smk.params.model), smk.params.settings["align"]
    key = f"corpora.{smk.wildcards.corpus}.align.acoustic_model_sha256"
    weights = next(Path(path) for path in smk.input.model if ".safetensors" in path)
    require_sha256(weights, settings["acoustic_model_sha256"], key)
    languages = sorted(table["language"].dropna().unique()) or [None]
    store = Store(STORE, "acoustic", acoustic.basis(folder, languages))
    made.append(store)

    @cache
    def load():
        import torch  # takes seconds; a job that has nothing to align does without
        from voicekiln import gpu

        torch.set_num_threads(smk.threads)
        device = gpu.device(smk.resources.gpu)
        log.info("loading acoustic model %s on %s", folder, device)
        return acoustic.Aligner(folder, device)

    def make(blocks):
        align_block = load()
        for block in job.track(blocks, len(blocks), "blocks of segments aligned"):
            yield block.key, align_block(block, audio)
        from voicekiln import gpu

        gpu.log_peak()

    return lambda table, rows: acoustic.align(table, rows, store, make)


if "snakemake" in globals():
    main(snakemake)
