"""Merge the shards of a corpus into one table, clean the texts, apply the user's corrections."""

import json
import logging
from pathlib import Path

from voicekiln import job, notices
from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import acoustic, corrections, merge, texts, trust
from voicekiln.corpus.limits import many_lost, stop, too_much_lost
from voicekiln.corpus.quality import music
from voicekiln.corpus.segments import respan
from voicekiln.store import tables
from voicekiln.store.files import write_atomic
from voicekiln.store.items import Store
from voicekiln.text.normalize import TextSettings

log = logging.getLogger("correct")
STORE = Path("results", "store")
STEPS = ("segment", "transcribe", "align", "correct")
# what to do about many segments that were dropped before this step, by step and reason
MANY_LOST = {
    "transcribe": {
        "no known text": "add their texts, or set transcribe.model to have them transcribed",
        "several transcripts, and no transcribe.model to choose": (
            "leave one transcript for each, or set transcribe.model"
        ),
    },
    "align": {
        "not in the given text": (
            "check that the texts belong to these recordings, and that transcribe.language and "
            "transcribe.model suit the language"
        ),
    },
}


def main(smk):
    job.start(smk)
    digest = Path(smk.output.digest)
    recordings = merge.merge_recordings([Path(path) for path in smk.input.recordings])
    shards = [Path(path).parent.name for path in smk.input.recordings]
    notices.repeat(notices.AFTER_TEXTS, smk.wildcards.corpus, shards, log)
    segments = merge.merge_segments([Path(path) for path in smk.input.segments], recordings)
    acoustics = merge.merge_acoustics([Path(path) for path in smk.input.acoustics], segments)
    given = corrections.read(next(iter(smk.input.corrections), None))
    copies = corrections.names_of_copies(recordings)
    spans, refused = respan.moves(segments, recordings, given, copies)
    segments, conflicts = corrections.correct(segments, given, copies)
    conflicts = sorted(conflicts + refused, key=lambda row: row["line"])
    cutting = SegmentSettings(**smk.params.settings["segment"])
    audio = Store(STORE, "normalize")
    segments, acoustics = respan.move(segments, acoustics, spans, audio, cutting)
    settings = TextSettings(**smk.params.settings["text"])
    removed = texts.unspoken_in(segments, recordings, settings)
    texts.warn_of_unspoken(removed, smk.wildcards.corpus)
    segments = texts.spoken(segments, settings)
    segments = trust.score(segments)
    if musical := music(segments):
        log.warning("%s", musical)
    for line in acoustic.concerns(segments):
        log.warning("%s", line)
    for row in conflicts:
        log.warning(
            "%s, line %d: the correction of %.2f-%.2f s is not applied (%s); correct the segment "
            "again on the review page, or delete the line",
            *(smk.input.corrections[0], row["line"], row["start_s"], row["end_s"], row["why"]),
        )
    for step, remedies in MANY_LOST.items():
        for line in many_lost(segments, step, remedies):
            log.warning("%s", line)
    log.info(
        "%d recordings, %d segments, %d with edges moved by hand, %d corrections, %d of them not "
        "applied",
        len(recordings),
        len(segments),
        len(spans),
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
    stop(too_much_lost(segments, STEPS, limits, smk.wildcards.corpus))
    tables.write_digest(digest, files)


if "snakemake" in globals():
    main(snakemake)
