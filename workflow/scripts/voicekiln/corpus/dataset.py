"""The finished data set of one or several corpora, as training reads it."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from voicekiln import tables


def load(digests: Iterable[str]) -> pd.DataFrame:
    """The kept segments of these corpora (`tables.SEGMENTS`, and `corpus`, its name).

    A segment that two corpora share is taken from the first; one that validates in any corpus
    trains in none.
    """
    parts = []
    for digest in map(Path, digests):
        table = tables.read_checked(digest, "segments.parquet")
        table = table[table["status"] == "keep"].copy()
        table["corpus"] = digest.parent.name
        parts.append(table)
    whole = pd.concat(parts, ignore_index=True)
    validating = set(whole.loc[whole["split"] == "val", "audio_sha256"])
    leaks = (whole["split"] == "train") & whole["audio_sha256"].isin(validating)
    return whole[~leaks].drop_duplicates("segment_id", ignore_index=True)
