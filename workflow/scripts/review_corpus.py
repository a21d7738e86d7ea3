"""Write the page on which people listen to the segments of a corpus and correct them."""

import logging
from pathlib import Path

import soundfile
from voicekiln import job, tables
from voicekiln.corpus import corrections
from voicekiln.provenance import sha256_file
from voicekiln.review import audio, facts, page
from voicekiln.store.files import write_atomic
from voicekiln.store.items import Store

log = logging.getLogger("review")
STORE = Path("results", "store")
LISTED = {name: tables.SEGMENTS[name] for name in ("segment_id", "item", "start", "end")}


def main(smk):
    job.start(smk)
    settings = smk.params.settings["review"]
    digest, merged = Path(smk.input.digest), Path(smk.input.merged)
    segments = tables.read_checked(digest, "segments.parquet")
    recordings = tables.read_checked(digest, "recordings.parquet")
    listed = facts.worst_first(segments).head(settings["max_segments"])
    given = corrections.read(next(iter(smk.input.corrections), None))
    conflicts = facts.read_conflicts(merged.parent / "conflicts.jsonl")
    content = facts.gather(
        smk.wildcards.corpus, listed, recordings, given, conflicts, settings["context_s"]
    )
    content["digest"] = sha256_file(digest)[:16]
    normalized = Store(STORE, "normalize")
    store = Store(STORE, "review", {"points": audio.POINTS, "version": audio.VERSION})
    content["segments"]["peaks"] = peaks(
        listed, recordings, normalized, store, settings["context_s"]
    )
    target = Path(smk.output.page)
    tables.write(listed, target.parent / "listed.parquet", LISTED, store)
    items = sorted(set(listed["item"]))
    copied = audio.place(target.parent / "audio", [normalized.path(i, ".flac") for i in items])
    if copied:
        log.info("%d bytes of audio copied: this file system has no hard links", copied)
    write_atomic(target, page.render(content, len(segments)))
    job.say(f"{len(listed)} of {len(segments)} segments to review: {target}")


def peaks(listed, recordings, normalized, store, context_s):
    """The waveform of each listed segment with its context, recording by recording."""
    lengths = recordings.drop_duplicates("item").set_index("item")["n_samples"]
    found, computed = {}, 0
    progress = job.Progress(len(listed), "waveforms")
    for item, rows in listed.groupby("item", sort=True):
        normalized.require(item)
        try:
            with soundfile.SoundFile(normalized.path(item, ".flac")) as file:
                for row in rows.sort_values("start").itertuples():
                    context = round(context_s * row.rate_hz)
                    start, end = max(0, row.start - context), min(lengths[item], row.end + context)
                    key = store.key(item=item, start=int(start), end=int(end))
                    record = store.get(key)
                    if record is None:
                        computed += 1
                        record = {"peaks": audio.waveform(file, int(start), int(end))}
                        store.put(key, record)
                    found[row.Index] = record["peaks"]
        except (soundfile.LibsndfileError, EOFError) as error:
            normalized.report(item, f"cannot be read ({error})")
        progress(len(rows))
    log.info("%d segments, %d items computed", len(listed), computed)
    return [found[i] for i in listed.index]


if "snakemake" in globals():
    main(snakemake)
