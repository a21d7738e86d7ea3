"""Extend the base's vocabulary with the characters of the data set, and say what it covers."""

import logging
from pathlib import Path

from voicekiln import families, job
from voicekiln.corpus.dataset import join
from voicekiln.store.files import write_json
from voicekiln.tokenizers import vocab
from voicekiln.voice import references as reference
from voicekiln.voice import sentences as spoken

log = logging.getLogger("tokenizer")


def main(smk):
    job.start(smk)
    settings = smk.params.settings["tokenizer"]
    family = families.get(smk.params.settings["family"])
    segments, leaks = join(smk.input.datasets, smk.params.settings["train_on"])
    base = vocab.read_vocab(smk.input.base)
    tokens = dict(zip(segments["segment_id"], family.split(segments["text"]), strict=True))
    if settings["vocab"] is not None:
        extended = vocab.read_vocab(next(iter(smk.input.pinned)))
    elif settings["extend"]:
        extended = vocab.extend(base, vocab.count(tokens), settings["min_count"])
    else:
        extended = base
    # after days of training it would be late to learn that a test sentence cannot be spoken
    wanted = smk.params.settings["evaluate"]
    good_s = reference.Range(*family.REFERENCE_S)
    spoken.plan(segments, reference.references(segments, good_s, wanted["reference"]), wanted)
    sentences = [text for text, _ in spoken.sentences(segments, wanted["sentences"])]
    tested = {f"evaluate.sentences[{i}]": t for i, t in enumerate(family.split(sentences))}
    vocab.require_known(tokens | tested, extended)
    report = vocab.coverage(tokens, base, extended)
    log.info("%d tokens of the base, %d added", len(base), len(extended) - len(base))
    vocab.write_vocab(Path(smk.output.vocab), extended)
    for path, facts in ((smk.output.leaks, leaks), (smk.output.coverage, report)):
        write_json(Path(path), facts)


if "snakemake" in globals():
    main(snakemake)
