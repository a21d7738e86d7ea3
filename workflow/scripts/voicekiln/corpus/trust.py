"""How far a transcript can be trusted: one number from everything that is known of it.

Each part is brought to 0 ... 1 by a straight line between two limits (`PARTS`). The recogniser's
own scores miss what it does wrong with full confidence: loops, invented credits, another language.
So one bad part has to tell, whatever the others say, and several doubtful ones have to add up:

    trust = sqrt(smallest part * weighted geometric mean of the parts)

A part that is missing is left out and the weights of the others count for more. A text that was
given is judged by what was heard instead, if anything, by its alignment and by its pace; the
recogniser's scores are of its own text, not of that one. A text corrected by hand is trusted.
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

INVENTED = Path(__file__).parents[1] / "text" / "invented.tsv"
MIN_PACED = 20  # texts of a language, from which its usual pace is known
MAX_LOOP_WORDS, MAX_LOOP_CHARACTERS = 12, 10
TIMES_OF_WORDS, TIMES_OF_CHARACTERS = 3, 5  # so often is no manner of speaking
LONG_WORDS = 4  # a phrase of this many words is not said twice in a row either


class Part(NamedTuple):
    """One part of the score: 0 at `bad` and beyond, 1 at `good` and beyond, straight between."""

    bad: float
    good: float
    weight: float


# Whisper itself gives up on a text at avg_logprob -1, compression_ratio 2.4, no_speech_prob 0.6.
# Where better is always better, `good` is the best there is: trust ranks the good ones too.
PARTS = {
    "avg_logprob": Part(-1.5, 0.0, 2),
    "compression_ratio": Part(3.0, 1.8, 1),
    "no_speech_prob": Part(0.9, 0.0, 1),
    "language_prob": Part(0.2, 1.0, 1),
    "repetition": Part(0.5, 0.0, 2),
    "invented": Part(1.0, 0.0, 2),
    "agreement": Part(0.5, 1.0, 3),
    "cer": Part(0.6, 0.0, 3),
    "acoustic_score": Part(-4.0, 0.0, 3),
    "pace": Part(float(np.log2(3)), float(np.log2(1.5)), 1),  # |octaves| from the usual pace
}
OF_GIVEN_TEXTS = ("cer", "acoustic_score", "pace")
OF_RECOGNISED_TEXTS = tuple(name for name in PARTS if name != "cer")


def repetition(text: str) -> float:
    """Share of `text` that says again what stands right before it, as recognisers in a loop do.

    Counted are runs of up to 12 words that follow each other three times or more (twice, from four
    words on), and runs of up to 10 characters that do five times or more; the first time is not
    counted.
    """
    words = comparable(text).split()
    characters = "".join(words)
    return max(
        _looped(words, MAX_LOOP_WORDS, lambda n: 2 if n >= LONG_WORDS else TIMES_OF_WORDS),
        _looped(characters, MAX_LOOP_CHARACTERS, lambda n: TIMES_OF_CHARACTERS),
    )


def _looped(units: Sequence[str], max_length: int, times) -> float:
    """Share of `units` in repeats of a run; `times(length)` is how often makes a loop."""
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
def _invented() -> tuple[frozenset[str], tuple[str, ...]]:
    """Texts, and beginnings of texts, that recognisers invent; as `letters` gives them."""
    rows = lists.rows(INVENTED)
    whole, prefixes = (
        [letters(row["text"]) for row in rows if row["match"] == kind]
        for kind in ("whole", "prefix")
    )
    return frozenset(whole), tuple(prefixes)


def invented(text: str) -> float:
    """1 where `text` is, or begins as, one that recognisers are known to invent from silence.

    Of every language: credits of subtitles come up in recordings of any. A whole text may be said
    several times over.
    """
    whole, prefixes = _invented()
    said = letters(text)
    often = any(said == t * (len(said) // len(t)) for t in whole if said.startswith(t))
    return float(often or said.startswith(prefixes))


def inspect(table: pd.DataFrame) -> pd.DataFrame:
    """`table` (`tables.SEGMENTS`) with what can be told from the texts alone: `repetition` and
    `invented` of recognised ones, `cer` of given ones that were listened to."""
    table = table.copy()
    recognised = table["text"].notna() & (table["text_source"] != "known").fillna(True)
    for name, measure in (("repetition", repetition), ("invented", invented)):
        table[name] = table["text"].where(recognised).map(measure, na_action="ignore").astype(float)
    heard = table["heard"].notna() & (table["text_source"] == "known").fillna(False)
    pairs = table.loc[heard, ["text", "heard"]].itertuples(index=False)
    table["cer"] = pd.Series(
        [character_error_rate(text, said) for text, said in pairs], table.index[heard], float
    )
    return table


def score(table: pd.DataFrame) -> pd.DataFrame:
    """`table` (`tables.SEGMENTS`) with `chars_per_s` and `trust`.

    A language's usual pace is the median of its kept segments, unknown below 20 of them. `trust` is
    null where nothing is known of a text.
    """
    table = table.copy()
    said = table["text"].map(lambda text: len(letters(text)), na_action="ignore").astype(float)
    seconds = (table["end"] - table["start"]).astype(float) / table["rate_hz"].astype(float)
    rate = (said / seconds).where(said > 0)
    table["chars_per_s"] = rate.round(3)
    kept = rate[table["status"] == "keep"].groupby(table["language"])
    usual = kept.median()[kept.count() >= MIN_PACED]
    pace = np.log2(rate / table["language"].map(usual).astype(float)).abs()
    values = {name: table[name] if name in table else pace for name in PARTS}
    parts = pd.DataFrame({name: _part(values[name], PARTS[name]) for name in PARTS})
    source = table["text_source"]
    trust = _combined(parts[list(OF_RECOGNISED_TEXTS)])
    given = source == "known"
    trust = trust.mask(given.fillna(False), _combined(parts[list(OF_GIVEN_TEXTS)]))
    trust = trust.mask((source == "corrected").fillna(False), 1.0)
    table["trust"] = trust.where(table["text"].notna()).round(3)
    return table


def _part(values: pd.Series, part: Part) -> pd.Series:
    """`values` on the part's line; missing ones stay missing."""
    return ((values.astype(float) - part.bad) / (part.good - part.bad)).clip(0, 1)


def _combined(parts: pd.DataFrame) -> pd.Series:
    """The formula of the module's docstring; missing where every part is."""
    weights = pd.Series({name: PARTS[name].weight for name in parts})
    there = parts.notna()
    with np.errstate(divide="ignore"):
        logs = np.log(parts).where(there, 0.0)
    mean = np.exp((logs * weights).sum(axis=1) / (there * weights).sum(axis=1))
    return np.sqrt(parts.min(axis=1) * mean)
