"""The finished data set of one or several corpora, as training reads it."""

import logging
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from voicekiln import tables
from voicekiln.errors import UserError
from voicekiln.text.clean import comparable
from voicekiln.text.minhash import near_matches

log = logging.getLogger("dataset")
LEAK_SIMILARITY = 0.8  # the default of split.leak_similarity


def load(digests: Iterable[str], train_on: str = "text") -> pd.DataFrame:
    """The kept segments of these corpora (`tables.SEGMENTS`, and `corpus`, its name).

    A segment that two corpora share is taken from the first. What validates in one corpus trains in
    none: segments of the others with the same audio, the same or nearly the same text, or a stretch
    of the same recording that overlaps, are left out.

    Args:
        digests: records of the corpora's tables.
        train_on: the column that becomes `text`: `text` or `romanized`.

    Raises:
        UserError: a segment has no such text.
    """
    parts = []
    for digest in map(Path, digests):
        table = tables.read_checked(digest, "segments.parquet")
        table = table[table["status"] == "keep"].copy()
        table["corpus"] = digest.parent.name
        table["text"] = table[train_on]
        without = table[table["text"].isna()]
        if len(without):
            languages = ", ".join(sorted(without["language"].fillna("unknown").unique()))
            raise UserError(
                f"corpus {digest.parent.name}: {len(without)} segments have no {train_on} text "
                f"({without['segment_id'].iloc[0]}, ...; languages: {languages}); drop them by a "
                f"correction, or set corpora.{digest.parent.name}.text.romanize: uroman"
            )
        parts.append(table)
    whole = pd.concat(parts, ignore_index=True)
    leaks = np.zeros(len(whole), bool)
    for corpus in whole["corpus"].unique() if len(parts) > 1 else []:
        mine = whole["corpus"].eq(corpus)
        train = np.flatnonzero(mine & whole["split"].eq("train"))
        leaks[train] = _seen(whole.iloc[train], whole[~mine & whole["split"].eq("val")])
    if leaks.any():
        log.info("%d training segments are validated in another corpus: left out", leaks.sum())
    return whole[~leaks].drop_duplicates("segment_id", ignore_index=True)


def _seen(train: pd.DataFrame, val: pd.DataFrame) -> np.ndarray:
    """`[len(train)]` bool: which segments share audio or text with one of `val`."""
    if train.empty or val.empty:
        return np.zeros(len(train), bool)
    said, texts = train["text"].map(comparable), val["text"].map(comparable)
    seen = train["audio_sha256"].isin(val["audio_sha256"]) | said.isin(texts)
    seen = seen.to_numpy(bool, copy=True)
    seen[list(near_matches(list(said), list(texts), LEAK_SIMILARITY))] = True
    places = ["recording_id", "rate_hz", "start", "end"]
    pairs = train[places].reset_index(drop=True).reset_index()
    pairs = pairs.merge(val[places], on=["recording_id", "rate_hz"], suffixes=("", "_val"))
    overlap = (pairs["start"] < pairs["end_val"]) & (pairs["start_val"] < pairs["end"])
    seen[pairs.loc[overlap, "index"]] = True
    return seen
