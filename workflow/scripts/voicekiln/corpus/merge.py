"""The shards of a corpus become one table of recordings and one of segments."""

import logging
from pathlib import Path

import pandas as pd

from voicekiln import tables

log = logging.getLogger("merge")


def merge_recordings(shards: list[Path]) -> pd.DataFrame:
    """All recordings, ordered by root and path; copies marked `copy`.

    Of byte-equal files, and then of files that decode to the same samples (other tags, another
    lossless container), the first by root and path is used; the others name it as their reason.
    """
    table = tables.concat(shards, tables.RECORDINGS, ["root", "path"])
    for column, what in (
        ("content_sha256", "byte-equal copy"),
        ("audio_sha256", "same samples in another file"),
    ):
        good = (table["status"] == "ok") & table[column].notna()
        first = table[good].drop_duplicates(column).set_index(column)["path"]
        again = good & table[good].duplicated(column).reindex(table.index, fill_value=False)
        table.loc[again, "step"] = "inventory"
        table.loc[again, "reason"] = f"{what} of " + table.loc[again, column].map(first)
        table.loc[again, "status"] = "copy"
        _warn_of_other_texts(table[again], table[good], column)
    return table


def _warn_of_other_texts(copies, good, column):
    """Say which copies come with another known text than the file that is used."""
    used = good.drop_duplicates(column).set_index(column)["known"]
    for row in copies.itertuples():
        kept = used[getattr(row, column)]
        if not tables.missing(row.known) and (tables.missing(kept) or kept != row.known):
            log.warning("%s: %s, whose text is used instead of its own", row.path, row.reason)


def merge_segments(shards: list[Path], recordings: pd.DataFrame) -> pd.DataFrame:
    """The segments of all used recordings, ordered by root, path and start."""
    table = tables.concat(shards, tables.SEGMENTS, ["root", "path", "start"])
    used = recordings.loc[recordings["status"] == "ok", ["root", "path"]]
    return table.merge(used, on=["root", "path"], how="inner", validate="many_to_one")


def merge_acoustics(shards: list[Path], segments: pd.DataFrame) -> pd.DataFrame:
    """`tables.ACOUSTICS` of the merged segments, in their order."""
    table = pd.concat([tables.read(path) for path in shards], ignore_index=True)
    table = table.drop_duplicates("segment_id")
    return segments[["segment_id"]].merge(table, on="segment_id", how="left")
