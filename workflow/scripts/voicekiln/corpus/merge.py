"""Merge the shards of a corpus into one table of recordings and one of segments."""

import json
import logging
from pathlib import Path

import pandas as pd

from voicekiln.store import tables

log = logging.getLogger("merge")


def merge_recordings(shards: list[Path], warn: bool = True) -> pd.DataFrame:
    """All recordings, ordered by root and path, with copies marked.

    Of byte-equal files, and then of files that decode to the same samples (other tags, another
    lossless container), the one with the most reference texts is used, the first by root and path
    if there are several. The others get the status `copy` and name it as their reason.

    Args:
        warn: whether to warn of texts of copies that differ or are not used.
    """
    table = tables.concat(shards, tables.RECORDINGS, ["root", "path"])
    references = [_texts(entries) for entries in table["reference_texts"]]
    n_texts = pd.Series([len(texts) for texts in references], dtype="int64")
    content = table["content_sha256"] + table["channel"].astype("string").radd("#").fillna("")
    for equal, what in (
        (content, "byte-equal copy"),
        (table["audio_sha256"], "same samples in another file"),
    ):
        good = table.index[(table["status"] == "ok") & equal.notna()]
        order = n_texts[good].sort_values(ascending=False, kind="stable").index
        used = equal[order].drop_duplicates()
        row_of = dict(zip(used, used.index, strict=True))
        for copy in good.difference(used.index):
            original = row_of[equal[copy]]
            same_file = table.at[copy, "content_sha256"] == table.at[original, "content_sha256"]
            where = what.replace("another file", "another channel") if same_file else what
            reason = f"{where} of {table.at[original, 'path']}"
            table.loc[copy, ["status", "step", "reason"]] = ["copy", "inventory", reason]
            if not warn:
                continue
            _warn_of_other_texts(table.loc[copy], references[copy], references[original])
            if table.at[copy, "recording_id"] != table.at[original, "recording_id"]:
                _warn_of_lost_texts(table.loc[copy], references[copy], references[original])
    return table


def _texts(references):
    """The reference texts of a recording with their spans, `(start, end, text)`."""
    entries = [] if tables.missing(references) else json.loads(references)
    return [(e["start_s"], e["end_s"], e["text"]) for e in entries if e["text"]]


def _warn_of_other_texts(copy, texts, used):
    """Warn of a text of a copy that differs from that of the file that is used."""
    for start, end, text in texts:
        others = [other for other in used if _overlap((start, end), other[:2])]
        if others and text not in [other[2] for other in others]:
            log.warning(
                "%s: %s, whose text %r is used instead of %r; correct the one that is wrong",
                copy["path"],
                copy["reason"],
                others[0][2][:60],
                text[:60],
            )
            return


def _warn_of_lost_texts(copy, texts, used):
    """Warn of texts of a copy for spans that have none in the file that is used.

    `merge_segments` takes over those of byte-equal files.
    """
    lost = [
        text
        for start, end, text in texts
        if not any(_overlap((start, end), other[:2]) for other in used)
    ]
    if lost:
        log.warning(
            "%s: %s, which lacks %d texts of this file (first: %r); add them to the one that is "
            "used",
            copy["path"],
            copy["reason"],
            len(lost),
            lost[0][:60],
        )


def _overlap(one, other):
    """Whether two spans overlap; one without a start is the whole recording."""
    if one[0] is None or other[0] is None:
        return True
    (start, end), (other_start, other_end) = (
        (start, float("inf") if end is None else end) for start, end in (one, other)
    )
    return start < other_end and other_start < end


def merge_segments(shards: list[Path], recordings: pd.DataFrame) -> pd.DataFrame:
    """The segments of all used recordings, ordered by root, path and start.

    Byte-equal copies add the segments of their own reference texts if the used file has none there.
    """
    table = tables.concat(shards, tables.SEGMENTS, ["root", "path", "start"])
    used = recordings.loc[recordings["status"] == "ok", ["root", "path", "recording_id"]]
    segments = table.merge(
        used[["root", "path"]], on=["root", "path"], how="inner", validate="many_to_one"
    )
    copies = recordings[(recordings["status"] == "copy") & (recordings["reference_texts"].notna())]
    copies = copies[copies["recording_id"].isin(used["recording_id"])]
    others = table.merge(copies[["root", "path"]], on=["root", "path"], how="inner")
    others = others[(others["status"] == "keep") & others["text_source"].notna()]
    others = others[others["text_source"] != "hypothesis"]
    added = _not_covered(others, segments)
    if len(added):
        names = used.set_index("recording_id").loc[added["recording_id"], ["root", "path"]]
        added = added.assign(root=names["root"].array, path=names["path"].array)
        segments = pd.concat([segments, added], ignore_index=True)
        segments = segments.sort_values(["root", "path", "start"], ignore_index=True)
    return segments


def _not_covered(others, segments):
    """The segments among `others` that overlap neither the segments nor one another."""
    taken: dict[str, list[tuple[int, int]]] = {}
    for row in segments[segments["recording_id"].isin(others["recording_id"])].itertuples():
        taken.setdefault(row.recording_id, []).append((row.start, row.end))
    free = []
    for row in others.itertuples():
        spans = taken.setdefault(row.recording_id, [])
        if not any(row.start < end and start < row.end for start, end in spans):
            spans.append((row.start, row.end))
            free.append(row.Index)
    return others.loc[free]


def merge_acoustics(shards: list[Path], segments: pd.DataFrame) -> pd.DataFrame:
    """`tables.ACOUSTICS` of the merged segments, in their order."""
    table = pd.concat([tables.read(path) for path in shards], ignore_index=True)
    table = table.drop_duplicates("segment_id")
    return segments[["segment_id"]].merge(table, on="segment_id", how="left")
