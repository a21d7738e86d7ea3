"""Warnings about the sound of a corpus's recordings, for the terminal and the report.

They drop nothing. The limits of noise and clipping are those required of IndexTTS2's data; the
others are where listeners start to notice.
"""

from dataclasses import dataclass

import pandas as pd

SHOWN = 10
NARROW = 0.75  # of the usual bandwidth
WIDE = 0.9  # of what the corpus rate can hold; a 64 kbit/s MP3 has less, telephone speech a third
MUSIC = 0.14  # fraction of a recording's speech in which tones hold their pitch
MIN_MUSIC_S = 5.0  # a recording with less speech counts as so long
# column, whether high (1) or low (-1) is bad, limit, decimals and unit of its values, meaning,
# remedy
LIMITS = (
    (
        *("snr_db", -1, 15.0, 1, "dB", "noisy: less than 15 dB between speech and noise"),
        "record closer to the microphone, or try normalize.denoise",
    ),
    (
        *("hum_db", 1, 20.0, 1, "dB", "humming: mains lines 20 dB above what surrounds them"),
        "filter 50 or 60 Hz and its multiples out before the pipeline",
    ),
    (
        *("reverb_s", 1, 0.5, 2, "s", "echoing: sound takes more than 0.5 s to die away"),
        "record in a smaller or damped room, or remove them",
    ),
    (
        *("clipped_share", 1, 0.01, 3, "of it", "clipped in more than 1 % of their time"),
        "use copies recorded at a lower level, or remove them",
    ),
    (
        *("beyond_usual_db", -1, -3.0, 1, "dB", "more than 3 dB quieter than most, after the gain"),
        "raise normalize.max_gain_db, or remove them",
    ),
)


@dataclass(frozen=True)
class QualityWarning:
    """A warning about some recordings.

    Attributes:
        text: what is wrong, with how many recordings of how many.
        files: the worst of these recordings with their values, at most `SHOWN`.
        n_files: number of these recordings.
        remedy: what to do.
    """

    text: str
    files: list[str]
    n_files: int
    remedy: str = ""

    def __str__(self):
        more = self.n_files - len(self.files)
        files = ", ".join(self.files) + (f" and {more} more" if more else "")
        return f"{self.text}: {files}" + (f"; {self.remedy}" if self.remedy else "")


def concerns(recordings: pd.DataFrame) -> list[QualityWarning]:
    """Warnings about the usable recordings (`tables.RECORDINGS`)."""
    used = recordings[recordings["status"] == "ok"].copy()
    if used.empty:
        return []
    level_db = used["loudness_lufs"] + used["gain_db"]
    used["beyond_usual_db"] = level_db - level_db.median()
    found = [formats(used), bandwidths(used), narrow_throughout(used)]
    for column, sign, limit, digits, unit, text, remedy in LIMITS:
        beyond = used[sign * used[column] > sign * limit]
        found.append(_concern(used, beyond, column, sign, digits, unit, text, remedy))
    return [concern for concern in found if concern]


def music(segments: pd.DataFrame) -> QualityWarning | None:
    """Recordings with music under the speech of `segments` (`tables.SEGMENTS`)."""
    measured = segments[segments["music"].notna()]
    lasts_s = ((measured["end"] - measured["start"]) / measured["rate_hz"]).astype(float)
    share = measured["music"].astype(float)
    sums = measured[["root", "path"]].assign(lasts_s=lasts_s, music_s=share * lasts_s)
    used = sums.groupby(["root", "path"], sort=True).sum().reset_index()
    used["music"] = used["music_s"] / used["lasts_s"].clip(lower=MIN_MUSIC_S)
    beyond = used[used["music"] >= MUSIC]
    files = pd.MultiIndex.from_frame(beyond[["root", "path"]])
    there = pd.MultiIndex.from_frame(measured[["root", "path"]]).isin(files)
    text = (
        f"found to have music under the speech, in {int((there & (share >= MUSIC)).sum())} "
        "segments; set normalize.separate to remove it, or remove these recordings"
    )
    return _concern(used, beyond, "music", 1, 2, "of it", text)


def formats(used: pd.DataFrame) -> QualityWarning | None:
    """A mix of formats; the files are those of the rare ones."""
    kinds = (
        used["codec"].fillna(used["container"]).fillna("?")
        + (" " + used["source_rate_hz"].astype("string").fillna("?") + " Hz, ")
        + (used["channels"].astype("string").fillna("?") + " ch")
    )
    counts = kinds.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    if len(counts) == 1:
        return None
    listed = "; ".join(f"{count} x {kind}" for kind, count in counts.head(SHOWN).items())
    rest = f"; {len(counts) - SHOWN} more" if len(counts) > SHOWN else ""
    rare = used[kinds != counts.index[0]]
    rare = rare.assign(kind=kinds[rare.index].map(counts)).sort_values(["kind", "root", "path"])
    text = f"{len(counts)} formats, which may sound different ({listed}{rest}); not the usual one"
    remedy = "if they sound different, remove the rare ones"
    return QualityWarning(text, rare["path"].head(SHOWN).tolist(), len(rare), remedy)


def bandwidths(used: pd.DataFrame) -> QualityWarning | None:
    """Recordings with a narrower bandwidth than the others: up-sampled or heavily compressed."""
    width_hz = used["bandwidth_hz"].clip(upper=(used["rate_hz"] / 2).astype(float))
    usual_hz = width_hz.median()
    narrow = used[width_hz < NARROW * usual_hz]
    text = f"dull: much less than the usual bandwidth of {usual_hz / 1000:.1f} kHz"
    remedy = "use the original recordings instead of compressed copies, or remove them"
    return _concern(used, narrow, "bandwidth_hz", -1, 0, "Hz", text, remedy)


def narrow_throughout(used: pd.DataFrame) -> QualityWarning | None:
    """A corpus whose usual recording lacks the top of what the corpus rate can hold."""
    holds_hz = (used["rate_hz"] / 2).astype(float)
    fraction = used["bandwidth_hz"] / holds_hz
    narrow = used[fraction < WIDE]
    if not fraction.median() < WIDE:
        return None
    usual_hz = narrow["bandwidth_hz"].median()
    text = (
        f"narrow-band throughout: their sound usually ends at {usual_hz / 1000:.1f} kHz, where"
        f" normalize.rate_hz = {used['rate_hz'].max()} can hold {holds_hz.max() / 1000:.1f} kHz,"
        " and the voice will sound as dull; use the original recordings instead of telephone or"
        " compressed copies, or extend their bandwidth before the pipeline"
    )
    return _concern(used, narrow, "bandwidth_hz", -1, 0, "Hz", text)


def _concern(used, beyond, column, sign, digits, unit, text, remedy=""):
    if beyond.empty:
        return None
    order = beyond.assign(badness=-sign * beyond[column].astype(float))
    order = order.sort_values(["badness", "root", "path"])
    files = [
        f"{row['path']} ({float(row[column]):.{digits}f} {unit})"
        for _, row in order.head(SHOWN).iterrows()
    ]
    text = f"{len(beyond)} of {len(used)} recordings are {text}"
    return QualityWarning(text, files, len(beyond), remedy)
