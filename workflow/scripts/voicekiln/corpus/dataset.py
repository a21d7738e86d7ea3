"""The data set of one or several corpora, as training reads it."""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from voicekiln.corpus.fingerprints import of_segments
from voicekiln.corpus.split import leaks, prove
from voicekiln.errors import UserError
from voicekiln.search.fingerprints import Fingerprints
from voicekiln.store import tables
from voicekiln.store.files import read_json

log = logging.getLogger("dataset")
ACOUSTICS = Path("tables", "correct", "DIGEST.json")  # beside a corpus's own record


def load(digests: Iterable[str], train_on: str = "text") -> pd.DataFrame:
    """The kept segments of these corpora (`join`)."""
    return join(digests, train_on)[0]


def join(digests: Iterable[str], train_on: str = "text") -> tuple[pd.DataFrame, dict]:
    """The kept segments of these corpora (`tables.SEGMENTS`, and `corpus`, its name).

    A segment that two corpora share is taken from the first. A training segment is left out if it
    shares audio, a stretch of a recording, or the same or nearly the same text with the validation
    set of any of the corpora. If their `split.leak_similarity` and `leak_distance` differ, the
    stricter ones apply.

    Args:
        digests: records of the corpora's tables.
        train_on: the column that becomes `text`: `text` or `romanized`.

    Returns:
        the table; and the proof: counts of what is still shared, the segments left out of each
        corpus, and the limits.

    Raises:
        UserError: a segment has no such text, or something is still shared.
    """
    digests = [Path(digest) for digest in digests]
    parts = [_kept(digest, train_on) for digest in digests]
    whole = pd.concat(parts, ignore_index=True)
    proof = {"corpora": [digest.parent.name for digest in digests]}
    if len(parts) > 1:
        whole, left_out = _without_leaks(whole, digests)
        proof |= left_out
    return whole.drop_duplicates("segment_id", ignore_index=True), proof


def of_recordings(digest: str | Path, wanted: Callable[[str], bool]) -> pd.DataFrame:
    """The kept segments of some recordings of a corpus, as `load` returns them.

    Only these rows are read, so a job needs memory for its shard alone. (The table has no column
    for the shard, because it is the same for any number of shards.)

    Args:
        digest: record of the corpus's tables.
        wanted: whether the segments of a recording are wanted, by its path.
    """
    digest = Path(digest)
    paths = tables.read_columns(digest, "segments.parquet", ["path"])["path"].unique().to_pylist()
    mine = [path for path in paths if wanted(path)]
    rows = pc.field("path").isin(pa.array(mine, pa.string())) & (pc.field("status") == "keep")
    return _kept(digest, "text", rows).drop_duplicates("segment_id", ignore_index=True)


def _kept(digest, train_on, rows=None):
    rows = pc.field("status") == "keep" if rows is None else rows
    table = tables.read_checked(digest, "segments.parquet", rows).copy()
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
    return table


def _without_leaks(whole: pd.DataFrame, digests: list[Path]) -> tuple[pd.DataFrame, dict]:
    """`whole` without the training segments that leak into any validation set, and the proof."""
    limits = strictest(digests)
    fingerprints = _fingerprints(whole, digests)
    train = whole["split"] == "train"
    left_out = train & _same_audio(whole)
    # leaving rows out makes patterns rare that were too common to be looked up, so search again
    while True:
        here = np.flatnonzero(~left_out)
        rest = whole.iloc[here]
        found = leaks(rest, fingerprints[here], limits)
        if found.empty:
            break
        left_out[found.index] = True
    counts = whole.loc[left_out, "corpus"].value_counts().sort_index()
    for corpus, n in counts.items():
        log.info("%d training segments of %s leak into another validation set: left out", n, corpus)
    names = rest["recording_id"].astype(str) + rest["start"].astype(str)  # groups are per corpus
    proof = prove(rest, names, fingerprints[here], limits) | {
        "shared_audio": int(_same_audio(rest).sum()),
        "rows_dropped": {name: int(counts.get(name, 0)) for name in whole["corpus"].unique()},
        "limits": vars(limits),
    }
    del proof["shared_groups"]
    shared = {name: n for name, n in proof.items() if name.startswith("shared") and n}
    if shared:
        raise UserError(
            f"corpora {', '.join(counts.index)}: training and validation still overlap after "
            f"segments were left out ({shared}); please report this bug"
        )
    return rest, proof


def strictest(digests: list[Path]) -> SimpleNamespace:
    """The strictest `leak_similarity` and `leak_distance` of these corpora."""
    each = [read_json(digest.parent / "leaks.json")["limits"] for digest in digests]
    return SimpleNamespace(
        leak_similarity=min(limits["leak_similarity"] for limits in each),
        leak_distance=max(limits["leak_distance"] for limits in each),
    )


def _fingerprints(whole: pd.DataFrame, digests: list[Path]) -> Fingerprints:
    columns = ["segment_id", "fingerprint"]
    read = [
        tables.read_columns(digest.parent / ACOUSTICS, "acoustics.parquet", columns)
        for digest in digests
    ]
    held = pa.concat_tables(read)
    return of_segments(whole, held.filter(pa.array(~held["segment_id"].to_pandas().duplicated())))


def _same_audio(whole: pd.DataFrame) -> pd.Series:
    """Mask of the training segments that equal or overlap a validation segment."""
    train, val = whole[whole["split"] == "train"], whole[whole["split"] == "val"]
    places = ["recording_id", "rate_hz", "start", "end"]
    pairs = train[places].reset_index()
    pairs = pairs.merge(val[places], on=["recording_id", "rate_hz"], suffixes=("", "_val"))
    overlap = (pairs["start"] < pairs["end_val"]) & (pairs["start_val"] < pairs["end"])
    seen = whole["audio_sha256"].isin(val["audio_sha256"]) & (whole["split"] == "train")
    seen |= whole.index.isin(pairs.loc[overlap, "index"])
    return seen.astype(bool)
