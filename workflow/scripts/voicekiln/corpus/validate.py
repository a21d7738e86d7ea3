"""Rules that a segment must meet to be trained on; each drop has a rule, a value and a limit."""

from dataclasses import dataclass

import pandas as pd

from voicekiln.text.clean import comparable, script_share


@dataclass(frozen=True)
class ValidateSettings:
    """Section `validate` of a corpus."""

    min_s: float
    max_s: float
    min_chars_per_s: float
    max_chars_per_s: float
    max_silence_share: float
    max_clipped_share: float
    min_avg_logprob: float  # of the recogniser; known texts have none
    max_no_speech_prob: float
    min_trust: float
    max_cer: float  # of a given text against what was heard
    script: str | None  # as Unicode names begin: LATIN, ETHIOPIC, ARABIC, ...
    min_script_share: float


def validate(table: pd.DataFrame, settings: ValidateSettings) -> pd.DataFrame:
    """`table` with the segments dropped that break a rule; the first broken rule is the reason."""
    table = table.copy()
    texts = [comparable(text) if isinstance(text, str) else "" for text in table["text"]]
    seconds = ((table["end"] - table["start"]) / table["rate_hz"]).astype(float)
    n_chars = pd.Series([len(text.replace(" ", "")) for text in texts], index=table.index)
    rate = n_chars / seconds
    rules = [
        ("no text", n_chars, n_chars < 1, 1),
        ("too short", seconds, seconds < settings.min_s, settings.min_s),
        ("too long", seconds, seconds > settings.max_s, settings.max_s),
        (
            "no speech heard",
            table["no_speech_prob"],
            (table["no_speech_prob"] > settings.max_no_speech_prob)
            & (table["avg_logprob"] < settings.min_avg_logprob),
            settings.max_no_speech_prob,
        ),
        (
            "recogniser unsure",
            table["avg_logprob"],
            (table["avg_logprob"] < settings.min_avg_logprob) & (table["text_source"] != "known"),
            settings.min_avg_logprob,
        ),
        (
            "too few characters a second",
            rate,
            rate < settings.min_chars_per_s,
            settings.min_chars_per_s,
        ),
        (
            "too many characters a second",
            rate,
            rate > settings.max_chars_per_s,
            settings.max_chars_per_s,
        ),
        (
            "too much silence",
            table["silence_share"],
            table["silence_share"] > settings.max_silence_share,
            settings.max_silence_share,
        ),
        (
            "clipped",
            table["clipped_share"],
            table["clipped_share"] > settings.max_clipped_share,
            settings.max_clipped_share,
        ),
    ]
    rules += [
        (
            "text differs from what is heard",
            table["cer"],
            (table["cer"] > settings.max_cer) & (table["text_source"] == "known"),
            settings.max_cer,
        ),
        (
            "transcript not trusted",
            table["trust"],
            table["trust"] < settings.min_trust,
            settings.min_trust,
        ),
    ]
    if settings.script:
        share = pd.Series([script_share(text, settings.script) for text in texts], table.index)
        limit = settings.min_script_share
        rules.append((f"text not {settings.script.lower()}", share, share < limit, limit))
    for reason, value, broken, limit in rules:
        hit = (table["status"] == "keep") & broken.fillna(False).astype(bool)
        table.loc[hit, "value"] = value[hit].astype(float)
        table.loc[hit, ["status", "step", "reason", "limit"]] = [
            "drop",
            "validate",
            reason,
            float(limit),
        ]
    return table
