"""Apply the validation rules to every segment of a corpus."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.corpus import decisions
from voicekiln.corpus.limits import many_dropped, stop, too_much_dropped
from voicekiln.corpus.measure import by_segment
from voicekiln.corpus.texts import with_digits
from voicekiln.corpus.validate import ValidateSettings, validate
from voicekiln.corpus.variety import monotony
from voicekiln.store import tables
from voicekiln.store.files import write_atomic

log = logging.getLogger("validate")
BETTER_TEXTS = (
    "listen to some on the review page; reference texts or a larger transcribe.model are better"
)
# what to do if a reason drops many segments
REMEDIES = {
    "recogniser unsure": BETTER_TEXTS,
    "low confidence": BETTER_TEXTS,
    "no speech detected": BETTER_TEXTS,
    "text differs from the hypothesis": (
        "check that the texts belong to these recordings, or set validate.max_cer"
    ),
    "text does not align with the audio": (
        "check that the texts belong to these recordings, or set validate.min_acoustic_score"
    ),
    "too few characters a second": "check the texts, or set validate.min_chars_per_s",
    "too many characters a second": "check the texts, or set validate.max_chars_per_s",
    "too few words": "set segment.merge_gap_s or validate.min_words",
    "too short": "set segment.merge_gap_s or validate.min_s",
    "too long": "set segment.max_s or validate.max_s",
    "text too long": "set segment.max_s or validate.max_chars",
    "too much silence": "set segment.pad_s or validate.max_silence_share",
    "clipped": "use copies recorded at a lower level, or set validate.max_clipped_share",
    "noisy": "try normalize.denoise, or set validate.min_snr_db",
    "low MOS": (
        "listen to some on the review page; the level of these scores depends on language, voice "
        "and microphone. Lower validate.min_mos, or set it to null"
    ),
}
LISTED = ["segment_id", "path", "start", "end", "rate_hz", "speaker", "language", "text"]


def main(smk):
    job.start(smk)
    segments = decisions.read(smk.input.facts, [smk.input.duplicates])
    acoustics = tables.read_checked(Path(smk.input.facts), "acoustics.parquet")
    features = by_segment(segments, acoustics["segment_id"], acoustics["speaker_features"])
    settings = ValidateSettings(**resolved(smk.params.settings))
    decided, distance, suspects = validate(
        segments, features, settings, smk.params.resemblyzer is not None
    )
    table = decisions.apply(segments, decided).assign(speaker_distance=distance)
    dropped = table[table["step"] == "validate"]
    for reason, rows in dropped.groupby("reason"):
        log.info("dropped, %s: %d segments", reason, len(rows))
    for line in many_dropped(table, "validate", REMEDIES):
        log.warning("%s", line)
    if len(suspects):
        log.warning(
            "%d kept segments may be of another speaker (suspects.jsonl); listen to them on the "
            "review page, or set validate.drop_other_speakers: true",
            len(suspects),
        )
    log.info("%d of %d segments kept", int((table["status"] == "keep").sum()), len(table))
    for note in monotony(table):
        log.warning("%s", note)
    digest = Path(smk.output.digest)
    files = [digest.parent / "decisions.parquet", digest.parent / "columns.parquet"]
    tables.write(decided, files[0], tables.DECISIONS)
    tables.write(table, files[1], tables.VALIDATED)
    suspects = suspects.assign(limit=settings.max_speaker_distance)
    suspects = suspects[[*LISTED, "speaker_distance", "limit"]]
    numbers = with_digits(table)[[*LISTED, "n_digits"]]
    if len(numbers):
        log.warning(
            "%d kept segments contain digits (digits.jsonl, first: %s); spell them out in the "
            "corrections, or set text.numbers: drop",
            len(numbers),
            numbers["text"].iloc[0][:60],
        )
    lists = {"suspects": suspects, "digits": numbers}
    for name, rows in lists.items():
        text = rows.to_json(orient="records", lines=True, force_ascii=False)
        files.append(digest.parent / f"{name}.jsonl")
        write_atomic(files[-1], text)
    limits = smk.params.settings["max_loss"]
    stop(too_much_dropped(table, ("validate",), limits, smk.wildcards.corpus))
    tables.write_digest(digest, files)


def resolved(settings):
    """The section `validate`; with a network in a file all unlike segments are dropped."""
    section = dict(settings["validate"])
    named = settings["measure"]["speaker_model"] not in (None, "auto")
    if section["drop_other_speakers"] is None and named:
        section["drop_other_speakers"] = True
    return section


if "snakemake" in globals():
    main(snakemake)
