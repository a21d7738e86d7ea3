"""Choice of the reference clips that a voice imitates, one for each speaker and language.

Every training clip of a speaker gets a score from its measures. Each measure is mapped linearly to
0 ... 1 between two limits (`PARTS`), and so is the length, which is best in the family's range. One
bad measure lowers the score whatever the others are:

    score = sqrt(smallest part * weighted geometric mean of the parts)

Missing measures are left out. No part is below `FLOOR`, so that of two clips with the same worst
part the better one wins. Ties are broken by the length nearest to the best, then by the id.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from voicekiln.errors import UserError
from voicekiln.store.tables import missing

FLOOR = 0.01
EDGES_CUT = {"start": 1, "end": 1, "both": 2}  # by the column forced_cut
POOR = 0.5  # a score below this deserves a warning


class Range(NamedTuple):
    """Lengths of a reference clip, seconds; score 0 at `least`, `most`, 1 from `low` to `high`."""

    least: float
    low: float
    high: float
    most: float


class Part(NamedTuple):
    """One part of the score: 0 at `bad` and beyond, 1 at `good` and beyond, linear between."""

    bad: float
    good: float
    weight: float
    text: str  # the value, for people


# 3.4 kHz is the telephone's bandwidth; above 10 kHz more bandwidth is hardly audible in speech.
PARTS = {
    "confidence": Part(0.3, 1.0, 3, "confidence {:.2f}"),
    "cer": Part(0.3, 0.0, 2, "CER {:.2f}"),
    "snr_db": Part(10.0, 40.0, 3, "SNR {:.0f} dB"),
    "clipped_share": Part(0.01, 0.0, 2, "clipped fraction {:.3f}"),
    "silence_share": Part(0.6, 0.2, 1, "silence fraction {:.2f}"),
    "bandwidth_hz": Part(3400.0, 10000.0, 2, "bandwidth {:.0f} Hz"),
    "speaker_distance": Part(2.8, 1.2, 1, "distance from the speaker {:.1f}"),
    "pace": Part(1.0, 0.2, 1, "{:.2f} octaves from the speaker's pace"),
    "forced_cut": Part(2.0, 0.0, 1, "{:.0f} edges cut inside speech"),
    "length_s": Part(0.0, 1.0, 3, "length {:.1f} s"),
}


@dataclass(frozen=True)
class Reference:
    """A chosen reference clip.

    Attributes:
        row: its row of the data set.
        score: 0 ... 1.
        why: the reason for the choice, one clause.
        measures: its measures, by the names in `PARTS`.
        train_s: training audio of this speaker in this language.
    """

    row: pd.Series
    score: float
    why: str
    measures: dict[str, float]
    train_s: float

    @property
    def speaker(self) -> str:
        return self.row["speaker"]

    @property
    def language(self) -> str:
        return self.row["language"]

    def record(self) -> dict:
        """Its entry in choice.json."""
        return {
            "segment_id": self.row["segment_id"],
            "speaker": self.speaker,
            "language": self.language,
            "text": self.row["text"],
            "seconds": round(seconds(self.row), 3),
            "score": self.score,
            "why": self.why,
            "measures": self.measures,
            "train_s": self.train_s,
        }


def references(
    segments: pd.DataFrame, good_s: Range, pinned: str | Sequence[str] | None = None
) -> list[Reference]:
    """A reference clip for each speaker and language with training clips, most audio first.

    Args:
        segments: the data set (`corpus.dataset.load`).
        good_s: lengths that suit the family.
        pinned: ids of clips (`evaluate.reference`), each taken for its speaker and language; the
            first comes first, as the voice's main reference.

    Raises:
        UserError: nothing trains; a pinned id is not in the data set, is of a speaker and language
            that do not train, or is the second one for its speaker and language.
    """
    if not segments["split"].eq("train").any():
        raise UserError("the data set has no training segment, so there is no reference clip")
    rows = segments.assign(
        speaker=segments["speaker"].fillna(""), language=segments["language"].fillna("")
    )
    wanted = _pinned(rows, [pinned] if isinstance(pinned, str) else list(pinned or ()))
    # a pinned clip is compared with the speaker's training clips, even if it is held out itself
    everything = grade(rows, good_s, typical=rows["split"] == "train")
    graded = everything[everything["split"] == "train"]
    found = []
    for key, group in graded.groupby(["speaker", "language"], sort=True):
        train_s = round(float(group["length_s"].sum()), 3)
        if key in wanted:
            row = everything[everything["segment_id"] == wanted[key]].iloc[0]
            why = "evaluate.reference names it"
        else:
            row = best(group, good_s)
            n = len(group)
            why = f"best of {n} training clips" if n > 1 else "the only training clip"
        found.append(_reference(row, why, train_s))
    names = list(wanted)
    trained = {(one.speaker, one.language) for one in found}
    for speaker, language in names:
        if (speaker, language) not in trained:
            raise UserError(
                f"evaluate.reference: {wanted[speaker, language]} is of speaker {speaker} in "
                f"language {language}, who has no training clip; name a clip of another speaker"
            )
    voices = graded.groupby("speaker")["length_s"].sum()
    return sorted(
        found,
        key=lambda one: (
            names[:1] != [(one.speaker, one.language)],
            -voices[one.speaker],
            one.speaker,
            -one.train_s,
            one.language,
        ),
    )


def _pinned(rows: pd.DataFrame, ids: Sequence[str]) -> dict[tuple[str, str], str]:
    """The pinned ids by speaker and language, in their order."""
    wanted: dict[tuple[str, str], str] = {}
    for name in ids:
        match = rows[rows["segment_id"] == name]
        if match.empty:
            raise UserError(f"evaluate.reference: no kept segment has the id {name}")
        key = (match["speaker"].iloc[0], match["language"].iloc[0])
        if key in wanted:
            raise UserError(
                f"evaluate.reference: {wanted[key]} and {name} are both of speaker {key[0]} in "
                f"language {key[1]}; name one of them"
            )
        wanted[key] = name
    return wanted


def grade(rows: pd.DataFrame, good_s: Range, typical: pd.Series | None = None) -> pd.DataFrame:
    """`rows` with `length_s`, `pace`, `score`, and `part_<name>` for each of `PARTS`.

    Args:
        rows: clips of the data set.
        good_s: lengths that suit the family.
        typical: which rows the pace of a speaker is taken from, as booleans; None: all.
    """
    rows = rows.assign(length_s=_lengths(rows))
    rate = np.log2(rows["chars_per_s"].astype(float).where(rows["chars_per_s"] > 0))
    usual = rate if typical is None else rate.where(typical)
    rows["pace"] = (rate - usual.groupby(rows["speaker"]).transform("median")).abs()
    values = {name: rows[name] for name in PARTS if name not in ("length_s", "forced_cut")}
    values["forced_cut"] = rows["forced_cut"].map(EDGES_CUT).fillna(0)
    values["length_s"] = pd.Series(
        np.interp(rows["length_s"], good_s, (0, 1, 1, 0)), rows.index, float
    )
    parts = pd.DataFrame(
        {
            name: ((values[name].astype(float) - part.bad) / (part.good - part.bad)).clip(FLOOR, 1)
            for name, part in PARTS.items()
        }
    )
    weights = pd.Series({name: part.weight for name, part in PARTS.items()})
    there = parts.notna()
    logs = np.log(parts).fillna(0.0)
    mean = np.exp((logs * weights).sum(axis=1) / (there * weights).sum(axis=1))
    rows["score"] = np.sqrt(parts.min(axis=1) * mean).round(4)
    return rows.join(parts.add_prefix("part_"))


def best(graded: pd.DataFrame, good_s: Range) -> pd.Series:
    """The row with the best score; of equal ones by length, then by id."""
    middle_s = (good_s.low + good_s.high) / 2
    away = (graded["length_s"] - middle_s).abs().round(3)
    order = graded.assign(away=away).sort_values(
        ["score", "away", "segment_id"], ascending=[False, True, True]
    )
    return order.iloc[0]


def _reference(row: pd.Series, why: str, train_s: float) -> Reference:
    measured = {"forced_cut": EDGES_CUT.get(row["forced_cut"], 0)}
    for name in PARTS:
        if name not in measured and not missing(row[name]):
            measured[name] = round(float(row[name]), 4)
    shown = ("length_s", "confidence", "snr_db")
    worst = min(PARTS, key=lambda name: 1 if missing(row[f"part_{name}"]) else row[f"part_{name}"])
    if row[f"part_{worst}"] < 1 and worst not in shown:
        shown += (worst,)
    values = ", ".join(
        PARTS[name].text.format(measured[name]) for name in shown if name in measured
    )
    return Reference(row, float(row["score"]), f"{why}: {values}", measured, train_s)


def poor(chosen: Sequence[Reference]) -> list[str]:
    """A warning for each speaker whose best clip is a poor reference clip."""
    return [
        f"the reference clip of speaker {one.speaker} scores only {one.score:.2f} ({one.why}), and "
        "the voice copies its faults: record a cleaner sentence, or name a better clip with "
        "evaluate.reference"
        for one in chosen
        if one.score < POOR
    ]


def seconds(row: pd.Series) -> float:
    """Length of a segment in seconds."""
    return float((row["end"] - row["start"]) / row["rate_hz"])


def _lengths(rows: pd.DataFrame) -> pd.Series:
    return ((rows["end"] - rows["start"]) / rows["rate_hz"]).astype(float)


def stems(records: Sequence[Mapping]) -> list[str]:
    """A file name without suffix for each reference, distinct even if case is ignored.

    The speaker's name; further languages of a speaker have theirs behind it, as in `anna.de`.

    Args:
        records: `Reference.record` of each.
    """
    used: set[str] = set()
    names, speakers = [], set()
    for record in records:
        speaker, language = record["speaker"], record["language"]
        stem = re.sub(r"[^\w-]+", "_", speaker).strip("_") or "speaker"
        if speaker in speakers and language:
            stem += f".{re.sub(r'[^A-Za-z0-9-]+', '_', language)}"
        speakers.add(speaker)
        candidates = (stem, *(f"{stem}-{n}" for n in range(2, len(records) + 2)))
        names.append(next(name for name in candidates if name.casefold() not in used))
        used.add(names[-1].casefold())
    return names
