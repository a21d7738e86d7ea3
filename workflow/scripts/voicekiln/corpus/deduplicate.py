"""Duplicates among segments: equal audio, copies of a recording, equal text, nearly equal text."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from voicekiln.corpus.decisions import Decider
from voicekiln.search.fingerprints import Fingerprints, find_copies
from voicekiln.search.minhash import near_duplicates
from voicekiln.search.ragged import ranges
from voicekiln.text.clean import comparable

PAIRS = ["kind", "kept", "other", "similarity", "same_text", "dropped"]
# rank of duplicates, best first, and whether low is better; the last makes the order total
BY = {
    "marked": False,
    "held_out": False,
    "reference": False,
    "confidence": False,
    "clipped_share": True,
    "snr_db": False,
    "avg_logprob": False,
    "length": False,
    "segment_id": True,
}
UNKNOWN_CONFIDENCE = 0.5


@dataclass(frozen=True)
class DeduplicateSettings:
    """Section `deduplicate` of a corpus."""

    copy_distance: float  # fraction of fingerprint bits in which copies may differ; 0: no check
    takes_per_text: int  # segments with the same text and speaker that are kept; 0: any number
    near_similarity: float  # Jaccard similarity of 4-character shingles from which texts are listed
    drop_near: bool  # also drop near-duplicates of one speaker; else only list them


def deduplicate(
    table: pd.DataFrame,
    fingerprints: Fingerprints,
    settings: DeduplicateSettings,
    held_out: pd.Series,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The decisions about duplicates, and the pairs that were found.

    Of several duplicates the one marked `keep` by hand stays; then one that is held out for
    validation (otherwise an added, better duplicate would move it into training); then the best by
    `BY`: a reference or corrected text, confidence, the cleaner and the longer recording.

    Args:
        table: `tables.SEGMENTS`.
        fingerprints: of its rows, in order.
        settings: section `deduplicate`.
        held_out: mask of the rows that are held out for validation.

    Returns:
        `tables.DECISIONS`, and pairs with the columns `PAIRS`: segment ids, similarity (of copies
        1 - fraction of differing bits), whether both have the same text (if not, one of the texts
        is wrong), and whether `other` was dropped for it.
    """
    live = _ranked(table, held_out)
    found = [_same_audio(live)]
    live = live.drop(found[-1].index)
    found.append(_copies(live, fingerprints, settings.copy_distance))
    live = live.drop(found[-1].index)
    live = live[live["comparable"] != ""]
    found.append(_same_text(live, settings.takes_per_text))
    live = live.drop(found[-1].index)
    found.append(_near_text(live, settings.near_similarity, settings.drop_near))
    pairs = pd.concat(found)
    hit = pairs[pairs["dropped"]]
    measured = hit["similarity"].where(hit["limit"].notna())
    decided = Decider(table, "deduplicate")
    columns = (column.reindex(table.index) for column in (hit["kind"], measured, hit["limit"]))
    decided.drop(table.index.to_series().isin(hit.index), *columns)
    return decided.decisions(), _listed(pairs, table)


def _ranked(table: pd.DataFrame, held_out: pd.Series) -> pd.DataFrame:
    """The kept segments, best first, with the columns that are compared."""
    kept = table[table["status"] == "keep"]
    live = pd.DataFrame(
        {
            "row": np.flatnonzero(table["status"] == "keep"),
            "segment_id": kept["segment_id"].astype(object),
            "speaker": kept["speaker"].astype(object).fillna(""),
            "audio_sha256": kept["audio_sha256"].astype(object),
            "comparable": [comparable(t) if isinstance(t, str) else "" for t in kept["text"]],
            "marked": kept["marked"].eq("keep").fillna(False).astype(bool),
            "held_out": held_out[kept.index],
            "reference": kept["text_source"].isin(["reference", "corrected"]).astype(bool),
            "confidence": kept["confidence"].astype(float).fillna(UNKNOWN_CONFIDENCE),
            "clipped_share": kept["clipped_share"].astype(float).fillna(0.0),
            "snr_db": kept["snr_db"].astype(float).fillna(0.0),
            "avg_logprob": kept["avg_logprob"].astype(float).fillna(0.0).round(6),
            "length": (kept["end"] - kept["start"]).astype("int64"),
        },
        index=kept.index,
    )
    return live.sort_values(list(BY), ascending=list(BY.values()))


def _pairs(live, other, kept, kind, similarity=1.0, dropped=True, limit=np.nan):
    """Rows of pairs, by the index of the duplicate; `other` and `kept` are positions in `live`."""
    others, keepers = live.iloc[other], live.iloc[kept]
    return pd.DataFrame(
        {
            "kind": kind,
            "kept": keepers["segment_id"].to_numpy(),
            "other": others["segment_id"].to_numpy(),
            "similarity": similarity,
            "same_text": (others["comparable"].to_numpy() == keepers["comparable"].to_numpy()),
            "dropped": dropped,
            "limit": limit,
        },
        index=others.index,
    )


def _same_audio(live):
    place = pd.Series(np.arange(len(live)), live.index)
    first = place.groupby(live["audio_sha256"], sort=False).transform("first")
    again = (first != place).to_numpy()
    return _pairs(live, place[again], first[again], "same audio")


def _copies(live, fingerprints, max_distance):
    """Segments that are copies of one that stays, by fingerprint."""
    rows = live["row"].to_numpy()
    measured = np.flatnonzero(fingerprints.counts[rows] if max_distance else [])
    i, j, distance, _ = find_copies(fingerprints[rows[measured]], max_distance)
    leader, highest = _settled(len(measured), i, j, 1 - distance)
    again = np.flatnonzero(leader >= 0)
    return _pairs(
        live,
        measured[again],
        measured[leader[again]],
        "copy of a recording",
        highest[again].round(4),
        limit=round(1 - max_distance, 4),
    )


def _settled(n, i, j, similarity):
    """For each segment the better one it duplicates, among those that stay; -1 if it stays.

    Args:
        i, j: pairs of ranks, i < j.
    """
    leader, highest = np.full(n, -1), np.zeros(n)
    order = np.lexsort((i, j))
    for a, b, value in zip(i[order], j[order], similarity[order], strict=True):
        if leader[a] < 0 and (leader[b] < 0 or value > highest[b]):
            leader[b], highest[b] = a, value
    return leader, highest


def _same_text(live, takes):
    place = pd.Series(np.arange(len(live)), live.index)
    same = place.groupby([live["speaker"], live["comparable"]], sort=False)
    again = (same.cumcount() >= takes).to_numpy() & bool(takes)
    return _pairs(live, place[again], same.transform("first")[again], "same text")


def _near_text(live, threshold, drop):
    """Near-duplicate texts of a speaker, with all their takes."""
    found = [(np.empty(0, int), np.empty(0, int), np.empty(0))]
    for _, rows in sorted(live.groupby("speaker").indices.items()):
        takes, texts = pd.factorize(live["comparable"].to_numpy()[rows])
        linked = near_duplicates(texts, threshold)
        if not linked:
            continue
        i, j, share = (np.array(column) for column in zip(*linked, strict=True))
        rows, counts = rows[np.argsort(takes, kind="stable")], np.bincount(takes)
        firsts = np.cumsum(counts) - counts
        others = rows[ranges(firsts[j], counts[j])]
        found.append((others, *(np.repeat(x, counts[j]) for x in (rows[firsts[i]], share))))
    others, kept, shares = (np.concatenate(column) for column in zip(*found, strict=True))
    return _pairs(live, others, kept, "near-duplicate text", shares.round(4), drop, threshold)


def _listed(pairs, table):
    """The pairs in the order of the segments, with the columns that are written."""
    order = pd.Series(np.arange(len(table)), table["segment_id"].astype(object))
    pairs = pairs.assign(at=order[pairs["other"]].to_numpy())
    return pairs.sort_values(["at", "kind"])[PAIRS].reset_index(drop=True)
