"""Duplicates among segments: equal audio, equal text, nearly equal text."""

from dataclasses import dataclass

import pandas as pd

from voicekiln.text.clean import comparable
from voicekiln.text.minhash import near_pairs

PAIRS = ["kind", "kept", "other", "similarity", "dropped"]


@dataclass(frozen=True)
class DeduplicateSettings:
    """Section `deduplicate` of a corpus."""

    takes_per_text: int  # segments of one speaker that may say the same text; 0: any number
    near_similarity: float  # Jaccard of 4-character shingles from which two texts are listed
    drop_near: bool  # drop near duplicates of one speaker too, or only list them


def deduplicate(
    table: pd.DataFrame, settings: DeduplicateSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`table` with duplicates dropped, and the pairs that were found.

    Of equal audio the first by recording and start stays. Of equal texts of one speaker the takes
    that the recogniser was surest of stay (known and corrected texts first), then the longest.

    Returns:
        the table, and pairs with the columns `PAIRS` (segment ids; `dropped` says whether `other`
        was dropped for it).
    """
    table = table.copy()
    pairs: list[dict] = []

    def drop(index, kept, kind, similarity=1.0):
        table.loc[index, ["status", "step", "reason"]] = ["drop", "deduplicate", kind]
        note(index, kept, kind, similarity, True)

    def note(index, kept, kind, similarity, dropped):
        names = table["segment_id"]
        values = (kind, names[kept], names[index], similarity, dropped)
        pairs.append(dict(zip(PAIRS, values, strict=True)))

    live = table[table["status"] == "keep"]
    for _, group in live.groupby("audio_sha256", sort=True):
        for index in group.index[1:]:
            drop(index, group.index[0], "same audio")

    live = _ranked(table)
    if settings.takes_per_text:
        for _, group in live.groupby(["speaker", "comparable"], sort=True):
            for index in group.index[settings.takes_per_text :]:
                drop(index, group.index[0], "same text")

    live = _ranked(table)
    for _, group in live.groupby("speaker", sort=True):
        first = group.drop_duplicates("comparable")
        rank = {index: i for i, index in enumerate(first.index)}
        for i, j, share in near_pairs(list(first["comparable"]), settings.near_similarity):
            a, b = sorted((first.index[i], first.index[j]), key=rank.__getitem__)
            if settings.drop_near and (table.loc[[a, b], "status"] == "keep").all():
                drop(b, a, "near-duplicate text", share)
                table.loc[b, ["value", "limit"]] = [share, settings.near_similarity]
            else:
                note(b, a, "near-duplicate text", share, False)
    return table, pd.DataFrame(pairs, columns=PAIRS).sort_values(PAIRS[:3], ignore_index=True)


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """The segments still kept, the most trustworthy first."""
    live = table[table["status"] == "keep"].copy()
    live["comparable"] = [comparable(text) for text in live["text"]]
    live = live[live["comparable"] != ""]
    live["marked"] = live["marked"].eq("keep").fillna(False)
    live["given"] = live["text_source"] != "whisper"
    live["logprob"] = live["avg_logprob"].fillna(0.0).round(6)
    live["length"] = live["end"] - live["start"]
    return live.sort_values(
        ["marked", "given", "logprob", "length", "segment_id"],
        ascending=[False, False, False, False, True],
    )
