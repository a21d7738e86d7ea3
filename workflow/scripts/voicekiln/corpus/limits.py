"""Limits: audio that a step may drop, and the minimum size of a corpus.

Problems stop the run, warnings do not. A problem names the key to change and a value that would let
the run continue. The tables of the step stay on disk, so that the corpus can be reviewed.
"""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from voicekiln.corpus.decisions import STEPS
from voicekiln.errors import UserError

EXAMPLES = 5
# a shorter corpus raises a warning: seconds, and advice
LITTLE_AUDIO = ((180, "at least 3 minutes are advised"), (300, "5 minutes or more are better"))
# training and validation segments below which a data set raises a warning, and its words
SMALL = ((50, 5, "very small"), (100, 10, "small for fine-tuning"))
MANY = 0.2  # fraction of the segments whose drop for one reason raises a warning
LISTEN = "To listen to the segments so far, run the same command with the target review_so_far."


def stop(problems: Sequence[str]) -> None:
    """Stop the run if there are problems.

    Raises:
        UserError: all problems, and how to listen to the segments so far.
    """
    if problems:
        raise UserError("\n".join([*problems, LISTEN]))


def too_much_dropped(
    table: pd.DataFrame, steps: tuple[str, ...], limits: Mapping[str, float], corpus: str
) -> list[str]:
    """Problems: a step, or all steps so far together, dropped more audio than allowed.

    Args:
        table: `tables.SEGMENTS` after these steps.
        steps: names as in the column `step`, in order.
        limits: section `max_loss`: fraction of the audio, by step, and `total`.
        corpus: its name, for the keys.
    """
    problems = []
    samples = (table["end"] - table["start"]).astype("int64")
    gone = table["status"] == "drop"
    for step in steps:
        earlier = STEPS[: STEPS.index(step)]
        present = ~(gone & table["step"].isin(earlier))
        lost = gone & (table["step"] == step)
        total = int(samples[present].sum())
        fraction = int(samples[lost].sum()) / total if total else 0.0
        if fraction > limits[step]:
            what = f"corpus {corpus}: the step {step} drops {fraction:.0%} of its audio"
            nothing_left = not (present & ~lost).any()
            problems.append(_limit(what, corpus, step, limits, fraction, table[lost], nothing_left))
    fraction = samples[gone].sum() / samples.sum() if len(table) else 0.0
    if fraction > limits["total"] and not problems:
        what = f"corpus {corpus}: all steps up to {steps[-1]} drop {fraction:.0%} of the audio"
        problems.append(_limit(what, corpus, "total", limits, fraction, table[gone], gone.all()))
    return problems


def _limit(what, corpus, key, limits, fraction, lost, nothing_left):
    limit, key = limits[key], f"corpora.{corpus}.max_loss.{key}"
    remedy = "fix the data or the settings" + (
        " (nothing is left)" if nothing_left else f", or set {key}: {passing(fraction):g}"
    )
    return (
        f"{what}, the limit is {key} = {limit:g}; {remedy}. "
        f"The worst segments by reason:\n{_reasons(lost)}"
    )


def passing(fraction: float) -> float:
    """The lowest limit with two decimals that this fraction does not exceed."""
    return min(1.0, math.ceil(round(fraction * 100, 6)) / 100)


def _reasons(lost):
    lines = []
    lost = lost.assign(beyond=(lost["value"] - lost["limit"]).abs())
    lost = lost.sort_values(["beyond", "path", "start"], ascending=[False, True, True])
    for reason, rows in sorted(lost.groupby("reason"), key=lambda pair: (-len(pair[1]), pair[0])):
        lines.append(f"  {reason}: {len(rows)} segments")
        for row in rows.head(EXAMPLES).itertuples():
            where = f"{row.start / row.rate_hz:.2f}-{row.end / row.rate_hz:.2f} s"
            measured = "" if pd.isna(row.value) else f", {row.value:g} (limit {row.limit:g})"
            text = "" if pd.isna(row.text) else f": {row.text[:60]}"
            lines.append(f"    {row.path}, {where}{measured}{text}")
    return "\n".join(lines)


def many_dropped(table: pd.DataFrame, step: str, remedies: Mapping[str, str]) -> list[str]:
    """Warnings about reasons for which a step dropped many segments.

    Args:
        table: `tables.SEGMENTS` after this step.
        remedies: what to do, by reason; other reasons raise no warning.
    """
    present = ~((table["status"] == "drop") & table["step"].isin(STEPS[: STEPS.index(step)]))
    lost = table[(table["status"] == "drop") & (table["step"] == step)]
    return [
        f"{n} of {present.sum()} segments were dropped: {reason}; {remedies[reason]}"
        for reason, n in lost["reason"].value_counts().sort_index().items()
        if reason in remedies and n > MANY * present.sum()
    ]


def too_many_bad(recordings: pd.DataFrame, limit: float, corpus: str) -> list[str]:
    """Problem: too many recordings cannot be used."""
    bad = recordings[recordings["status"] == "bad"]
    fraction = len(bad) / len(recordings)
    if len(bad) < len(recordings) and fraction <= limit:
        return []
    key = f"corpora.{corpus}.max_bad_recordings"
    remedy = "replace or remove them" + (
        "" if len(bad) == len(recordings) else f", or set {key}: {passing(fraction):g}"
    )
    listed = "\n  ".join(f"{row.path}: {row.reason}" for row in bad.head(50).itertuples())
    return [
        f"corpus {corpus}: {len(bad)} of {len(recordings)} recordings cannot be used, the limit is "
        f"{key} = {limit:g} of them; {remedy}:\n  {listed}"
    ]


def too_little_audio(
    recordings: pd.DataFrame, min_total_s: float, corpus: str
) -> tuple[list[str], list[str]]:
    """Warnings about little audio; problem: too little audio."""
    used = recordings[recordings["status"] == "ok"]
    seconds = (used["n_samples"] / used["rate_hz"]).astype(float)
    total_s = float(seconds.sum())
    if total_s < min_total_s:
        of_speakers = ", ".join(
            f"{speaker or 'unnamed'} {s / 60:.1f} min"
            for speaker, s in seconds.groupby(used["speaker"].fillna(""), sort=True).sum().items()
        )
        key = f"corpora.{corpus}.min_total_s"
        return [], [
            f"corpus {corpus}: the usable recordings are {total_s / 60:.1f} minutes long "
            f"({of_speakers}), at least {min_total_s / 60:g} are required "
            f"({key} = {min_total_s:g}); add recordings, or set {key}: {math.floor(total_s)}"
        ]
    for limit_s, why in LITTLE_AUDIO:
        if total_s < limit_s:
            return [f"the recordings are only {total_s / 60:.1f} minutes long; {why}"], []
    return [], []


def small_sets(train: int, val: int) -> list[str]:
    """Warnings about few segments."""
    warnings = []
    for name, n, at in (("training", train, 0), ("validation", val, 1)):
        for limits in SMALL:
            if n < limits[at]:
                remedy = "add recordings" + (", or raise split.val_share" if at else "")
                warnings.append(f"the {name} set is {limits[2]} (segments: {n}); {remedy}")
                break
    return warnings


def too_few_segments(train: int, val: int, settings: Mapping[str, float], corpus: str) -> list[str]:
    """Problem: the data set is smaller than `split.min_train` and `split.min_val` allow.

    Args:
        train, val: segments of each side.
        settings: section `split`.
    """
    min_train, min_val = max(1, settings["min_train"]), max(1, settings["min_val"])
    if train >= min_train and val >= min_val:
        return []
    sizes = ("min_train", train, min_train), ("min_val", val, min_val)
    passing_values = ", ".join(f"{key}: {n}" for key, n, least in sizes if n < least)
    remedy = (
        f"set corpora.{corpus}.split: {{{passing_values}}}"
        if train and val
        else "loosen the rules that drop the most"
    )
    return [
        f"corpus {corpus}: {train} training and {val} validation segments are left, at least "
        f"{min_train} and {min_val} are required (split.min_train, split.min_val); add recordings, "
        f"or {remedy}"
    ]


def too_few_to_split(n: int, settings: Mapping[str, float], corpus: str) -> list[str]:
    """Problem: `n` segments, before any is dropped, cannot fill both sides."""
    least = max(1, settings["min_train"]) + max(1, settings["min_val"])
    if n >= least:
        return []
    remedy = ""
    if n > 1:
        val = max(1, min(settings["min_val"], n // 10))
        remedy = (
            f", or set corpora.{corpus}.split: {{min_train: {n - val}, min_val: {val}}} or lower "
            "(later steps may drop more)"
        )
    return [
        f"corpus {corpus}: there are {n} segments, at least {max(1, settings['min_train'])} for "
        f"training and {max(1, settings['min_val'])} for validation are required (split.min_train, "
        f"split.min_val); add recordings{remedy}"
    ]
