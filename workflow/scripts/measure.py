"""Measure how the segments of one shard sound; see corpus/measure.py."""

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voicekiln import job
from voicekiln.audio import dnsmos, resemblyzer
from voicekiln.audio.speaker import Embedder
from voicekiln.corpus import measure
from voicekiln.provenance import require_sha256, sha256_file
from voicekiln.store import tables
from voicekiln.store.items import STORE, Store

log = logging.getLogger("measure")
COLUMNS = ("snr_db", "bandwidth_hz", "pitch_hz", "music", *dnsmos.SCORES)


def main(smk):
    job.start(smk)
    table = tables.read(Path(smk.input.table))
    model = Path(smk.input.speaker_model) if smk.input.speaker_model else None
    if model:
        key = f"corpora.{smk.wildcards.corpus}.measure.speaker_model_sha256"
        require_sha256(model, smk.params.settings["measure"]["speaker_model_sha256"], key)
    digest = sha256_file(model) if model else None
    package = smk.params.resemblyzer
    basis = {"version": measure.VERSION, "speaker_model": digest, "resemblyzer": package}
    if smk.params.mos:  # otherwise the keys are those of items without scores
        weights = sha256_file(dnsmos.weights_path())
        basis["mos"] = {"version": dnsmos.VERSION, "weights": weights, "packages": smk.params.mos}
    audio, store = Store(STORE, "normalize"), Store(STORE, "measure", basis)
    keys, wanted = [], {}  # byte-equal recordings share an item, and so each span of it
    # dropped ones too: a correction may bring them back
    ordered = table.sort_values(["item", "start", "end"], kind="stable")
    for item, rows in ordered.groupby("item", sort=False):
        places = list(zip(rows["start"].astype(int), rows["end"].astype(int), strict=True))
        spans = [list(span) for span in dict.fromkeys(places)]
        key = store.key(item=item, spans=spans)
        keys.append((key, rows.index, places))
        wanted[key] = (item, spans)
    missing = {key: what for key, what in wanted.items() if store.get(key) is None}
    log.info("%d recordings, %d items computed", len(wanted), len(missing))
    if model:
        log.info("speakers are distinguished by %s", model)
    elif package:
        log.info("speakers are distinguished by Resemblyzer %s", package)
    else:
        log.info("speakers are distinguished by statistics of the sound")
    if smk.params.mos:
        log.info(
            "opinion scores are predicted by DNSMOS, speechmos %s", smk.params.mos["speechmos"]
        )
    if missing:
        rate = dnsmos.Rater() if smk.params.mos else None
        make(audio, store, missing, embedder(model, package, smk.threads), rate, smk)
    found = {}
    for key, index, places in keys:
        heard = dict(zip(map(tuple, wanted[key][1]), store.require(key)["segments"], strict=True))
        found |= {row: heard[place] for row, place in zip(index, places, strict=True)}
    measured = [found.get(row, {}) for row in table.index]
    for name in COLUMNS:
        table[name] = [record.get(name) for record in measured]
    acoustics = [
        {
            "segment_id": segment_id,
            "fingerprint": bytes.fromhex(record["fingerprint"]) if record else None,
            "speaker_features": record.get("speaker_features"),
        }
        for segment_id, record in zip(table["segment_id"], measured, strict=True)
    ]
    tables.write(table, Path(smk.output.table), tables.SEGMENTS, store)
    acoustics = tables.frame(acoustics, tables.ACOUSTICS)
    tables.write(acoustics, Path(smk.output.acoustics), tables.ACOUSTICS)


def embedder(model, package, threads):
    """The embedder of speaker features; None for statistics of the voice."""
    if model:
        return Embedder(model)
    return resemblyzer.Embedder(threads=threads) if package else None


def make(audio, store, missing, embed, rate, smk):
    """Measure the recordings whose items are missing, as many at a time as there are threads."""

    def measured(what):
        return measure.measure(audio, *what, embed, rate)

    with ThreadPoolExecutor(smk.threads) as pool:
        done = pool.map(measured, missing.values())
        for key, segments in job.track(
            zip(missing, done, strict=True), len(missing), "recordings measured"
        ):
            store.put(key, {"segments": segments})


if "snakemake" in globals():
    main(snakemake)
