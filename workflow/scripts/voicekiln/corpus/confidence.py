"""Confidence in a transcript: one number from all its scores.

Each score is mapped linearly to 0 ... 1 between two limits (`PARTS`). A recogniser's own scores
miss its confident errors: loops, hallucinated credits, another language. One bad part must
therefore lower the result whatever the others are, and several doubtful ones must add up:

    confidence = sqrt(smallest part * weighted geometric mean of the parts)

A missing part is left out and the others weigh more. A reference text is judged by its distance
from the hypothesis, if there is one, by its alignment and by its pace, because the recogniser's
scores are those of the hypothesis. The confidence in a text corrected by hand is 1.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from voicekiln.text import lists
from voicekiln.text.clean import comparable, letters
from voicekiln.text.distance import character_error_rate

HALLUCINATIONS = Path(__file__).parents[1] / "text" / "hallucinations.tsv"
MIN_PACED = 20  # texts of a language, from which its median pace is known
MAX_LOOP_WORDS, MAX_LOOP_CHARACTERS = 12, 10
TIMES_OF_WORDS, TIMES_OF_CHARACTERS = 3, 5  # repeats that nobody speaks
LONG_WORDS = 4  # a phrase of so many words is a loop from the second time


class Part(NamedTuple):
    """One part: 0 at `bad` and beyond, 1 at `good` and beyond, linear between."""

    bad: float
    good: float
    weight: float


# Whisper itself gives up on a text at avg_logprob -1, compression_ratio 2.4, no_speech_prob 0.6.
# For scores without a natural limit `good` is the best value, so that good texts are ranked, too.
PARTS = {
    "avg_logprob": Part(-1.5, 0.0, 2),
    "compression_ratio": Part(3.0, 1.8, 1),
    "no_speech_prob": Part(0.9, 0.0, 1),
    "language_prob": Part(0.2, 1.0, 1),
    "repetition": Part(0.5, 0.0, 2),
    "hallucination": Part(1.0, 0.0, 2),
    "agreement": Part(0.5, 1.0, 3),
    "cer": Part(0.6, 0.0, 3),
    "acoustic_score": Part(-4.0, 0.0, 3),
    "pace": Part(float(np.log2(3)), float(np.log2(1.5)), 1),  # |octaves| from the usual pace
}
OF_REFERENCE_TEXTS = ("cer", "acoustic_score", "pace")
OF_HYPOTHESES = tuple(name for name in PARTS if name != "cer")


def repetition(text: str) -> float:
    """Fraction of `text` that repeats what stands right before it, as in the loop of a recogniser.

    A loop is a run of up to 12 words that occurs three times in a row or more (twice, from four
    words on), or a run of up to 10 characters that occurs five times or more; its first occurrence
    is not counted.
    """
    words = comparable(text).split()
    characters = "".join(words)
    return max(
        _looped(words, MAX_LOOP_WORDS, lambda n: 2 if n >= LONG_WORDS else TIMES_OF_WORDS),
        _looped(characters, MAX_LOOP_CHARACTERS, lambda n: TIMES_OF_CHARACTERS),
    )


def _looped(units: Sequence[str], max_length: int, times) -> float:
    """Fraction of `units` in loops; a run repeated `times(length)` times is a loop."""
    again = [False] * len(units)
    for n in range(1, min(max_length, len(units) // 2) + 1):
        same = 0  # units up to here that equal the one n before
        for i in range(n, len(units)):
            same = same + 1 if units[i] == units[i - n] else 0
            enough = n * (times(n) - 1)
            if same >= enough:
                first = i if same > enough else i - same + 1
                again[first : i + 1] = [True] * (i + 1 - first)
    return round(sum(again) / len(units), 4) if units else 0.0


@cache
def _hallucinations() -> tuple[frozenset[str], tuple[str, ...]]:
    """Known hallucinations, whole texts and prefixes, as letters."""
    rows = lists.rows(HALLUCINATIONS)
    whole, prefixes = (
        [letters(row["text"]) for row in rows if row["match"] == kind]
        for kind in ("whole", "prefix")
    )
    return frozenset(whole), tuple(prefixes)


def hallucination(text: str) -> float:
    """1 if `text` is, or starts with, a known ASR hallucination, else 0.

    Hallucinations of every language count, because subtitle credits occur in recordings of any.
    A whole text may occur several times in a row.
    """
    whole, prefixes = _hallucinations()
    said = letters(text)
    often = any(said == t * (len(said) // len(t)) for t in whole if said.startswith(t))
    return float(often or said.startswith(prefixes))


def inspect(table: pd.DataFrame) -> pd.DataFrame:
    """`table` (`tables.SEGMENTS`) with scores of the texts alone: `repetition` and `hallucination`
    of hypotheses, `cer` of reference texts that have a hypothesis."""
    table = table.copy()
    recognised = table["text"].notna() & (table["text_source"] != "reference").fillna(True)
    for name, measure in (("repetition", repetition), ("hallucination", hallucination)):
        table[name] = table["text"].where(recognised).map(measure, na_action="ignore").astype(float)
    both = table["hypothesis"].notna() & (table["text_source"] == "reference").fillna(False)
    pairs = table.loc[both, ["text", "hypothesis"]].itertuples(index=False)
    table["cer"] = pd.Series(
        [character_error_rate(*pair) for pair in pairs], table.index[both], float
    )
    return table


def score(table: pd.DataFrame) -> pd.DataFrame:
    """`table` (`tables.SEGMENTS`) with `chars_per_s` and `confidence`.

    The usual pace of a language is the median of its kept segments, unknown for fewer than 20.
    `confidence` is null if a text has no scores.
    """
    table = table.copy()
    n_chars = table["text"].map(lambda text: len(letters(text)), na_action="ignore").astype(float)
    seconds = (table["end"] - table["start"]).astype(float) / table["rate_hz"].astype(float)
    rate = (n_chars / seconds).where(n_chars > 0)
    table["chars_per_s"] = rate.round(3)
    kept = rate[table["status"] == "keep"].groupby(table["language"])
    usual = kept.median()[kept.count() >= MIN_PACED]
    pace = np.log2(rate / table["language"].map(usual).astype(float)).abs()
    values = {name: table[name] if name in table else pace for name in PARTS}
    parts = pd.DataFrame({name: _part(values[name], PARTS[name]) for name in PARTS})
    source = table["text_source"]
    confidence = _combined(parts[list(OF_HYPOTHESES)])
    reference = source == "reference"
    confidence = confidence.mask(
        reference.fillna(False), _combined(parts[list(OF_REFERENCE_TEXTS)])
    )
    confidence = confidence.mask((source == "corrected").fillna(False), 1.0)
    table["confidence"] = confidence.where(table["text"].notna()).round(3)
    return table


def _part(values: pd.Series, part: Part) -> pd.Series:
    """`values` mapped to 0 ... 1; missing ones stay missing."""
    return ((values.astype(float) - part.bad) / (part.good - part.bad)).clip(0, 1)


def _combined(parts: pd.DataFrame) -> pd.Series:
    """The formula of the module's docstring; missing if every part is."""
    weights = pd.Series({name: PARTS[name].weight for name in parts})
    there = parts.notna()
    with np.errstate(divide="ignore"):
        logs = np.log(parts).where(there, 0.0)
    mean = np.exp((logs * weights).sum(axis=1) / (there * weights).sum(axis=1))
    return np.sqrt(parts.min(axis=1) * mean)
