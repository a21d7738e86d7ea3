"""Acoustic fingerprints of a corpus's segments, read from their table."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from voicekiln.search.fingerprints import Fingerprints
from voicekiln.search.ragged import portions, ranges

PORTION = 1 << 22  # frames of fingerprints that are unpacked at a time


def of_segments(segments: pd.DataFrame, acoustics: pa.Table) -> Fingerprints:
    """The fingerprints of the segments, in their order.

    Args:
        segments: `tables.SEGMENTS`.
        acoustics: `segment_id` and `fingerprint` of `tables.ACOUSTICS`.
    """
    column = acoustics["fingerprint"]
    counts = pc.binary_length(column).fill_null(0).to_numpy().astype(np.int64) // 4
    held = Fingerprints.empty(counts)
    for some in portions(counts, PORTION):
        parts = column.slice(some.start, some.stop - some.start).to_pylist()
        frames = np.frombuffer(b"".join(part for part in parts if part), "<u4")
        held.bits[ranges(held.starts[some], counts[some])] = frames
    names = pd.Index(acoustics["segment_id"].to_numpy())
    where = names.get_indexer(segments["segment_id"].astype(object))
    found = held[where]
    found.counts[where < 0] = 0
    return found
