"""The finished data set of one or several corpora, as training reads it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from voicekiln import tables
from voicekiln.errors import UserError


def load(digests: Iterable[str], train_on: str = "text") -> pd.DataFrame:
    """The kept segments of these corpora (`tables.SEGMENTS`, and `corpus`, its name).

    A segment that two corpora share is taken from the first; one that validates in any corpus
    trains in none.

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
    validating = set(whole.loc[whole["split"] == "val", "audio_sha256"])
    leaks = (whole["split"] == "train") & whole["audio_sha256"].isin(validating)
    return whole[~leaks].drop_duplicates("segment_id", ignore_index=True)
