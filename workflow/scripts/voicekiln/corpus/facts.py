"""The facts of all segments: shards merged, corrections applied, texts cleaned and scored."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from voicekiln.audio import dnsmos
from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import acoustic, confidence, corrections, merge, texts
from voicekiln.corpus.corrections import Correction
from voicekiln.corpus.limits import many_dropped
from voicekiln.corpus.quality import music
from voicekiln.corpus.segments import respan
from voicekiln.store import tables
from voicekiln.store.files import write_jsonl
from voicekiln.store.items import Store
from voicekiln.text import unspoken
from voicekiln.text.normalize import TextSettings

log = logging.getLogger("correct")
STEPS = ("segment", "transcribe", "align", "correct")  # whose drops are known here
# remedies for reasons that drop many segments in the steps before, by step
REMEDIES = {
    "transcribe": {
        "no reference text": "add their texts, or set transcribe.model to have them transcribed",
        "several transcripts, and no transcribe.model to choose": (
            "leave one transcript for each, or set transcribe.model"
        ),
    },
    "align": {
        "no reference text": "add their texts, or set transcribe.model to have them transcribed",
        "not in the reference text": (
            "check that the texts belong to these recordings, and that transcribe.language and "
            "transcribe.model (or align.acoustic_model) suit the language"
        ),
    },
}


@dataclass(frozen=True)
class Facts:
    """Output of the step `correct`.

    Attributes:
        recordings: `tables.RECORDINGS`.
        segments: `tables.SEGMENTS`.
        acoustics: `tables.ACOUSTICS`, in the order of the segments.
        conflicts: the corrections that were not applied, or only in part, by line.
        n_moved: segments whose edges were moved by hand.
        removed: what was removed from the texts because it is not spoken.
    """

    recordings: pd.DataFrame
    segments: pd.DataFrame
    acoustics: pd.DataFrame
    conflicts: list[dict[str, Any]]
    n_moved: int
    removed: unspoken.Removed


def gather(
    shards: Mapping[str, Sequence[Path]],
    given: list[Correction],
    audio: Store,
    cutting: SegmentSettings,
    settings: TextSettings,
    mos: bool = False,
) -> Facts:
    """Merge the shards of a corpus, apply the corrections, clean and score the texts.

    Args:
        shards: files of all shards: `recordings`, `segments`, `acoustics`.
        given: the user's corrections.
        audio: the store of normalised audio, to measure segments whose edges were moved.
        cutting: section `segment`.
        settings: section `text`.
        mos: predict opinion scores of segments whose edges were moved.
    """
    recordings = merge.merge_recordings(list(shards["recordings"]))
    segments = merge.merge_segments(list(shards["segments"]), recordings)
    acoustics = merge.merge_acoustics(list(shards["acoustics"]), segments)
    copies = corrections.names_of_copies(recordings)
    spans, refused = respan.moves(segments, recordings, given, copies)
    segments, conflicts = corrections.correct(segments, given, copies)
    rate = dnsmos.Rater() if spans and mos else None
    segments, acoustics = respan.move(segments, acoustics, spans, audio, cutting, rate)
    removed = texts.unspoken_in(segments, recordings, settings)
    segments = confidence.score(texts.spoken(segments, settings))
    conflicts = sorted(conflicts + refused, key=lambda row: row["line"])
    return Facts(recordings, segments, acoustics, conflicts, len(spans), removed)


def warn(facts: Facts, corpus: str, corrected_by: Path | None) -> None:
    """Log the warnings about a corpus that are known once it has texts.

    Args:
        corrected_by: the user's file of corrections.
    """
    texts.warn_of_unspoken(facts.removed, corpus)
    if musical := music(facts.segments):
        log.warning("%s", musical)
    for line in acoustic.concerns(facts.segments, corpus):
        log.warning("%s", line)
    for row in facts.conflicts:
        log.warning(
            "%s, line %d: the correction of %.2f-%.2f s is not applied (%s); correct the segment "
            "again on the review page, or delete the line",
            *(corrected_by, row["line"], row["start_s"], row["end_s"], row["why"]),
        )
    for step, remedies in REMEDIES.items():
        for line in many_dropped(facts.segments, step, remedies):
            log.warning("%s", line)


def write(facts: Facts, folder: Path) -> list[Path]:
    """Write the tables and conflicts.jsonl; the files, for the record beside them."""
    files = []
    for name, table, schema in (
        ("recordings", facts.recordings, tables.RECORDINGS),
        ("segments", facts.segments, tables.SEGMENTS),
        ("acoustics", facts.acoustics, tables.ACOUSTICS),
    ):
        files.append(folder / f"{name}.parquet")
        tables.write(table, files[-1], schema)
    files.append(folder / "conflicts.jsonl")
    write_jsonl(files[-1], facts.conflicts, sort_keys=True)
    return files
