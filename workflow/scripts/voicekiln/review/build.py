"""Write the review page of a corpus with its audio."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile

from voicekiln import job
from voicekiln.corpus import corrections
from voicekiln.review import audio, facts, page
from voicekiln.store import tables
from voicekiln.store.files import write_atomic
from voicekiln.store.items import STORE, Store

log = logging.getLogger("review")
LISTED = {name: tables.SEGMENTS[name] for name in ("segment_id", "item", "start", "end")}


@dataclass(frozen=True)
class Reviewed:
    """Input of a review page.

    Attributes:
        corpus: its name.
        segments, recordings: `tables.SEGMENTS` and `tables.RECORDINGS`.
        corrections: the user's file, or None.
        conflicts: the lines of `conflicts.jsonl`.
        digest: identifies this data set in the browser's storage.
    """

    corpus: str
    segments: pd.DataFrame
    recordings: pd.DataFrame
    corrections: Path | None
    conflicts: list[Mapping[str, Any]]
    digest: str


def build(target: Path, what: Reviewed, settings: Mapping[str, Any]) -> None:
    """Write the page `target`, and the audio that it plays next to it.

    Args:
        settings: section `review`.
    """
    segments, context_s = what.segments, settings["context_s"]
    listed = facts.worst_first(segments).head(settings["max_segments"])
    lines = corrections.read(what.corrections)
    content = facts.gather(what.corpus, listed, what.recordings, lines, what.conflicts, context_s)
    content["digest"] = what.digest
    normalized = Store(STORE, "normalize")
    store = Store(STORE, "review", {"points": audio.POINTS, "version": audio.VERSION})
    content["segments"]["peaks"] = peaks(listed, what.recordings, normalized, store, context_s)
    tables.write(listed, target.parent / "listed.parquet", LISTED, store)
    items = sorted(set(listed["item"]))
    copied = audio.place(target.parent / "audio", [normalized.path(i, ".flac") for i in items])
    if copied:
        log.info("%d bytes of audio copied, because this file system has no hard links", copied)
    write_atomic(target, page.render(content, len(segments)))
    job.say(f"{target} lists {len(listed)} of {len(segments)} segments")


def peaks(listed, recordings, normalized, store, context_s):
    """The waveform of each listed segment with its context, recording by recording."""
    lengths = recordings.drop_duplicates("item").set_index("item")["n_samples"]
    found, computed = {}, 0
    progress = job.Progress(len(listed), "waveforms")
    for item, rows in listed.groupby("item", sort=True):
        normalized.require(item)
        try:
            with soundfile.SoundFile(normalized.path(item, ".flac")) as file:
                for row in rows.sort_values("start").itertuples():
                    context = round(context_s * row.rate_hz)
                    start, end = max(0, row.start - context), min(lengths[item], row.end + context)
                    key = store.key(item=item, start=int(start), end=int(end))
                    record = store.get(key)
                    if record is None:
                        computed += 1
                        record = {"peaks": audio.waveform(file, int(start), int(end))}
                        store.put(key, record)
                    found[row.Index] = record["peaks"]
        except (soundfile.LibsndfileError, EOFError) as error:
            normalized.report(item, f"cannot be read ({error})")
        progress(len(rows))
    log.info("%d segments, %d waveforms computed", len(listed), computed)
    return [found[i] for i in listed.index]
