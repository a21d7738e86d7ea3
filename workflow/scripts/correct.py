"""Merge the shards of a corpus into one table, clean the texts, apply the user's corrections."""

import json
import logging
from pathlib import Path

from voicekiln import job, tables
from voicekiln.corpus import merge
from voicekiln.store.items import write_atomic
from voicekiln.text.clean import clean

log = logging.getLogger("correct")


def main(smk):
    job.start(smk)
    digest = Path(smk.output.digest)
    recordings = merge.merge_recordings([Path(path) for path in smk.input.recordings])
    limit = smk.params.settings["max_bad_recordings"]
    merge.check_bad_share(recordings, limit, smk.wildcards.corpus)
    segments = merge.merge_segments([Path(path) for path in smk.input.segments], recordings)
    corrections = merge.read_corrections(next(iter(smk.input.corrections), None))
    segments, conflicts = merge.correct(segments, corrections)
    segments["text"] = segments["text"].map(clean, na_action="ignore")
    for row in conflicts:
        log.warning("correction fits no segment: %s", row)
    log.info(
        "%d recordings, %d segments, %d corrections, %d of them fit nothing",
        len(recordings),
        len(segments),
        len(corrections),
        len(conflicts),
    )
    files = [digest.parent / name for name in ("recordings.parquet", "segments.parquet")]
    tables.write(recordings, files[0], tables.RECORDINGS)
    tables.write(segments, files[1], tables.SEGMENTS)
    files.append(digest.parent / "conflicts.jsonl")
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in conflicts]
    write_atomic(files[-1], "".join(lines))
    tables.write_digest(digest, files)


if "snakemake" in globals():
    main(snakemake)
