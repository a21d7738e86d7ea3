"""What a step may lose, what a corpus has to hold: the run stops or the log says so.

A step that loses more than its share stops the run before anything expensive starts on what is
left. What it made stays on disk, to be looked at.
"""

from collections.abc import Mapping

import pandas as pd

from voicekiln.errors import UserError

STEPS = ("segment", "transcribe", "align", "correct", "deduplicate", "validate", "split")
EXAMPLES = 5
# a corpus of less than this is said to be small: seconds, and how it is said
LITTLE_AUDIO = ((180, "little: 3 minutes are the least that is advised"), (300, "5 are better"))
# training and validation segments below which a data set is said to be small, and how
SMALL = ((50, 5, "very small"), (100, 10, "small for a fine-tuning"))


def check_losses(
    table: pd.DataFrame, steps: tuple[str, ...], limits: Mapping[str, float], corpus: str
) -> None:
    """Stop when one of these steps dropped more of the audio it was given than its limit, or all
    steps so far more of all.

    Args:
        table: `tables.SEGMENTS` after these steps.
        steps: names as in the column `step`, in their order; those after them count as kept.
        limits: section `max_loss`: share of the audio, by step, and `total`.
        corpus: its name, for the message.

    Raises:
        UserError: with the reasons, the worst segments of each, and the key to change.
    """
    samples = (table["end"] - table["start"]).astype("int64")
    gone = table["status"] == "drop"
    for step in steps:
        earlier = STEPS[: STEPS.index(step)]
        given = ~(gone & table["step"].isin(earlier))
        lost = gone & (table["step"] == step)
        total = int(samples[given].sum())
        share = int(samples[lost].sum()) / total if total else 0.0
        if share > limits[step]:
            raise UserError(
                f"corpus {corpus}: the step {step} drops {share:.0%} of the audio it was given, "
                + _limit(corpus, step, limits, table[lost])
            )
    share = samples[gone].sum() / samples.sum() if len(table) else 0.0
    if share > limits["total"]:
        raise UserError(
            f"corpus {corpus}: the steps up to {steps[-1]} drop {share:.0%} of the audio of all "
            "segments, " + _limit(corpus, "total", limits, table[gone])
        )


def _limit(corpus, key, limits, lost):
    return (
        f"the limit is corpora.{corpus}.max_loss.{key} = {limits[key]:g}. Look at the segments "
        "below, the worst first; mend the data or the settings, or raise the limit.\n"
        + _reasons(lost)
    )


def _reasons(lost):
    lines = []
    lost = lost.assign(beyond=(lost["value"] - lost["limit"]).abs())
    lost = lost.sort_values(["beyond", "path", "start"], ascending=[False, True, True])
    for reason, rows in sorted(lost.groupby("reason"), key=lambda pair: (-len(pair[1]), pair[0])):
        lines.append(f"  {reason}: {len(rows)} segments")
        for row in rows.head(EXAMPLES).itertuples():
            where = f"{row.start / row.rate_hz:.2f}-{row.end / row.rate_hz:.2f} s"
            measured = "" if pd.isna(row.value) else f", {row.value:g} (limit {row.limit:g})"
            said = "" if pd.isna(row.text) else f": {row.text[:60]}"
            lines.append(f"    {row.path}, {where}{measured}{said}")
    return "\n".join(lines)


def check_total(recordings: pd.DataFrame, min_total_s: float, corpus: str) -> list[str]:
    """Warnings about little audio (S4-1).

    Raises:
        UserError: there is less than `min_total_s` (X-7), with what there is of each speaker.
    """
    used = recordings[recordings["status"] == "ok"]
    seconds = (used["n_samples"] / used["rate_hz"]).astype(float)
    total_s = float(seconds.sum())
    of_speakers = ", ".join(
        f"{speaker or 'unnamed'} {s / 60:.1f} min"
        for speaker, s in seconds.groupby(used["speaker"].fillna(""), sort=True).sum().items()
    )
    if total_s < min_total_s:
        raise UserError(
            f"corpus {corpus}: its usable recordings are {total_s / 60:.1f} minutes long "
            f"({of_speakers}), at least {min_total_s / 60:g} are needed "
            f"(corpora.{corpus}.min_total_s = {min_total_s:g}); record more"
        )
    for limit_s, words in LITTLE_AUDIO:
        if total_s < limit_s:
            return [f"the recordings are {total_s / 60:.1f} minutes long: {words}"]
    return []


def check_sizes(train: int, val: int, min_train: int, min_val: int) -> tuple[list[str], bool]:
    """Warnings about few segments (S4-76), and whether there are enough to go on.

    Args:
        train, val: segments of each side.
        min_train, min_val: the least that a run may start with.
    """
    warnings = []
    for name, n, at in (("training", train, 0), ("validation", val, 1)):
        for limits in SMALL:
            if n < limits[at]:
                warnings.append(f"the {name} set is {limits[2]}: {n} segments")
                break
    return warnings, train >= max(1, min_train) and val >= max(1, min_val)
