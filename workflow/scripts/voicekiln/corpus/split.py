"""Training and validation rows that share nothing, stable as the corpus grows."""

import hashlib
from dataclasses import dataclass

import pandas as pd

from voicekiln.text.clean import comparable
from voicekiln.text.minhash import near_pairs


@dataclass(frozen=True)
class SplitSettings:
    """Section `split` of a corpus."""

    val_share: float  # of the groups
    min_recordings: int  # with fewer, groups are contiguous blocks of a recording
    block_s: float
    leak_similarity: float  # Jaccard of texts from which a training row leaks
    seed: int


def groups(table: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """The group of each row: its recording, or a block of `block_s` seconds of it."""
    if table["recording_id"].nunique() >= settings.min_recordings:
        return table["recording_id"].astype(str)
    block = (table["start"] / table["rate_hz"] // settings.block_s).astype(int).astype(str)
    return table["recording_id"].astype(str) + "/" + block


def _draw(group: str, seed: int) -> float:
    """A number in [0, 1) that depends on the group's name and the seed alone."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def split(table: pd.DataFrame, settings: SplitSettings) -> tuple[pd.DataFrame, dict]:
    """`table` with its column `split`, and the proof that nothing leaks.

    A group is validation when its draw falls below `val_share`, and the one with the lowest draw
    always is. Training rows that share a text or a near-duplicate with validation are dropped.

    Returns:
        the table; and counts of groups, texts and near-duplicates that both sides share after the
        drops (all 0), with the number of rows dropped for it.
    """
    table = table.copy()
    kept = table[table["status"] == "keep"]
    names = groups(kept, settings)
    draws = {name: _draw(name, settings.seed) for name in sorted(names.unique())}
    chosen = {name for name, draw in draws.items() if draw < settings.val_share}
    if draws and len(draws) > 1:
        chosen.add(min(draws, key=draws.__getitem__))
    side = names.isin(chosen).map({True: "val", False: "train"})
    table.loc[kept.index, "split"] = side

    texts = pd.Series([comparable(text) for text in kept["text"]], index=kept.index)
    val_texts = set(texts[side == "val"])
    distinct = sorted(set(texts))
    leaky: dict[str, float] = {text: 1.0 for text in val_texts}
    for i, j, share in near_pairs(distinct, settings.leak_similarity):
        for a, b in ((distinct[i], distinct[j]), (distinct[j], distinct[i])):
            if a in val_texts and b not in val_texts:
                leaky[b] = max(share, leaky.get(b, 0.0))
    leaks = (side == "train") & texts.isin(set(leaky))
    hit = kept.index[leaks]
    table.loc[hit, ["status", "step", "reason"]] = ["drop", "split", "leak into validation"]
    table.loc[hit, "value"] = texts[leaks].map(leaky)
    table.loc[hit, "limit"] = settings.leak_similarity
    table.loc[hit, "split"] = None
    return table, prove(table, names, settings.leak_similarity) | {"rows_dropped": len(hit)}


def prove(table: pd.DataFrame, names: pd.Series, similarity: float) -> dict:
    """What training and validation share: groups, texts, near-duplicates; counted anew.

    Args:
        table: segments with their `split`.
        names: the group of each segment, by the index of `table`.
        similarity: Jaccard from which texts are near-duplicates.
    """
    kept = table[table["status"] == "keep"]
    names = names[kept.index]
    texts = pd.Series([comparable(text) for text in kept["text"]], index=kept.index)
    train, val = kept["split"] == "train", kept["split"] == "val"
    train_texts, val_texts = set(texts[train]), set(texts[val])
    distinct = sorted(train_texts | val_texts)
    near = sum(
        (distinct[i] in train_texts) != (distinct[j] in train_texts)
        for i, j, _ in near_pairs(distinct, similarity)
    )
    return {
        "shared_groups": len(set(names[train]) & set(names[val])),
        "shared_texts": len(train_texts & val_texts),
        "shared_near_duplicates": near,
    }
