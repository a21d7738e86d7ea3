"""Compute the features of one shard of a corpus, as far as no pack holds them yet."""

import logging
from pathlib import Path

import torch
from voicekiln import families, job
from voicekiln.audio.span import load_span
from voicekiln.corpus.dataset import of_recordings
from voicekiln.corpus.sources.shards import shard_of
from voicekiln.features.store import PackStore
from voicekiln.store import tables
from voicekiln.store.items import Store
from voicekiln.training.data.plan import require_fit
from voicekiln.training.settings import AUTO

log = logging.getLogger("features")
STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    torch.set_num_threads(smk.threads)
    settings = smk.params.settings
    family = families.get(settings["family"])
    shard, shards = int(smk.wildcards.shard), smk.params.shards
    mine = of_recordings(smk.input.dataset, lambda path: shard_of(path, shards) == shard)
    require_batches(mine, family, smk.params.batch_frames)
    basis = {
        "family": settings["family"],
        "version": family.VERSION,
        "settings": settings["features"],
    }
    packs = PackStore(STORE, basis)
    audio = Store(STORE, "normalize")
    keys = [
        packs.key(audio=row.audio_sha256, rate_hz=int(row.rate_hz)) for row in mine.itertuples()
    ]
    rows = list(zip(keys, mine.itertuples(), strict=True))
    missing = [(key, row) for key, row in rows if key not in packs]
    for key, row in job.track(missing, len(missing), "clips"):
        samples = load_span(audio, row.item, row.start, row.end, family.RATE_HZ)
        packs.add(key, family.clip_features(samples, settings["features"]))
    packs.close()
    log.info("%d clips, %d items computed", len(mine), len(missing))
    found = [{"segment_id": row.segment_id, **packs.find(key)} for key, row in rows]
    tables.write(tables.frame(found, tables.FEATURES), Path(smk.output.index), tables.FEATURES)


def require_batches(segments, family, batch_frames):
    """Stop before any clip is computed that no batch could hold."""
    if batch_frames == AUTO:
        return
    train = segments[segments["split"] == "train"]
    samples = (train["end"] - train["start"]) / train["rate_hz"] * family.RATE_HZ
    frames = [family.n_frames(round(n)) for n in samples]
    require_fit(frames, train["segment_id"].tolist(), batch_frames)


if "snakemake" in globals():
    main(snakemake)
