"""Merge the shards of a corpus into one table, clean the texts, apply the user's corrections."""

import json
import logging
from pathlib import Path

import pandas as pd
from voicekiln import job, tables
from voicekiln.corpus import corrections, merge, trust
from voicekiln.corpus.losses import check_losses, check_total
from voicekiln.corpus.quality import concerns
from voicekiln.store.files import write_atomic
from voicekiln.text.clean import clean
from voicekiln.text.normalize import TextSettings, has_digits, normalize
from voicekiln.text.romanize import romanize

log = logging.getLogger("correct")


def main(smk):
    job.start(smk)
    digest = Path(smk.output.digest)
    recordings = merge.merge_recordings([Path(path) for path in smk.input.recordings])
    limit = smk.params.settings["max_bad_recordings"]
    merge.check_bad_share(recordings, limit, smk.wildcards.corpus)
    least_s = smk.params.settings["min_total_s"]
    for concern in [*check_total(recordings, least_s, smk.wildcards.corpus), *concerns(recordings)]:
        log.warning("%s", concern)
    segments = merge.merge_segments([Path(path) for path in smk.input.segments], recordings)
    acoustics = merge.merge_acoustics([Path(path) for path in smk.input.acoustics], segments)
    given = corrections.read(next(iter(smk.input.corrections), None))
    segments, conflicts = corrections.correct(segments, given)
    settings = TextSettings(**smk.params.settings["text"])
    segments["text"] = spoken(segments, settings)
    segments["romanized"] = second_texts(segments, settings.romanize)
    in_digits = segments["text"].map(has_digits, na_action="ignore").fillna(False).astype(bool)
    if in_digits.any():
        log.warning(
            "%d segments hold numbers that are not in words, first: %s",
            in_digits.sum(),
            segments.loc[in_digits, "text"].iloc[0],
        )
    segments = trust.score(segments)
    for row in conflicts:
        log.warning("correction not applied: %s", row)
    log.info(
        "%d recordings, %d segments, %d corrections, %d of them not applied",
        len(recordings),
        len(segments),
        len(given),
        len(conflicts),
    )
    files = []
    for name, table, schema in (
        ("recordings", recordings, tables.RECORDINGS),
        ("segments", segments, tables.SEGMENTS),
        ("acoustics", acoustics, tables.ACOUSTICS),
    ):
        files.append(digest.parent / f"{name}.parquet")
        tables.write(table, files[-1], schema)
    files.append(digest.parent / "conflicts.jsonl")
    lines = [json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in conflicts]
    write_atomic(files[-1], "".join(lines))
    limits = smk.params.settings["max_loss"]
    check_losses(segments, ("segment", "transcribe", "align"), limits, smk.wildcards.corpus)
    tables.write_digest(digest, files)


def spoken(segments, settings):
    """The texts as they are spoken; those that were corrected by hand are only cleaned."""
    rows = zip(segments["text"], segments["language"], segments["text_source"], strict=True)
    return pd.array(
        [
            None
            if tables.missing(text)
            else clean(text)
            if source == "corrected"
            else normalize(text, language, settings)
            for text, language, source in rows
        ],
        dtype=pd.StringDtype(),
    )


def second_texts(segments, tool):
    """The texts of the kept segments in Latin letters or phonemes, where a tool is set."""
    made = pd.Series(pd.NA, segments.index, dtype=pd.StringDtype())
    if tool is None:
        return made
    rows = segments[(segments["status"] == "keep") & segments["text"].notna()]
    made[rows.index] = romanize(zip(rows["text"], rows["language"], strict=True), tool)
    unknown = rows.loc[made[rows.index].isna(), "language"].value_counts()
    if len(unknown):
        log.warning("%s does not know %s", tool, unknown.to_dict())
    log.info("%d texts romanised by %s", made.notna().sum(), tool)
    return made


if "snakemake" in globals():
    main(snakemake)
