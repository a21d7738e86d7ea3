"""Rows of recordings and segments for tests, in seconds and words."""

from voicekiln.corpus import decisions
from voicekiln.corpus import deduplicate as duplicates
from voicekiln.corpus import validate as rules
from voicekiln.corpus.validate import ValidateSettings
from voicekiln.store import tables

RATE_HZ = 24000


def segment(text, start_s=0.0, length_s=2.0, recording="r0", **more):
    start, end = round(start_s * RATE_HZ), round((start_s + length_s) * RATE_HZ)
    row = {
        "segment_id": f"{recording}_{start}_{end}",
        "recording_id": recording,
        "root": "in",
        "path": f"{recording}.wav",
        "start": start,
        "end": end,
        "rate_hz": RATE_HZ,
        "speaker": "anna",
        "text": text,
        "text_source": "hypothesis",
        "avg_logprob": -0.2,
        "no_speech_prob": 0.01,
        "silence_share": 0.1,
        "clipped_share": 0.0,
        "audio_sha256": f"{recording}{start}",
        "status": "keep",
    }
    return row | more


def table(*rows):
    return tables.frame(list(rows), tables.SEGMENTS)


def recording(name="r0", seconds=60.0, **more):
    row = {
        "recording_id": name,
        "root": "in",
        "path": f"{name}.wav",
        "content_sha256": name,
        "duration_s": seconds,
        "status": "ok",
        "rate_hz": RATE_HZ,
        "n_samples": round(seconds * RATE_HZ),
    }
    return row | more


def validate_settings(**changed):
    """Settings of `validate` for these rows."""
    section = {
        "min_words": 1,
        "min_s": 0.5,
        "max_s": 30.0,
        "max_chars": None,
        "min_chars_per_s": 2.0,
        "max_chars_per_s": 25.0,
        "max_silence_share": 0.5,
        "max_clipped_share": 0.01,
        "min_snr_db": 10.0,
        "min_mos": None,
        "min_avg_logprob": -1.0,
        "max_no_speech_prob": 0.6,
        "min_confidence": 0.2,
        "max_cer": 0.5,
        "min_acoustic_score": None,
        "script": "LATIN",
        "min_script_share": 0.5,
        "max_deviation": 6.0,
        "max_speaker_distance": 2.8,
        "drop_other_speakers": False,
    }
    return ValidateSettings(**section | changed)


def deduplicate(segments, *rest):
    """The segments as the step leaves them, and the pairs."""
    decided, pairs = duplicates.deduplicate(segments, *rest)
    return decisions.apply(segments, decided), pairs


def validate(segments, *rest):
    """The segments as the step leaves them, and the suspects."""
    decided, distance, suspects = rules.validate(segments, *rest)
    return decisions.apply(segments, decided).assign(speaker_distance=distance), suspects
