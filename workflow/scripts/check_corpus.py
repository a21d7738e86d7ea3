"""Check what is known of a corpus before the recogniser runs; repeat its shards' warnings."""

import json
import logging
from collections import Counter
from pathlib import Path

from voicekiln import job, notices
from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import losses, merge
from voicekiln.corpus.quality import concerns
from voicekiln.corpus.segments import by_engine, statistics
from voicekiln.store.files import write_atomic

log = logging.getLogger("check")


def main(smk):
    job.start(smk)
    corpus = smk.wildcards.corpus
    shards = [Path(path).parent for path in smk.input.recordings]
    notices.repeat(notices.BEFORE_TEXTS, corpus, [folder.name for folder in shards], log)
    recordings, segments = read(shards)
    problems, warnings = found(recordings, segments, smk.params.settings, corpus)
    events = sum(
        (Counter(json.loads(Path(path).read_text())) for path in smk.input.events), Counter()
    )
    line, more = cutting(recordings, segments, events, smk.params.settings["segment"])
    log.info("%s", line)
    log.info("%s", by_engine(segments))
    for warning in [*warnings, *more]:
        log.warning("%s", warning)
    if problems:
        for other, settings in smk.params.others.items():
            problems += of_other(other, **settings)
    losses.stop(problems)
    # always the same text, so that an added recording does not change an input of `transcribe`
    write_atomic(Path(smk.output.checked), "{}\n")


def read(shards):
    """The merged recordings and segments of these shards' folders."""
    recordings = merge.merge_recordings([folder / "normalize.parquet" for folder in shards])
    segments = merge.merge_segments([folder / "segment.parquet" for folder in shards], recordings)
    return recordings, segments


def found(recordings, segments, settings, corpus):
    """Problems and warnings of a corpus that can be known without its texts."""
    problems = losses.too_many_bad(recordings, settings["max_bad_recordings"], corpus)
    warnings = [
        f"{row.path}: not used: {row.reason}"
        for row in recordings[recordings["status"] == "bad"].itertuples()
    ]
    little, too_little = losses.too_little_audio(recordings, settings["min_total_s"], corpus)
    problems += too_little
    problems += losses.too_much_lost(segments, ("segment",), settings["max_loss"], corpus)
    kept = int((segments["status"] == "keep").sum())
    problems += losses.too_few_to_split(kept, settings["split"], corpus)
    return problems, [*warnings, *little, *map(str, concerns(recordings))]


def cutting(recordings, segments, events, section):
    """How the corpus was cut: one line, and warnings."""
    used = recordings[recordings["status"] == "ok"]
    kept = segments[segments["status"] == "keep"]
    seconds = ((kept["end"] - kept["start"]) / kept["rate_hz"]).astype(float).tolist()
    found = segments[segments["reason"].ne("too little speech").fillna(True)]
    spoken = set(zip(found["root"], found["path"], strict=True))
    silent = [row.path for row in used.itertuples() if (row.root, row.path) not in spoken]
    recorded_s = float((used["n_samples"] / used["rate_hz"]).sum())
    return statistics(seconds, events, recorded_s, silent, SegmentSettings(**section))


def of_other(corpus, shards, settings):
    """The problems of another corpus, as far as its shards are there: all are told at once."""
    folders = [Path("results", "corpora", corpus, "shards", shard) for shard in shards]
    files = [f / name for f in folders for name in ("normalize.parquet", "segment.parquet")]
    return found(*read(folders), settings, corpus)[0] if all(map(Path.exists, files)) else []


if "snakemake" in globals():
    main(snakemake)
