"""Rules for training segments; each drop has a rule, a value and a limit.

A missing measure never drops a segment.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from voicekiln.audio.speaker import speaker_distances
from voicekiln.corpus.decisions import Decider
from voicekiln.corpus.voices import tell_apart
from voicekiln.text.clean import letters, script_share
from voicekiln.text.scripts import WITHOUT_SPACES, main_scripts, words

log = logging.getLogger("validate")
MIN_SEGMENTS = 30  # of a speaker, from which the usual range is known
MAD_TO_SIGMA = 1.4826  # of a normal distribution
# per speaker: measure, its unit, the least standard deviation assumed, and the sides that count
USUAL = {
    "pace": ("octaves of characters a second", 0.1, (-1, 1)),
    "loudness": ("dB", 0.5, (-1, 1)),
    "SNR": ("dB", 1.0, (-1,)),
    "pitch": ("octaves", 0.05, (-1, 1)),
}
ANOTHER_SPEAKER = "sounds like another speaker"


@dataclass(frozen=True)
class ValidateSettings:
    """Section `validate` of a corpus."""

    min_words: int
    min_s: float
    max_s: float
    max_chars: int | None  # letters and digits; None: any number
    min_chars_per_s: float
    max_chars_per_s: float
    max_silence_share: float
    max_clipped_share: float
    min_snr_db: float
    min_mos: float | None  # of mos_overall; None does not check
    min_avg_logprob: float  # of the recogniser; reference texts have none
    max_no_speech_prob: float
    min_confidence: float
    max_cer: float  # of a reference text against the hypothesis
    min_acoustic_score: float | None  # of the alignment by an acoustic model; None: any
    script: str | None  # as Unicode names begin: LATIN, ETHIOPIC, ...; `auto`: of the language
    min_script_share: float
    max_deviation: float  # from the speaker's median, in robust standard deviations
    max_speaker_distance: float  # see audio.speaker.speaker_distances
    drop_other_speakers: bool | None  # None: only those that are certain


def validate(
    table: pd.DataFrame, features: pd.Series, settings: ValidateSettings, resemblyzer: bool = False
) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Apply the rules; the first broken rule is the reason for a drop.

    Args:
        table: `tables.SEGMENTS`.
        features: speaker features of each segment (`[n]`, or None), by the index of `table`.
        settings: section `validate`.
        resemblyzer: whether the features are Resemblyzer embeddings, with known distances.

    Returns:
        `tables.DECISIONS`; the distance of each segment from its speaker's others; and the segments
        that are kept although they are unlike these, the most unlike first.
    """
    decided = Decider(table, "validate")
    for reason, value, broken, limit in _rules(table, settings):
        decided.drop(broken, reason, value, limit)
    for name, value in _usual_measures(table).items():
        distance = deviations(table, value.where(decided.kept), *USUAL[name][1:])
        beyond = distance > settings.max_deviation
        if settings.max_deviation:
            reason = f"unusual {name} for the speaker"
            decided.drop(beyond, reason, distance, settings.max_deviation)
    held = [features[index] if keep else None for index, keep in decided.kept.items()]
    limit = settings.max_speaker_distance
    voices = _voices(table, held, limit) if resemblyzer else None
    speakers = table["speaker"].fillna("").tolist()
    distance = voices.distance if voices else speaker_distances(held, speakers)
    distance = pd.Series(distance.round(3), table.index, float)
    unlike = distance > limit
    if settings.drop_other_speakers:
        decided.drop(unlike, ANOTHER_SPEAKER, distance, limit)
    elif voices and settings.drop_other_speakers is None:
        decided.drop(pd.Series(voices.sure, table.index), ANOTHER_SPEAKER, distance, limit)
    suspects = table.assign(speaker_distance=distance)[unlike & decided.kept]
    order = ["speaker_distance", "segment_id"]
    suspects = suspects.sort_values(order, ascending=[False, True], ignore_index=True)
    return decided.decisions(), distance, suspects


def _voices(table, features, limit):
    """The voice of each segment; warn of speakers with several voices."""
    seconds = ((table["end"] - table["start"]) / table["rate_hz"]).astype(float)
    speakers, recordings = table["speaker"].fillna(""), table["recording_id"].astype(str)
    found = tell_apart(features, speakers.tolist(), recordings.tolist(), seconds.tolist(), limit)
    for speaker, (n_main, n_second) in sorted(found.several.items()):
        log.warning(
            "speaker %s has more than one voice: %d segments of the main voice, %d of another; "
            "give each voice its own name (path_pattern, or a speaker column), or drop the others "
            "with validate.drop_other_speakers: true",
            speaker or "(unnamed)",
            n_main,
            n_second,
        )
    return found


def _rules(table, settings) -> Iterator[tuple[str, pd.Series, pd.Series, float]]:
    """Reason, value, mask of the segments that break the rule, limit."""
    texts = table["text"].fillna("").astype(object)
    seconds = ((table["end"] - table["start"]) / table["rate_hz"]).astype(float)
    n_chars = texts.map(lambda text: len(letters(text))).astype(float)
    spaced = ~table["language"].isin(WITHOUT_SPACES)
    n_words = texts.where(spaced).map(lambda text: len(words(text)), na_action="ignore")
    rate = n_chars / seconds
    given = table["text_source"] == "reference"

    def at_least(reason, value, limit, where=True):
        return reason, value, (value < limit) & where, limit

    def at_most(reason, value, limit, where=True):
        return reason, value, (value > limit) & where, limit

    unsure = table["avg_logprob"] < settings.min_avg_logprob
    yield at_least("no text", n_chars, 1)
    yield at_least("too few words", n_words.astype(float), settings.min_words)
    yield at_least("too short", seconds, settings.min_s)
    yield at_most("too long", seconds, settings.max_s)
    if settings.max_chars is not None:
        yield at_most("text too long", n_chars, settings.max_chars)
    silence = table["no_speech_prob"]
    yield at_most("no speech detected", silence, settings.max_no_speech_prob, unsure)
    yield at_least("recogniser unsure", table["avg_logprob"], settings.min_avg_logprob, ~given)
    yield at_least("too few characters a second", rate, settings.min_chars_per_s)
    yield at_most("too many characters a second", rate, settings.max_chars_per_s)
    yield at_most("too much silence", table["silence_share"], settings.max_silence_share)
    yield at_most("clipped", table["clipped_share"], settings.max_clipped_share)
    yield at_least("noisy", table["snr_db"], settings.min_snr_db)
    if settings.min_mos is not None:
        yield at_least("low MOS", table["mos_overall"], settings.min_mos)
    yield at_most("text differs from the hypothesis", table["cer"], settings.max_cer, given)
    if settings.min_acoustic_score is not None:
        score, limit = table["acoustic_score"], settings.min_acoustic_score
        yield at_least("text does not align with the audio", score, limit)
    yield at_least("low confidence", table["confidence"], settings.min_confidence)
    if settings.script is None:
        return
    for language, rows in table.groupby(table["language"].fillna(""), sort=True):
        named = main_scripts(language) if settings.script == "auto" else (settings.script,)
        if named:
            share = texts[rows.index].map(lambda text, named=named: script_share(text, *named))
            share = share.astype(float).reindex(table.index)
            reason = f"text not {' or '.join(named).lower()}"
            yield at_least(reason, share, settings.min_script_share)


def _usual_measures(table):
    """The measures compared within a speaker, on scales on which deviations are symmetric."""
    pace = table["chars_per_s"].astype(float)
    pitch = table["pitch_hz"].astype(float)
    return {
        "pace": np.log2(pace.where(pace > 0)),
        "loudness": table["level_db"].astype(float),
        "SNR": table["snr_db"].astype(float),
        "pitch": np.log2(pitch.where(pitch > 0)),
    }


def deviations(
    table: pd.DataFrame, value: pd.Series, least: float, sides: tuple[int, ...]
) -> pd.Series:
    """How many robust standard deviations each segment is from its speaker's median.

    A standard deviation is 1.4826 median absolute deviations (Rousseeuw, Croux 1993), and at least
    `least`. NaN if the value is missing or the speaker has fewer than `MIN_SEGMENTS`.

    Args:
        table: `tables.SEGMENTS`.
        value: the measure, by the index of `table`; null for segments that are not kept.
        least: lower bound of the standard deviation.
        sides: 1 counts deviations above the median, -1 below.
    """
    known = value[value.notna()]
    by_speaker = table.loc[known.index, "speaker"].fillna("")
    away = known - known.groupby(by_speaker).transform("median")
    mad = away.abs().groupby(by_speaker).transform("median")
    enough = known.groupby(by_speaker).transform("count") >= MIN_SEGMENTS
    scaled = (away / (MAD_TO_SIGMA * mad).clip(lower=least)).where(enough)
    one_sided = pd.concat([side * scaled for side in sides], axis=1).max(axis=1)
    return one_sided.round(3).reindex(table.index)
