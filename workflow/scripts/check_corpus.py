"""Check what is known of a corpus before the recogniser runs; repeat its shards' warnings."""

import logging
from collections import Counter
from pathlib import Path

from voicekiln import job, notices
from voicekiln.corpus import limits
from voicekiln.corpus.segments.statistics import by_engine
from voicekiln.corpus.sources import survey
from voicekiln.store.files import read_json, write_atomic

log = logging.getLogger("check")


def main(smk):
    job.start(smk)
    corpus, settings = smk.wildcards.corpus, smk.params.settings
    shards = [Path(path).parent for path in smk.input.recordings]
    notices.repeat(notices.BEFORE_TEXTS, corpus, [folder.name for folder in shards], log)
    recordings, segments = survey.read(shards)
    events = Counter()
    for path in smk.input.events:
        events.update(read_json(Path(path)))
    line, warnings = survey.cutting(recordings, segments, events, settings["segment"])
    log.info("%s", line)
    log.info("%s", by_engine(segments))
    for warning in [*survey.warnings(recordings, settings, corpus), *warnings]:
        log.warning("%s", warning)
    problems = survey.problems(recordings, segments, settings, corpus)
    for other, theirs in smk.params.others.items() if problems else ():
        problems += survey.of_other(Path("results/corpora", other), theirs)
    limits.stop(problems)
    # always the same text, so that an added recording does not change an input of `transcribe`
    write_atomic(Path(smk.output.checked), "{}\n")


if "snakemake" in globals():
    main(snakemake)
