"""Checks of a corpus before it has texts: problems that stop the run, and warnings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import limits, merge
from voicekiln.corpus.quality import concerns
from voicekiln.corpus.segments import statistics
from voicekiln.corpus.sources import listing


def read(shards: Sequence[Path], warn: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The merged recordings and segments of these shards' folders.

    Args:
        warn: whether texts of copies that are lost or differ are logged.
    """
    files = [folder / "normalize.parquet" for folder in shards]
    recordings = merge.merge_recordings(files, warn)
    segments = merge.merge_segments([folder / "segment.parquet" for folder in shards], recordings)
    return recordings, segments


def problems(
    recordings: pd.DataFrame, segments: pd.DataFrame, settings: Mapping[str, Any], corpus: str
) -> list[str]:
    """All problems that keep a corpus from becoming a data set, whatever its texts are.

    Args:
        settings: the sections of the corpus's configuration with limits.
    """
    kept = int((segments["status"] == "keep").sum())
    return [
        *limits.too_many_bad(recordings, settings["max_bad_recordings"], corpus),
        *limits.too_little_audio(recordings, settings["min_total_s"], corpus)[1],
        *limits.too_much_dropped(segments, ("segment",), settings["max_loss"], corpus),
        *limits.too_few_to_split(kept, settings["split"], corpus),
    ]


def warnings(recordings: pd.DataFrame, settings: Mapping[str, Any], corpus: str) -> list[str]:
    """Warnings about recordings that may reduce the quality of the voice."""
    bad = recordings[recordings["status"] == "bad"]
    return [
        *(f"{row.path}: not used: {row.reason}" for row in bad.itertuples()),
        *limits.too_little_audio(recordings, settings["min_total_s"], corpus)[0],
        *map(str, concerns(recordings)),
    ]


def cutting(
    recordings: pd.DataFrame,
    segments: pd.DataFrame,
    events: Mapping[str, int],
    section: Mapping[str, Any],
) -> tuple[str, list[str]]:
    """A line on how the corpus was cut, and warnings about it.

    Args:
        events: of all shards, see `statistics.summary`.
        section: `segment`.
    """
    used = recordings[recordings["status"] == "ok"]
    kept = segments[segments["status"] == "keep"]
    seconds = ((kept["end"] - kept["start"]) / kept["rate_hz"]).astype(float).tolist()
    found = segments[segments["reason"].ne("too little speech").fillna(True)]
    spoken = set(zip(found["root"], found["path"], strict=True))
    silent = [row.path for row in used.itertuples() if (row.root, row.path) not in spoken]
    recorded_s = float((used["n_samples"] / used["rate_hz"]).sum())
    return statistics.summary(seconds, events, recorded_s, silent, SegmentSettings(**section))


def of_other(folder: Path, settings: Mapping[str, Any]) -> list[str]:
    """The problems of another corpus, to be reported together; none until all its shards are there.

    Its warnings are left to its own job.

    Args:
        folder: `results/corpora/<corpus>`.
    """
    listed = listing.stored(folder)
    shards = [folder / "shards" / name for name in listed.shards] if listed else []
    files = [f / name for f in shards for name in ("normalize.parquet", "segment.parquet")]
    if not shards or not all(map(Path.exists, files)):
        return []
    return problems(*read(shards, warn=False), settings, folder.name)
