"""Manual corrections, kept outside the tables and applied on every rebuild.

A correction names a span of a recording's content, not a segment. It therefore survives renamed
files, added recordings and changed settings, as long as a segment with nearly the same span is cut.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from voicekiln.corpus import decisions
from voicekiln.corpus.sources import channels
from voicekiln.errors import UserError
from voicekiln.search.ragged import ranges

NO_COPIES: Mapping[str, str] = MappingProxyType({})
MIN_OVERLAP = 0.9  # of the longer of span and segment
MAX_BYTES = 256 << 20
MAX_CHANNEL = 63
LONGEST_S = 1e7  # 116 days; no recording is longer
SHOWN_CHARACTERS = 200  # of an error in a line
EXPECTED = (
    "expected an object with content_sha256 (16 digits or more), start_s < end_s, and text, "
    "status, or new_start_s < new_end_s"
)
# scores of a text, which go with it when a correction replaces it
SCORES = [
    "cer", "avg_logprob", "no_speech_prob", "compression_ratio", "repetition", "hallucination",
    "agreement", "acoustic_score", "unaligned",
]  # fmt: skip


@dataclass(frozen=True)
class Correction:
    """One line of the user's file.

    Attributes:
        line: number, from 1.
        content: SHA-256 of the recording's file, or at least its first 16 digits.
        start_s: of the span in the source.
        end_s: exclusive.
        text: correct text; None keeps the segment's.
        status: keep | drop; None leaves it to the rules.
        raw: the line as written in the file.
        channel: of the file, from 0; None if the recording is the whole file.
        new_start_s, new_end_s: new span of the segment; None keeps its edges.
    """

    line: int
    content: str
    start_s: float
    end_s: float
    text: str | None
    status: str | None
    raw: str
    channel: int | None = None
    new_start_s: float | None = None
    new_end_s: float | None = None

    @property
    def recording_id(self) -> str:
        return channels.recording_id(self.content[:16], self.channel)


def read(path: Path | None) -> list[Correction]:
    """The corrections of a JSONL file; none if there is no file.

    Raises:
        UserError: a line is not a correction; the message names file and line.
    """
    if path is None or not Path(path).exists():
        return []
    if not Path(path).is_file():
        raise UserError(f"{path}: expected a file of corrections, found a folder")
    if (n_bytes := Path(path).stat().st_size) > MAX_BYTES:
        raise UserError(
            f"{path}: {n_bytes} bytes, the maximum is {MAX_BYTES}; split it into several files"
        )
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: expected UTF-8 text ({error.reason})") from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(_parsed(number, line.strip()))
            except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
                why = repr(error)[:SHOWN_CHARACTERS]
                raise UserError(f"{path}, line {number}: {EXPECTED} ({why})") from error
    return found


def _parsed(number: int, line: str) -> Correction:
    row = json.loads(line)
    content, start, end = row["content_sha256"], row["start_s"], row["end_s"]
    text, status, channel = row.get("text"), row.get("status"), row.get("channel")
    if channel is not None and (type(channel) is not int or not 0 <= channel <= MAX_CHANNEL):
        raise ValueError(f"channel is {channel!r}"[:SHOWN_CHARACTERS])
    if not isinstance(content, str) or not re.fullmatch("[0-9a-f]{16,64}", content):
        raise ValueError(f"content_sha256 is {content!r}")
    new = row.get("new_start_s"), row.get("new_end_s")
    for first, last in ((start, end), *([] if new == (None, None) else [new])):
        for value in (first, last):
            if type(value) not in (int, float) or not 0 <= value <= LONGEST_S:
                raise ValueError(f"a time is {value!r}"[:SHOWN_CHARACTERS])
        if not first < last:
            raise ValueError(f"the span is {first} ... {last}")
    if not isinstance(text, str | None) or status not in (None, "keep", "drop"):
        raise ValueError(f"text is {text!r}, status (keep, drop) is {status!r}")
    if text is not None and re.search("[\ud800-\udfff]", text):
        raise ValueError("text contains half a character (a lone surrogate)")
    if text is None and status is None and new == (None, None):
        raise ValueError("neither text nor status nor new_start_s")
    new = [None if value is None else float(value) for value in new]
    return Correction(number, content, float(start), float(end), text, status, line, channel, *new)


def names_of_copies(recordings: pd.DataFrame) -> dict[str, str]:
    """The `recording_id` of the recording used instead of each copy.

    Files with the same samples have different ids. Which of them is used may change when one is
    added.

    Args:
        recordings: `tables.RECORDINGS`, merged.
    """
    known = recordings[recordings["audio_sha256"].notna()]
    used = known[known["status"] == "ok"].set_index("audio_sha256")["recording_id"]
    copies = known[known["status"] == "copy"]
    there = copies[copies["audio_sha256"].isin(used.index)]
    return dict(zip(there["recording_id"], there["audio_sha256"].map(used), strict=True))


def match(table: pd.DataFrame, corrections: list[Correction]) -> tuple[np.ndarray, list[str]]:
    """The row of `table` that each correction applies to.

    A correction applies to a segment if they overlap by at least `MIN_OVERLAP` of the longer of the
    two. If several apply to one segment, the last in the file is taken.

    Returns:
        `[n_corrections] int64` positions in the table, -1 for none; and for each correction why
        there is none, else "".
    """
    n = len(corrections)
    names = pd.Index(table["recording_id"].astype(str).unique())
    code = names.get_indexer([c.recording_id for c in corrections])
    begin = np.array([c.start_s for c in corrections], float)
    end = np.array([c.end_s for c in corrections], float)
    best, share = np.full(n, -1), np.zeros(n)
    rate = table["rate_hz"].to_numpy(float)
    starts, ends = table["start"].to_numpy(float) / rate, table["end"].to_numpy(float) / rate
    if len(table) and n:
        # recordings one after the other on one time axis, so that one search finds all overlaps
        apart = max(ends.max(), end.max()) + 1.0
        offset = names.get_indexer(table["recording_id"].astype(str)) * apart
        order = np.lexsort((ends, offset + starts))
        first = np.searchsorted(np.maximum.accumulate((offset + ends)[order]), code * apart + begin)
        last = np.searchsorted((offset + starts)[order], code * apart + end)
        counts = np.where(code >= 0, np.maximum(last - first, 0), 0)
        which = np.repeat(np.arange(n), counts)
        rows = order[ranges(first, counts)]
        common = np.minimum(ends[rows], end[which]) - np.maximum(starts[rows], begin[which])
        longer = np.maximum(ends[rows] - starts[rows], end[which] - begin[which])
        shares = np.clip(common / longer, 0, 1)
        by_share = np.lexsort((rows, -shares, which))
        _, top = np.unique(which[by_share], return_index=True)
        top = by_share[top]
        best[which[top]], share[which[top]] = rows[top], shares[top]
    why = [""] * n
    taken: dict[int, int] = {}  # row: the correction that it takes
    for i in range(n):
        if code[i] < 0:
            why[i] = "no such recording"
        elif share[i] < MIN_OVERLAP - 1e-6:
            why[i] = f"fits no segment: the best overlap is {share[i]:.2f} of the longer of the two"
        else:
            if (earlier := taken.get(int(best[i]))) is not None:
                why[earlier] = f"line {corrections[i].line} is for the same segment"
            taken[int(best[i])] = i
    best[[bool(reason) for reason in why]] = -1
    return best, why


def correct(
    table: pd.DataFrame, corrections: list[Correction], copies: Mapping[str, str] = NO_COPIES
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """Apply the corrections; the table, and those that were not applied, each with the reason.

    A text typed by a listener removes the scores of the one it replaces, and a drop for want of
    text. `drop` drops, whatever an earlier step decided; `keep` overrides earlier and later drops
    (`decisions.apply`).

    Args:
        copies: from `names_of_copies`.
    """
    table = table.reset_index(drop=True)
    corrections = [on_used(c, copies) for c in corrections]
    rows, why = match(table, corrections)
    conflicts = [conflict(c, reason) for c, reason in zip(corrections, why, strict=True) if reason]
    taken = [(row, c) for row, c in zip(rows.tolist(), corrections, strict=True) if row >= 0]
    texts = {row: c.text for row, c in taken if c.text is not None}
    at = list(texts)
    table.loc[at, "text"] = list(texts.values())
    table.loc[at, "text_source"] = "corrected"
    table.loc[at, SCORES] = np.nan
    for mark in ("keep", "drop"):
        marked = [row for row, c in taken if c.status == mark]
        table.loc[marked, "marked"] = mark
    earlier = decisions.taken(table)
    answered = earlier["segment_id"].isin(table.loc[at, "segment_id"])
    earlier = earlier[~(answered & earlier["step"].eq("transcribe"))]
    table = decisions.undone(table)
    by_hand = decisions.Decider(table, "correct")
    by_hand.drop(table["marked"].eq("drop"), "marked by hand")
    return decisions.apply(table, by_hand.decisions(), earlier), conflicts


def on_used(correction: Correction, copies: Mapping[str, str]) -> Correction:
    """The correction, moved from a copy to the recording used instead."""
    used = copies.get(correction.recording_id)
    if used is None:
        return correction
    content, channel = channels.parts(used)
    return replace(correction, content=content, channel=channel)


def conflict(c: Correction, why: str) -> dict[str, Any]:
    """The row of conflicts.jsonl for a correction that was not fully applied."""
    edges = {"new_start_s": c.new_start_s, "new_end_s": c.new_end_s}
    return {
        "line": c.line,
        "content_sha256": c.content,
        **({} if c.channel is None else {"channel": c.channel}),
        "start_s": c.start_s,
        "end_s": c.end_s,
        **({} if c.new_start_s is None else edges),
        "text": c.text,
        "status": c.status,
        "why": why,
    }
