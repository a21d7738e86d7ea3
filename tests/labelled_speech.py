"""Recordings whose speech is labelled, and how well what was found agrees with the labels."""

import csv
from pathlib import Path

import numpy as np

SUFFIXES = (".segments.tsv", ".regions.tsv")


def labels(recording: Path) -> list[tuple[float, float]]:
    """Start and end of each labelled stretch of speech, seconds; none where there are no labels."""
    takes = []
    for suffix in SUFFIXES:
        file = recording.with_name(recording.stem + suffix)
        if file.exists():
            with open(file, newline="") as lines:
                rows = list(csv.DictReader(lines, delimiter="\t"))
            takes += [
                (float(row["start_s"]), float(row["end_s"]))
                for row in rows
                if row["label"] == "speech"
            ]
    return takes


def flags(spans_s, duration_s: float) -> np.ndarray:
    """`[n_frames]` bool of 10 ms frames that lie in one of the spans."""
    found = np.zeros(int(100 * duration_s) + 1, bool)
    for start_s, end_s in spans_s:
        found[round(100 * start_s) : round(100 * end_s)] = True
    return found


def frame_scores(found: np.ndarray, takes) -> tuple[float, float]:
    """F1 and share of missed speech over 10 ms frames; a pause inside a take counts neither way."""
    labelled, counted = np.zeros(len(found), bool), np.ones(len(found), bool)
    for start_s, end_s in takes:
        take = slice(round(start_s * 100), round(end_s * 100))
        labelled[take] = True
        hits = np.flatnonzero(found[take])
        if len(hits):
            inner = slice(take.start + hits[0], take.start + hits[-1] + 1)
            counted[inner] = found[inner]
    hits = np.sum(found & labelled & counted)
    missed, wrong = np.sum(~found & labelled & counted), np.sum(found & ~labelled)
    return float(2 * hits / (2 * hits + missed + wrong)), float(missed / labelled.sum())


def boundary_errors_s(spans_s, takes) -> np.ndarray:
    """`[2 * n_takes]` distance of the first and last speech heard in a take from its labels; a take
    that is missed has its own length twice."""
    spans_s = np.asarray(spans_s, dtype=float).reshape(-1, 2)
    errors_s = []
    for start, end in takes:
        inside = spans_s[(spans_s[:, 0] < end) & (spans_s[:, 1] > start)]
        if len(inside):
            errors_s += [abs(inside[0, 0] - start), abs(inside[-1, 1] - end)]
        else:
            errors_s += [end - start] * 2
    return np.array(errors_s)
