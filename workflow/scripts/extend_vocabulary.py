"""Extend the base's vocabulary for the data set, and record how far it covers the texts."""

import logging
import os
import shutil
from pathlib import Path

from voicekiln import families, job
from voicekiln.corpus.dataset import join
from voicekiln.errors import UserError
from voicekiln.families import base as bases
from voicekiln.provenance import sha256_file
from voicekiln.store.files import temporary, write_json
from voicekiln.voice import references, sentences

log = logging.getLogger("tokenizer")
HELD_OUT = 16  # validation texts that the reset measures new rows on


def main(smk):
    job.start(smk)
    settings = smk.params.settings
    family = families.get(settings["family"])
    segments, leaks = join(smk.input.datasets, settings["train_on"])
    folder = Path(smk.output.coverage).parent
    part = temporary(folder / "new")
    part.mkdir(parents=True)
    try:
        report = extend(smk, family, segments, part)
        report["files"] = [
            {"path": name, "sha256": sha256_file(part / name)} for name in sorted(report["files"])
        ]
        for file in report["files"]:
            os.replace(part / file["path"], folder / file["path"])
    finally:
        shutil.rmtree(part)
    log.info("%d tokens of the base, %d added", report["base_tokens"], len(report["added"]))
    for path, facts in ((smk.output.leaks, leaks), (smk.output.coverage, report)):
        write_json(Path(path), facts)


def extend(smk, family, segments, folder):
    """Write the tokenizer's files and return the coverage, if all test sentences can be spoken."""
    rows = zip(segments["text"], segments["language"].fillna(""), strict=True)
    texts = dict(zip(segments["segment_id"], rows, strict=True))
    base = bases.files(smk.params.base)
    report = family.extend(base, texts, smk.params.tokenizer, folder)
    # Now, because after the training is too late to learn that a sentence cannot be spoken.
    held_out = segments[segments["split"] == "val"].sort_values("segment_id").head(HELD_OUT)
    report["held_out"] = held_out[["text", "language"]].fillna("").values.tolist()
    tokenizer, wanted = family.tokenizer(folder), smk.params.settings["evaluate"]
    good_s = references.Range(*family.REFERENCE_S)
    sentences.plan(segments, references.references(segments, good_s, wanted["reference"]), wanted)
    for i, (text, language) in enumerate(sentences.sentences(segments, wanted["sentences"])):
        try:
            tokenizer.encode(text, language)
        except UserError as error:
            raise UserError(f"evaluate.sentences[{i}]: {error}") from error
    return report


if "snakemake" in globals():
    main(snakemake)
