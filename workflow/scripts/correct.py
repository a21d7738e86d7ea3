"""Merge the shards of a corpus into one table, clean the texts, apply the user's corrections."""

import json
import logging
from pathlib import Path

from voicekiln import job, tables
from voicekiln.corpus import corrections, merge, texts, trust
from voicekiln.corpus.losses import check_losses, check_total
from voicekiln.corpus.quality import concerns
from voicekiln.corpus.segments import by_engine
from voicekiln.store.files import write_atomic
from voicekiln.text.normalize import TextSettings

log = logging.getLogger("correct")


def main(smk):
    job.start(smk)
    digest = Path(smk.output.digest)
    recordings = merge.merge_recordings([Path(path) for path in smk.input.recordings])
    limit = smk.params.settings["max_bad_recordings"]
    merge.check_bad_share(recordings, limit, smk.wildcards.corpus)
    least_s = smk.params.settings["min_total_s"]
    for concern in [*check_total(recordings, least_s, smk.wildcards.corpus), *concerns(recordings)]:
        log.warning("%s", concern)
    segments = merge.merge_segments([Path(path) for path in smk.input.segments], recordings)
    log.info("%s", by_engine(segments))
    acoustics = merge.merge_acoustics([Path(path) for path in smk.input.acoustics], segments)
    given = corrections.read(next(iter(smk.input.corrections), None))
    copies = corrections.names_of_copies(recordings)
    segments, conflicts = corrections.correct(segments, given, copies)
    settings = TextSettings(**smk.params.settings["text"])
    removed = texts.unspoken_in(segments, settings)
    texts.warn_of_unspoken(removed, smk.wildcards.corpus)
    segments = texts.spoken(segments, settings)
    found = texts.with_digits(segments)
    if len(found):
        said = "%d kept segments hold numbers that are not in words, first: %s"
        log.warning(said, len(found), found["text"].iloc[0])
    segments = trust.score(segments)
    for row in conflicts:
        log.warning("correction not applied: %s", row)
    log.info(
        "%d recordings, %d segments, %d corrections, %d of them not applied",
        len(recordings),
        len(segments),
        len(given),
        len(conflicts),
    )
    files = []
    for name, table, schema in (
        ("recordings", recordings, tables.RECORDINGS),
        ("segments", segments, tables.SEGMENTS),
        ("acoustics", acoustics, tables.ACOUSTICS),
    ):
        files.append(digest.parent / f"{name}.parquet")
        tables.write(table, files[-1], schema)
    files.append(digest.parent / "conflicts.jsonl")
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in conflicts]
    write_atomic(files[-1], "".join(lines))
    limits = smk.params.settings["max_loss"]
    steps = ("segment", "transcribe", "align", "correct")
    check_losses(segments, steps, limits, smk.wildcards.corpus)
    tables.write_digest(digest, files)


if "snakemake" in globals():
    main(snakemake)
