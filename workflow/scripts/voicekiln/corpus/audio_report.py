"""The audio that a voice is trained on: how much, from whom, length and sound of the clips."""

from typing import Any

import numpy as np
import pandas as pd

from voicekiln.audio import dnsmos

# length classes: below 6 s, up to 30 s, above
CLASSES = (("under 6 s", 0.0, 6.0), ("6 to 30 s", 6.0, 30.0), ("over 30 s", 30.0, np.inf))
MEASURES = (
    *("length_s", "level_db", "snr_db", "bandwidth_hz", "pitch_hz", "chars_per_s"),
    *dnsmos.SCORES,
)
QUANTILES = {"lowest": 0.0, "lower": 0.25, "median": 0.5, "upper": 0.75, "highest": 1.0}


def audio_report(segments: pd.DataFrame, recordings: pd.DataFrame) -> dict[str, Any]:
    """Totals of the kept segments: all, by speaker, by class of length; builtin types.

    Args:
        segments: kept ones (`tables.SEGMENTS`).
        recordings: `tables.RECORDINGS` of the same corpora; without kept segments they are ignored.
    """
    table = segments.assign(
        length_s=((segments["end"] - segments["start"]) / segments["rate_hz"]).astype(float),
        speaker=segments["speaker"].fillna(""),
    )
    used = recordings[recordings["recording_id"].isin(set(table["recording_id"]))]
    used = used[used["status"] == "ok"].drop_duplicates("recording_id")
    train_s = float(table.loc[table["split"] == "train", "length_s"].sum())
    speakers = []
    for name, rows in table.groupby("speaker", sort=True):
        entry = {"speaker": name, "languages": sorted(rows["language"].dropna().unique())}
        entry |= _totals(rows) | {"classes": _classes(rows), "measures": _measures(rows)}
        entry["train_share"] = round(entry["train_s"] / train_s, 4) if train_s else 0.0
        speakers.append(entry)
    speakers.sort(key=lambda entry: (-entry["train_s"], entry["speaker"]))
    return {
        **_totals(table),
        "recordings": len(used),
        "rates_hz": sorted({int(rate) for rate in table["rate_hz"].dropna()}),
        "source_rates_hz": _counts(used["source_rate_hz"]),
        "source_codecs": _counts(used["codec"].fillna(used["container"])),
        "loudness_lufs": _quantiles(used["loudness_lufs"] + used["gain_db"]),
        "source_loudness_lufs": _quantiles(used["loudness_lufs"]),
        "classes": _classes(table),
        "measures": _measures(table),
        "speakers": speakers,
    }


def _totals(rows):
    train, val = (rows.loc[rows["split"] == side, "length_s"] for side in ("train", "val"))
    return {
        "segments": len(rows),
        "seconds": round(float(rows["length_s"].sum()), 3),
        "train_segments": len(train),
        "train_s": round(float(train.sum()), 3),
        "val_segments": len(val),
        "val_s": round(float(val.sum()), 3),
    }


def _classes(rows):
    found = []
    for name, least, most in CLASSES:
        # a clip of exactly 30 s is not above 30 s
        above = rows["length_s"] > least if least == 30.0 else rows["length_s"] >= least
        below = rows["length_s"] <= most if most == 30.0 else rows["length_s"] < most
        here = rows.loc[above & below, "length_s"]
        found.append({"name": name, "segments": len(here), "seconds": round(float(here.sum()), 3)})
    return found


def _measures(rows):
    return {name: _quantiles(rows[name]) for name in MEASURES if rows[name].notna().any()}


def _quantiles(values):
    known = values.dropna().astype(float)
    if known.empty:
        return None
    return {name: round(float(known.quantile(share)), 3) for name, share in QUANTILES.items()}


def _counts(values):
    counts = values.dropna().map(str).value_counts()
    return {str(name): int(counts[name]) for name in sorted(counts.index)}


UNITS = {
    "length_s": "length, s",
    "level_db": "level, dB re full scale",
    "snr_db": "SNR, dB",
    "bandwidth_hz": "bandwidth, Hz",
    "pitch_hz": "pitch, Hz",
    "chars_per_s": "letters and digits a second",
    "mos_signal": "predicted MOS of the speech, 1 to 5",
    "mos_background": "predicted MOS of the background, 1 to 5",
    "mos_overall": "predicted MOS overall, 1 to 5",
}


def as_markdown(report: dict[str, Any], name: str) -> str:
    """The report for people."""
    rates = ", ".join(f"{rate} Hz" for rate in report["rates_hz"])
    sources = ", ".join(f"{n} at {rate} Hz" for rate, n in report["source_rates_hz"].items())
    lines = [
        f"# The audio behind {name}",
        "",
        f"{_time(report['seconds'])} in {report['segments']} segments of {report['recordings']} "
        f"recordings: {_time(report['train_s'])} for training, {_time(report['val_s'])} for "
        f"validation. The clips are at {rates}"
        + (f"; the recordings were: {sources}." if sources else "."),
        "",
    ]
    loudness = report["loudness_lufs"]
    if loudness:
        before = report["source_loudness_lufs"]
        lines += [
            f"Loudness of the recordings: {loudness['median']:.1f} LUFS (median), before "
            f"normalisation {before['lowest']:.1f} to {before['highest']:.1f} LUFS.",
            "",
        ]
    lines += ["## Length classes", ""]
    lines += _table(
        ("class", "segments", "audio"),
        [(one["name"], one["segments"], _time(one["seconds"])) for one in report["classes"]],
    )
    lines += ["", "## Measures", ""]
    lines += _table(
        ("measure", *QUANTILES),
        [
            (UNITS[key], *(_number(values[q]) for q in QUANTILES))
            for key, values in report["measures"].items()
        ],
    )
    lines += ["", "## Speakers", ""]
    lines += _table(
        ("speaker", "languages", "segments", "audio", "training", "fraction of training",
         "validation", *(name for name, _, _ in CLASSES)),
        [
            (
                one["speaker"] or "(no name)", ", ".join(one["languages"]), one["segments"],
                _time(one["seconds"]), _time(one["train_s"]), f"{one['train_share']:.1%}",
                _time(one["val_s"]) if one["val_segments"] else "none",
                *(kind["segments"] for kind in one["classes"]),
            )
            for one in report["speakers"]
        ],
    )  # fmt: skip
    return "\n".join(lines) + "\n"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return [
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines
    ]


def _number(value):
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _time(seconds):
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.1f} s"
    return f"{minutes:.1f} min" if minutes < 120 else f"{minutes / 60:.2f} h"
