"""Split into training and validation sets that share nothing, stable as the corpus grows.

A group is held out for validation if its hash, which depends on its name and the seed alone, is
below a threshold. Groups that are added, removed or reordered therefore move no other group. One
exception cannot be avoided: if a speaker has no group below the threshold, the one with the lowest
hash is held out, and an added group may be lower. (No rule that looks at the data alone can choose
one of any two groups and never revise a choice: of two groups that are both not chosen among many,
one is chosen if they are alone.) `SplitSettings.validation` pins recordings. Of duplicates the one
in a held-out group stays (`corpus/deduplicate.py`), so an added, better one moves nothing from
validation into training.
"""

import hashlib
import logging
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from voicekiln.corpus import decisions
from voicekiln.corpus.sources import channels
from voicekiln.search.fingerprints import Fingerprints, find_copies
from voicekiln.search.minhash import near_matches
from voicekiln.text.clean import comparable

log = logging.getLogger("split")
MIN_GROUPS = 10  # of a speaker, from which at least one is held out
UNEVEN = 1.5  # ratio of median lengths that raises a warning
LIMITS = ("leak_similarity", "leak_distance")  # the settings that `leaks` needs
QUANTILES = {"p10_s": 0.1, "median_s": 0.5, "p90_s": 0.9}


@dataclass(frozen=True)
class SplitSettings:
    """Section `split` of a corpus."""

    val_share: float  # of the groups
    min_recordings: int  # with fewer, groups are contiguous blocks of a recording
    block_s: float
    per_speaker: bool  # hold out a group of every speaker with MIN_GROUPS groups or more
    validation: tuple[str, ...]  # paths of recordings that are always held out
    leak_similarity: float  # Jaccard similarity of texts from which a training row leaks
    leak_distance: float  # fraction of fingerprint bits in which copies may differ; 0: no check
    seed: int

    @classmethod
    def of(cls, section: dict) -> "SplitSettings":
        """From the section `split`, which has further keys."""
        chosen = {field.name: section[field.name] for field in fields(cls)}
        return cls(**chosen | {"validation": tuple(section["validation"])})


def groups(table: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """The group of each row: its file, or its block of `block_s` seconds."""
    files = channels.file_ids(table["recording_id"])
    if files.nunique() >= settings.min_recordings:
        return files
    block = (table["start"] / table["rate_hz"] // settings.block_s).astype(int).astype(str)
    return files + "/" + block


def _draw(group: str, seed: int) -> float:
    """Hash of the group's name and the seed, in [0, 1)."""
    digest = hashlib.sha256(f"{seed}:{group}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def choose(kept: pd.DataFrame, names: pd.Series, settings: SplitSettings) -> set[str]:
    """The groups that are held out for validation.

    Args:
        kept: the kept segments.
        names: their groups.
    """
    wanted = settings.validation
    files = kept["path"].str.replace(r"#\d+$", "", regex=True)
    of_channel = kept["recording_id"].astype(str).str.contains(channels.OF_CHANNEL)
    pinned = set(names[kept["path"].isin(wanted) | (of_channel & files.isin(wanted))])
    distinct = names.drop_duplicates()
    draws = pd.Series([_draw(name, settings.seed) for name in distinct], list(distinct), float)
    chosen = pinned | set(draws.index[draws < settings.val_share])
    if settings.per_speaker:
        spoken = pd.DataFrame({"name": names, "speaker": kept["speaker"].fillna("")})
        for speaker, rows in spoken.drop_duplicates().groupby("speaker", sort=True):
            own = draws[rows["name"]]
            if len(own) >= MIN_GROUPS and not chosen & set(own.index):
                chosen.add(_lowest(own, f"speaker {speaker}", settings))
    if len(draws) > 1 and not chosen:
        chosen.add(_lowest(draws, "the corpus", settings))
    return chosen


def held_out(table: pd.DataFrame, settings: SplitSettings) -> pd.Series:
    """Mask of the kept rows of `table` that are held out for validation."""
    kept = table[table["status"] == "keep"]
    names = groups(kept, settings)
    return names.isin(choose(kept, names, settings)).reindex(table.index, fill_value=False)


def _lowest(draws, whose, settings):
    lowest = draws.idxmin()
    log.info(
        "no group of %s has a hash below split.val_share = %g, so the lowest one, %s, is held out; "
        "added data may change this, unless its recording is named in split.validation",
        whose,
        settings.val_share,
        lowest,
    )
    return lowest


def split(
    table: pd.DataFrame, fingerprints: Fingerprints, settings: SplitSettings
) -> tuple[pd.DataFrame, dict]:
    """`table` with its column `split`, and the proof that nothing leaks.

    Training rows are dropped if they share a text, a near-duplicate or a stretch of a recording
    with the validation set.

    Args:
        table: `tables.SEGMENTS`.
        fingerprints: of its rows, in order.
        settings: section `split`.

    Returns:
        the table; and the counts of `prove`, the number of dropped rows and the lengths of both
        sides.
    """
    table = table.copy()
    kept = table[table["status"] == "keep"]
    names = groups(kept, settings)
    val = held_out(table, settings)[kept.index]
    table.loc[kept.index, "split"] = val.map({True: "val", False: "train"})
    dropped = 0
    # drops make patterns rare that were too common to be looked up, so search again
    while len(found := leaks(table, fingerprints, settings)):
        decided = decisions.Decider(table, "split")
        measured = found[["value", "limit"]].astype(float).reindex(table.index)
        leaking = table.index.to_series().isin(found.index)
        decided.drop(leaking, "leak into validation", measured["value"], measured["limit"])
        table = decisions.apply(table, decided.decisions())
        table.loc[found.index, "split"] = None
        dropped += len(found)
    proof = prove(table, names, fingerprints, settings)
    limits = {name: getattr(settings, name) for name in LIMITS}
    return table, proof | {"rows_dropped": dropped, "limits": limits, "lengths": lengths(table)}


def leaks(table, fingerprints, settings):
    """Training rows that share a text or a stretch of audio with the validation set.

    Args:
        table: `tables.SEGMENTS`, with `split`.
        fingerprints: of its rows, in order.
        settings: or any object with `LIMITS`.

    Returns:
        `value` (similarity) and `limit`, by the index of `table`.
    """
    kept = table[table["status"] == "keep"]
    texts = pd.Series([comparable(text) for text in kept["text"]], index=kept.index, dtype=object)
    val = kept["split"] == "val"
    train_texts, val_texts = sorted(set(texts[~val])), sorted(set(texts[val]))
    # from both sides: of very common phrases each side looks up only the most similar
    back = near_matches(val_texts, train_texts, settings.leak_similarity)
    near = near_matches(train_texts, val_texts, settings.leak_similarity)
    by_text = {train_texts[j]: round(share, 4) for j, share in back.values()}
    by_text |= {train_texts[i]: round(share, 4) for i, (_, share) in near.items()}
    hit = texts[~val & texts.isin(list(by_text))]
    rows = pd.DataFrame({"value": hit.map(by_text), "limit": settings.leak_similarity})
    train, _, distance = _copies_across(table, fingerprints, settings)
    by_audio = pd.DataFrame({"value": 1 - distance, "limit": 1 - settings.leak_distance}, train)
    rows = pd.concat([rows, by_audio.round(4)])
    return rows[~rows.index.duplicated()]


def _copies_across(table, fingerprints, settings):
    """Training row, validation row and distance of clips that share a stretch of a recording."""
    measured = table["status"].eq("keep").to_numpy(bool) & (fingerprints.counts > 0)
    measured = np.flatnonzero(measured & (settings.leak_distance > 0))
    val = (table["split"].iloc[measured] == "val").to_numpy(bool)
    found = find_copies(
        fingerprints[measured], settings.leak_distance, partial=True, queries=np.flatnonzero(val)
    )
    across = val[found.i] != val[found.j]
    i, j, distance = found.i[across], found.j[across], found.distance[across]
    names = table.index[measured]
    return names[np.where(val[i], j, i)], names[np.where(val[i], i, j)], distance


def prove(
    table: pd.DataFrame, names: pd.Series, fingerprints: Fingerprints, settings: SplitSettings
) -> dict[str, int]:
    """Count the groups, texts, near-duplicates and copies that training and validation share.

    Args:
        table: segments with their `split`.
        names: the group of each segment, by the index of `table`.
        fingerprints: of its rows, in order.
        settings: with the limits of near-duplicates and copies.
    """
    kept = table[table["status"] == "keep"]
    names = names[kept.index]
    texts = pd.Series([comparable(text) for text in kept["text"]], index=kept.index, dtype=object)
    train, val = kept["split"] == "train", kept["split"] == "val"
    train_texts, val_texts = set(texts[train]), set(texts[val])
    # in the other direction than the drops: validation texts are looked up in training
    near = near_matches(sorted(val_texts), sorted(train_texts), settings.leak_similarity)
    return {
        "shared_groups": len(set(names[train]) & set(names[val])),
        "shared_texts": len(train_texts & val_texts),
        "shared_near_duplicates": len(near),
        "shared_copies": len(_copies_across(table, fingerprints, settings)[0]),
    }


def lengths(table: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Segments, speakers, seconds and length quantiles of both sides."""
    seconds = ((table["end"] - table["start"]) / table["rate_hz"]).astype(float)
    sides = {}
    for side in ("train", "val"):
        here = (table["split"] == side).fillna(False)
        quantiles = seconds[here].quantile(list(QUANTILES.values())).round(3)
        sides[side] = {
            "segments": int(here.sum()),
            "speakers": int(table.loc[here, "speaker"].nunique()),
            "seconds": round(float(seconds[here].sum()), 3),
            **dict(zip(QUANTILES, quantiles.tolist() if here.any() else [None] * 3, strict=True)),
        }
    return sides


def imbalances(sides: dict[str, dict[str, float]], val_share: float) -> list[str]:
    """Warnings about imbalances between training and validation."""
    train, val = sides["train"], sides["val"]
    if not train["segments"] or not val["segments"]:
        return []
    found = []
    share = val["seconds"] / (train["seconds"] + val["seconds"])
    if not val_share / 3 <= share <= 3 * val_share:
        found.append(
            f"validation has {share:.1%} of the audio although split.val_share is {val_share:.1%}, "
            "because the groups are few or very unequal; smaller blocks (split.block_s) or another "
            "split.seed may help"
        )
    ratio = train["median_s"] / val["median_s"]
    if not 1 / UNEVEN <= ratio <= UNEVEN:
        found.append(
            f"the median segment is {train['median_s']:.1f} s long in training and "
            f"{val['median_s']:.1f} s in validation; a larger split.val_share or smaller blocks "
            "(split.block_s) make them more alike"
        )
    if val["speakers"] < train["speakers"]:
        found.append(
            f"only {val['speakers']} of {train['speakers']} speakers have clips in the validation "
            "set; a larger split.val_share includes more of them"
        )
    return found
