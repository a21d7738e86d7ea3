"""Find duplicate audio and text in a corpus; keep the best of each, list every pair."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.corpus import decisions
from voicekiln.corpus.deduplicate import DeduplicateSettings, deduplicate
from voicekiln.corpus.fingerprints import of_segments
from voicekiln.corpus.limits import many_dropped, stop, too_much_dropped
from voicekiln.corpus.split import SplitSettings, held_out
from voicekiln.store import tables
from voicekiln.store.files import write_atomic

log = logging.getLogger("deduplicate")
MANY = (
    "check duplicates.jsonl; deduplicate.takes_per_text: 0 keeps all takes of a text, and "
    "deduplicate.copy_distance: 0 does not look for copies"
)


def main(smk):
    job.start(smk)
    facts = Path(smk.input.facts)
    segments = decisions.read(facts)
    settings = DeduplicateSettings(**smk.params.settings["deduplicate"])
    acoustics = tables.read_columns(facts, "acoustics.parquet", ["segment_id", "fingerprint"])
    fingerprints = of_segments(segments, acoustics)
    del acoustics
    val = held_out(segments, SplitSettings.of(smk.params.settings["split"]))
    decided, pairs = deduplicate(segments, fingerprints, settings, val)
    table = decisions.apply(segments, decided)
    kept = table.loc[table["status"] == "keep", "segment_id"]
    pairs["dropped"] &= ~pairs["other"].isin(kept)
    for kind, some in pairs.groupby("kind"):
        log.info("%s: %d pairs, %d segments dropped", kind, len(some), some["dropped"].sum())
    doubted = pairs[pairs["kind"].isin(["same audio", "copy of a recording"]) & ~pairs["same_text"]]
    if len(doubted):
        log.warning(
            "%d pairs of segments have the same audio and different texts (first: %s); listen to "
            "them on the review page and correct the wrong texts",
            len(doubted),
            ", ".join(doubted["other"].head(3)),
        )
    for line in many_dropped(table, "deduplicate", dict.fromkeys(set(pairs["kind"]), MANY)):
        log.warning("%s", line)
    digest = Path(smk.output.digest)
    files = [digest.parent / "decisions.parquet", digest.parent / "duplicates.jsonl"]
    tables.write(decided, files[0], tables.DECISIONS)
    write_atomic(files[1], pairs.to_json(orient="records", lines=True, force_ascii=False))
    limits = smk.params.settings["max_loss"]
    stop(too_much_dropped(table, ("deduplicate",), limits, smk.wildcards.corpus))
    tables.write_digest(digest, files)


if "snakemake" in globals():
    main(snakemake)
