"""Normalise the recordings of one shard into the store."""

import logging
from dataclasses import asdict
from functools import cache
from pathlib import Path

from voicekiln import extras, job, notices
from voicekiln.audio import enhance
from voicekiln.audio import normalize as audio
from voicekiln.corpus.sources import channels
from voicekiln.corpus.sources.inventory import refuse
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file
from voicekiln.store import tables
from voicekiln.store.items import STORE, Store

log = logging.getLogger("normalize")
MEASURES = (
    *("true_peak_dbtp", "audio_sha256", "clipped_share", "bandwidth_hz"),
    *("noise_floor_dbfs", "snr_db", "hum_db", "reverb_s"),
)


def main(smk):
    job.start(smk)
    config = smk.params.settings["normalize"]
    settings = audio.NormalizeSettings(**config)
    separator = Path(smk.input.separator) if smk.input.separator else None
    used = [name for name in extras.OF_NORMALIZE if config[name]]
    basis = {
        "settings": config | {"separate": sha256_file(separator) if separator else None},
        "version": audio.VERSION,
        "packages": extras.versions(used),
    }
    store = Store(STORE, "normalize", basis)
    table = tables.read(Path(smk.input.table))
    steps = cache(lambda: loaded(settings, separator))  # not for a shard with nothing to do
    rows, computed = [], 0
    for row in job.track(table.to_dict("records"), len(table), "recordings normalised"):
        if row["status"] == "ok":
            channel = None if tables.missing(row["channel"]) else int(row["channel"])
            file = channels.file_path(row["path"], channel)
            source = Path(smk.params.folders[int(row["root"])], file)
            content = row["content_sha256"]
            which = {} if channel is None else {"channel": channel}
            key = store.key(content=content, **which)
            record = store.get(key)
            needed = steps() if record is None else []  # a bad separator stops the job
            try:
                if record is None:
                    computed += 1
                    record = make(store, key, source, content, settings, needed, channel)
                else:
                    notices.replay(record.get("warnings", ()), source, log)
                row |= {
                    "item": key,
                    "rate_hz": record["rate_hz"],
                    "n_samples": record["n_samples"],
                    "dc_offset": record["dc_offset"],
                    "loudness_lufs": record["loudness_lufs_in"],
                    "gain_db": record["gain_db"],
                    **{name: record[name] for name in MEASURES},
                    # where the header tells no duration, the decoder does
                    "duration_s": record["source_samples"] / record["source_rate_hz"]
                    if tables.missing(row["duration_s"])
                    else row["duration_s"],
                }
            except UserError as error:  # of this recording; a full disk stops the job
                row = refuse(row, "normalize", str(error), source)
                log.info("%s: not used: %s", row["path"], row["reason"])
        rows.append(row)
    log.info("%d recordings, %d items computed", len(rows), computed)
    if separator and computed:
        from voicekiln import gpu  # with torch, which only the separator needs

        gpu.log_peak()
    table = tables.frame(rows, tables.RECORDINGS)
    tables.write(table, Path(smk.output.table), tables.RECORDINGS, store)


def loaded(settings, separator):
    """Enhancement steps that the settings ask for."""
    steps = [enhance.Separator(separator)] if separator else []
    return steps + ([enhance.denoise] if settings.denoise else [])


def make(store, key, source, content, settings, steps, channel=None):
    """Normalise one recording into the store, if it still is what it was; its record."""
    part = store.workfile(key, "flac")
    try:
        with notices.collecting(source) as said:
            record = asdict(audio.normalize(source, part, settings, steps, channel))
        record["warnings"] = said
        if sha256_file(source) != content:
            raise UserError(f"{source}: changed since it was listed; run snakemake again")
        store.put(key, record, flac=part)
    finally:
        part.unlink(missing_ok=True)
    return record


if "snakemake" in globals():
    main(snakemake)
