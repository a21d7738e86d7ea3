"""The shards of a corpus become one table of recordings and one of segments."""

import json
import logging
from pathlib import Path

import pandas as pd

from voicekiln import tables
from voicekiln.errors import UserError

log = logging.getLogger("merge")


def merge_recordings(shards: list[Path]) -> pd.DataFrame:
    """All recordings, ordered by root and path; byte-equal copies marked `copy`.

    Of byte-equal files the first by root and path is used, the others name it as their reason.
    """
    table = tables.concat(shards, tables.RECORDINGS, ["root", "path"])
    good = table["status"] == "ok"
    first = table[good].drop_duplicates("content_sha256").set_index("content_sha256")["path"]
    again = good & table.duplicated(["content_sha256", "status"])
    table.loc[again, "step"] = "inventory"
    table.loc[again, "reason"] = "byte-equal copy of " + table.loc[again, "content_sha256"].map(
        first
    )
    table.loc[again, "status"] = "copy"
    return table


def check_bad_share(recordings: pd.DataFrame, limit: float, corpus: str) -> None:
    """Stop when more than `limit` of the recordings could not be used, with the list."""
    bad = recordings[recordings["status"] == "bad"]
    share = len(bad) / len(recordings)
    for row in bad.itertuples():
        log.warning("%s/%s: not used: %s", row.root, row.path, row.reason)
    if len(bad) == len(recordings) or share > limit:
        listed = "\n  ".join(f"{row.path}: {row.reason}" for row in bad.head(50).itertuples())
        raise UserError(
            f"corpus {corpus}: {len(bad)} of {len(recordings)} recordings cannot be used, the "
            f"limit is corpora.{corpus}.max_bad_recordings = {limit:g} of them. Mend or remove "
            f"these, or raise the limit:\n  {listed}"
        )


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


def read_corrections(path: Path | None) -> list[dict]:
    """The user's corrections: `content_sha256` (or its first 16 digits), `start_s`, `end_s` of the
    span in the source, and `text` and/or `status` (keep | drop)."""
    if path is None or not Path(path).exists():
        return []
    corrections = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8-sig").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            row = {
                "recording_id": row["content_sha256"][:16],
                "start_s": float(row["start_s"]),
                "end_s": float(row["end_s"]),
                "text": row.get("text"),
                "status": row.get("status"),
            }
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path}, line {number}: expected an object with content_sha256, start_s, end_s "
                f"and text or status ({error!r})"
            ) from error
        if row["status"] not in (None, "keep", "drop"):
            raise UserError(f"{path}, line {number}: status is keep or drop, not {row['status']!r}")
        corrections.append(row)
    return corrections


def correct(
    table: pd.DataFrame, corrections: list[dict], overlap: float = 0.9
) -> tuple[pd.DataFrame, list[dict]]:
    """`table` with the user's corrections, and those that fit no segment.

    A segment takes a correction where they share at least `overlap` of the longer of the two.
    """
    table = table.copy()
    conflicts = []
    by_recording = {name: rows for name, rows in table.groupby("recording_id")}
    for row in corrections:
        rows = by_recording.get(row["recording_id"])
        best, share = None, 0.0
        if rows is not None:
            start = rows["start"].astype(float) / rows["rate_hz"].astype(float)
            end = rows["end"].astype(float) / rows["rate_hz"].astype(float)
            common = (end.clip(upper=row["end_s"]) - start.clip(lower=row["start_s"])).clip(lower=0)
            longer = (end - start).clip(lower=row["end_s"] - row["start_s"])
            shares = common / longer
            best, share = shares.idxmax(), shares.max()
        if best is None or share < overlap:
            why = "no such recording" if rows is None else f"best overlap {share:.2f}"
            conflicts.append({**row, "why": why})
            continue
        if row["text"] is not None:
            table.loc[best, "text"] = row["text"]
            table.loc[best, "text_source"] = "corrected"
        if row["status"] == "drop":
            table.loc[best, ["status", "step", "reason"]] = ["drop", "correct", "marked by hand"]
        elif row["status"] == "keep":
            table.loc[best, "text_source"] = "corrected"
    return table, conflicts
