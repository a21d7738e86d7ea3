"""Duplicates among segments: equal audio, copies of a recording, equal text, nearly equal text."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from voicekiln.corpus.decisions import Decider
from voicekiln.search.fingerprints import Prints, copies
from voicekiln.search.minhash import near_leaders
from voicekiln.search.ragged import ranges
from voicekiln.text.clean import comparable

PAIRS = ["kind", "kept", "other", "similarity", "same_text", "dropped"]
# by what the most trustworthy of several is chosen; the last one makes the order total
BY = {
    "marked": False,
    "validates": False,
    "given": False,
    "trust": False,
    "clipped_share": True,
    "snr_db": False,
    "avg_logprob": False,
    "length": False,
    "segment_id": True,
}
UNKNOWN_TRUST = 0.5


@dataclass(frozen=True)
class DeduplicateSettings:
    """Section `deduplicate` of a corpus."""

    copy_distance: float  # share of the fingerprint's bits by which copies may differ; 0: no check
    takes_per_text: int  # segments of one speaker that may say the same text; 0: any number
    near_similarity: float  # Jaccard of 4-character shingles from which two texts are listed
    drop_near: bool  # drop near duplicates of one speaker too, or only list them


def deduplicate(
    table: pd.DataFrame, prints: Prints, settings: DeduplicateSettings, validating: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The decisions about duplicates, and the pairs that were found.

    Of several the one stays that is marked to be kept by hand, then one that validates (else a
    better one would take it into training), then the most trustworthy: with a given or corrected
    text, by trust, and then the cleaner and the longer recording (`BY`).

    Args:
        table: `tables.SEGMENTS`.
        prints: of its rows, in their order.
        settings: section `deduplicate`.
        validating: whether each row is of a group that validates.

    Returns:
        `tables.DECISIONS`, and pairs with the columns `PAIRS`: segment ids, similarity (of copies
        1 - fraction of differing bits), whether both have the same text (if not, one of the texts
        is wrong), and whether `other` was dropped for it.
    """
    live = _ranked(table, validating)
    found = [_same_audio(live)]
    live = live.drop(found[-1].index)
    found.append(_copies(live, prints, settings.copy_distance))
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


def _ranked(table: pd.DataFrame, validating: pd.Series) -> pd.DataFrame:
    """The segments still kept, the most trustworthy first, with what is compared."""
    kept = table[table["status"] == "keep"]
    live = pd.DataFrame(
        {
            "row": np.flatnonzero(table["status"] == "keep"),
            "segment_id": kept["segment_id"].astype(object),
            "speaker": kept["speaker"].astype(object).fillna(""),
            "audio_sha256": kept["audio_sha256"].astype(object),
            "comparable": [comparable(t) if isinstance(t, str) else "" for t in kept["text"]],
            "marked": kept["marked"].eq("keep").fillna(False).astype(bool),
            "validates": validating[kept.index],
            "given": kept["text_source"].isin(["known", "corrected"]).astype(bool),
            "trust": kept["trust"].astype(float).fillna(UNKNOWN_TRUST),
            "clipped_share": kept["clipped_share"].astype(float).fillna(0.0),
            "snr_db": kept["snr_db"].astype(float).fillna(0.0),
            "avg_logprob": kept["avg_logprob"].astype(float).fillna(0.0).round(6),
            "length": (kept["end"] - kept["start"]).astype("int64"),
        },
        index=kept.index,
    )
    return live.sort_values(list(BY), ascending=list(BY.values()))


def _pairs(live, other, kept, kind, similarity=1.0, dropped=True, limit=np.nan):
    """Rows of pairs, by the index of the segment that repeats: positions in `live` to names."""
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


def _copies(live, prints, max_distance):
    """Segments that hold the recording of one that stays, by their fingerprints."""
    rows = live["row"].to_numpy()
    known = np.flatnonzero(prints.counts[rows] if max_distance else [])
    i, j, distance, _ = copies(prints[rows[known]], max_distance)
    leader, share = _settled(len(known), i, j, 1 - distance)
    again = np.flatnonzero(leader >= 0)
    return _pairs(
        live,
        known[again],
        known[leader[again]],
        "copy of a recording",
        share[again].round(4),
        limit=round(1 - max_distance, 4),
    )


def _settled(n, i, j, similarity):
    """Of pairs i < j by rank: the one that each repeats of those that stay (-1: it stays)."""
    leader, share = np.full(n, -1), np.zeros(n)
    order = np.lexsort((i, j))
    for a, b, value in zip(i[order], j[order], similarity[order], strict=True):
        if leader[a] < 0 and (leader[b] < 0 or value > share[b]):
            leader[b], share[b] = a, value
    return leader, share


def _same_text(live, takes):
    place = pd.Series(np.arange(len(live)), live.index)
    same = place.groupby([live["speaker"], live["comparable"]], sort=False)
    again = (same.cumcount() >= takes).to_numpy() & bool(takes)
    return _pairs(live, place[again], same.transform("first")[again], "same text")


def _near_text(live, threshold, drop):
    """Texts of a speaker that nearly repeat one that stays, with all their takes."""
    found = [(np.empty(0, int), np.empty(0, int), np.empty(0))]
    for _, rows in sorted(live.groupby("speaker").indices.items()):
        takes, texts = pd.factorize(live["comparable"].to_numpy()[rows])
        linked = near_leaders(texts, threshold)
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
    """The pairs as they are written, in the order of the segments."""
    order = pd.Series(np.arange(len(table)), table["segment_id"].astype(object))
    pairs = pairs.assign(at=order[pairs["other"]].to_numpy())
    return pairs.sort_values(["at", "kind"])[PAIRS].reset_index(drop=True)
