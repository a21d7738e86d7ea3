"""Data of the review page: the segments, lowest confidence first, as columns of builtin types."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from voicekiln.audio import dnsmos
from voicekiln.corpus.corrections import Correction, match
from voicekiln.store.files import read_jsonl

# numeric columns, with the decimals shown
NUMBERS = {
    "confidence": 3, "value": 3, "limit": 3, "avg_logprob": 2, "cer": 3, "agreement": 2,
    "snr_db": 1, "acoustic_score": 2,
}  # fmt: skip
OPTIONAL = dict.fromkeys(dnsmos.SCORES, 2)  # only if any segment has them
NAMES = ("speaker", "language", "text_source")  # few distinct values


def worst_first(segments: pd.DataFrame) -> pd.DataFrame:
    """The segments by increasing confidence, unknown last; among equals, dropped ones first."""
    keys = pd.DataFrame(
        {
            "confidence": segments["confidence"].astype(float),
            "kept": segments["status"].eq("keep").astype(bool),
            "avg_logprob": segments["avg_logprob"].astype(float),
            "path": segments["path"],
            "start": segments["start"],
        }
    )
    order = keys.sort_values(list(keys), kind="stable").index
    return segments.loc[order].reset_index(drop=True)


def gather(
    corpus: str,
    segments: pd.DataFrame,
    recordings: pd.DataFrame,
    corrections: list[Correction],
    conflicts: list[Mapping[str, Any]],
    context_s: float,
) -> dict[str, Any]:
    """Data that `model.js` reads, without the waveforms.

    Args:
        corpus: its name.
        segments: the listed segments, in the order of the page.
        recordings: of the corpus.
        corrections: all lines of the user's file.
        conflicts: the lines of `tables/correct/conflicts.jsonl`.
        context_s: audio played before and after a segment.

    Returns:
        `recordings` (sha, path, item, seconds), `reasons` ([step, reason]) and `names` (distinct
        values of `NAMES`), to which the columns `segments` refer by position (-1: none), and
        `corrections`, each with the position of its segment (-1: not on the page).
    """
    used = recordings[recordings["status"] == "ok"].set_index("recording_id")
    shown = list(dict.fromkeys(segments["recording_id"]))
    number = {name: i for i, name in enumerate(shown)}
    dropped = segments["status"].eq("drop").fillna(False).astype(bool)
    rate = segments["rate_hz"].astype(float)
    columns: dict[str, list] = {
        "recording": segments["recording_id"].map(number).tolist(),
        "start_s": (segments["start"].astype(float) / rate).round(6).tolist(),
        "end_s": (segments["end"].astype(float) / rate).round(6).tolist(),
        "split": segments["split"].fillna("").tolist(),
        "dropped": dropped.astype(int).tolist(),
        "text": segments["text"].fillna("").tolist(),
    }
    for name in ("raw_text", "hypothesis"):  # only if it differs from the text
        other = segments[name].fillna("")
        columns[name] = other.mask(other == segments["text"].fillna(""), "").tolist()
    optional = {name: n for name, n in OPTIONAL.items() if segments[name].notna().any()}
    for name, digits in (NUMBERS | optional).items():
        values = segments[name].astype(float).round(digits)
        columns[name] = [value if math.isfinite(value) else None for value in values]
    reasons = list(zip(segments["step"].fillna(""), segments["reason"].fillna(""), strict=True))
    reasons = [pair if gone else None for pair, gone in zip(reasons, dropped, strict=True)]
    distinct = sorted(set(filter(None, reasons)))
    place = {pair: i for i, pair in enumerate(distinct)}
    columns["reason"] = [-1 if pair is None else place[pair] for pair in reasons]
    names = {name: sorted(set(segments[name].dropna())) for name in NAMES}
    for name in NAMES:
        place = {value: i for i, value in enumerate(names[name])}
        columns[name] = segments[name].map(place).fillna(-1).astype(int).tolist()
    return {
        "corpus": corpus,
        "context_s": context_s,
        "recordings": [_recording(used.loc[name]) for name in shown],
        "reasons": distinct,
        "names": names,
        "segments": columns,
        "corrections": correction_lines(segments, corrections, conflicts),
    }


def _recording(row: Mapping) -> dict[str, Any]:
    return {
        "sha": row["content_sha256"],
        "channel": None if pd.isna(row["channel"]) else int(row["channel"]),
        "path": row["path"],
        "item": row["item"],
        "seconds": round(float(row["n_samples"]) / float(row["rate_hz"]), 6),
    }


def correction_lines(
    segments: pd.DataFrame, corrections: list[Correction], conflicts: list[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The lines of the user's file, each with its segment on the page or the reason why not.

    A segment whose edges were moved by a line is listed with its new span.
    """
    moved = [
        c if c.new_start_s is None else replace(c, start_s=c.new_start_s, end_s=c.new_end_s)
        for c in corrections
    ]
    now, before = (match(segments, lines)[0].tolist() for lines in (moved, corrections))
    why = {row["line"]: row["why"] for row in conflicts}
    return [
        {"line": c.line, "raw": c.raw, "segment": a if a >= 0 else b, "why": why.get(c.line, "")}
        for c, a, b in zip(corrections, now, before, strict=True)
    ]


def read_conflicts(path: Path) -> list[dict[str, Any]]:
    """The corrections that the rule `correct` could not apply."""
    return read_jsonl(path)
