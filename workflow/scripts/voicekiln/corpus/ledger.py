"""Ledger: every sample of a corpus is accounted for."""

from typing import Any

import pandas as pd

from voicekiln.errors import UserError


def ledger(recordings: pd.DataFrame, segments: pd.DataFrame) -> dict[str, Any]:
    """Account for the samples of the normalised recordings: in = kept + lost by step and reason.

    Raises:
        UserError: the sums differ, which is a bug, not a fault of the data.
    """
    used = recordings[recordings["status"] == "ok"]
    copies = recordings[recordings["status"] == "copy"]
    bad = recordings[recordings["status"] == "bad"]
    length = (segments["end"] - segments["start"]).astype("int64")
    kept = segments["status"] == "keep"
    samples_in = int(used["n_samples"].sum() + copies["n_samples"].sum())
    lost = [
        {
            "step": step,
            "reason": reason,
            "segments": len(rows),
            "samples": int(length[rows.index].sum()),
        }
        for (step, reason), rows in segments[~kept].groupby(["step", "reason"], sort=True)
    ]
    kinds = copies["reason"].fillna("copy").str.replace("(?s) of .*", "", regex=True)
    for what, rows in copies.groupby(kinds, sort=True):
        lost.append(
            {
                "step": "inventory",
                "reason": what,
                "recordings": len(rows),
                "samples": int(rows["n_samples"].sum()),
            }
        )
    outside = int(used["n_samples"].sum()) - int(length.sum())
    sides = {
        side: {
            "segments": int((segments["split"] == side).sum()),
            "samples": int(length[segments["split"] == side].sum()),
        }
        for side in ("train", "val")
    }
    promised = (used["duration_s"] * used["rate_hz"]).round().astype("Int64")
    whole = {
        "rate_hz": int(used["rate_hz"].iloc[0]) if len(used) else None,
        "samples_in": samples_in,
        "kept": sides,
        "lost": lost,
        "non_speech": outside,
        "decoder_difference": int((used["n_samples"] - promised).sum()),
        "unreadable": {
            "recordings": len(bad),
            "files": [{"path": row.path, "reason": row.reason} for row in bad.itertuples()],
        },
        "recordings": len(used),
    }
    total = sum(side["samples"] for side in sides.values())
    total += sum(line["samples"] for line in lost) + outside
    if total != samples_in or outside < 0:
        raise UserError(
            f"the ledger does not add up: {samples_in} samples in, {total} accounted for "
            "(segments overlap, or a table is from another run); please report this"
        )
    return whole
