"""Compute the features of one shard of a corpus that no pack has yet."""

import logging
from pathlib import Path

import torch
from voicekiln import families, job
from voicekiln.audio.span import load_span, resampled_length
from voicekiln.corpus.dataset import of_recordings
from voicekiln.corpus.sources.shards import shard_of
from voicekiln.errors import UserError
from voicekiln.families import base as bases
from voicekiln.features.store import PackStore, basis
from voicekiln.gpu import device
from voicekiln.store import tables
from voicekiln.store.items import STORE, Store
from voicekiln.training.data.plan import require_fit, to_steps
from voicekiln.training.settings import AUTO

log = logging.getLogger("features")


def main(smk):
    job.start(smk)
    torch.set_num_threads(smk.threads)
    settings = smk.params.settings
    family = families.get(settings["family"])
    shard, shards = int(smk.wildcards.shard), smk.params.shards
    mine = of_recordings(smk.input.dataset, lambda path: shard_of(path, shards) == shard)
    require_batches(mine, family, smk.params.batch_s)
    base = bases.files(smk.params.base)
    packs = PackStore(
        STORE,
        basis(
            settings["family"],
            family.FEATURES_VERSION,
            settings["features"],
            family.feature_basis(base),
        ),
    )
    keys = [
        packs.key(audio=row.audio_sha256, rate_hz=int(row.rate_hz)) for row in mine.itertuples()
    ]
    rows = list(zip(keys, mine.itertuples(), strict=True))
    missing = [(key, row) for key, row in rows if key not in packs]
    if missing:
        on = device(smk.resources.gpu)
        extract(family, family.extractor(base, settings["features"], on), missing, packs)
    packs.close()
    log.info("%d clips, %d items computed", len(mine), len(missing))
    found = [{"segment_id": row.segment_id, **packs.find(key)} for key, row in rows]
    tables.write(tables.frame(found, tables.FEATURES), Path(smk.output.index), tables.FEATURES)


def extract(family, extractor, missing, packs):
    """Compute the features of clips and add them to the packs."""
    audio = Store(STORE, "normalize")
    for key, row in job.track(missing, len(missing), "clips"):
        samples = load_span(audio, row.item, row.start, row.end, family.RATE_HZ)
        try:
            arrays = extractor(torch.from_numpy(samples))
        except UserError as error:
            raise UserError(f"segment {row.segment_id}: {error}") from error
        packs.add(key, arrays, family.n_steps(arrays))


def require_batches(segments, family, batch_s):
    """Stop before features are computed if a clip is longer than a batch."""
    if batch_s == AUTO:
        return
    train = segments[segments["split"] == "train"]
    steps = [
        family.steps_of(
            resampled_length(int(row.end - row.start), int(row.rate_hz), family.RATE_HZ)
        )
        for row in train.itertuples()
    ]
    batch_steps = to_steps(batch_s, family.STEPS_PER_S)
    require_fit(steps, train["segment_id"].tolist(), batch_steps, family.STEPS_PER_S)


if "snakemake" in globals():
    main(snakemake)
