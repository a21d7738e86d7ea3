"""The newest segments of an unfinished corpus, for example one that a limit stopped."""

from pathlib import Path

from voicekiln.corpus import decisions, merge
from voicekiln.corpus.sources import listing
from voicekiln.provenance import sha256_file, sha256_json
from voicekiln.review import facts
from voicekiln.review.build import Reviewed
from voicekiln.store import tables

DECIDED = ("tables/deduplicate", "tables/validate")
OF_SHARDS = ("segment.parquet", "measure.parquet")


def find(folder: Path, corrections: Path | None) -> Reviewed | None:
    """The newest segments of a corpus; None if it has none yet.

    A step writes its tables before it checks the limits, so the newest tables are those of the step
    that stopped.

    Args:
        folder: `results/corpora/<corpus>`.
        corrections: the user's file, or None.
    """
    facts_of = folder / "tables" / "correct"
    sets = [[facts_of / "segments.parquet"], [folder / "segments.parquet"]]
    sets += [
        [folder / step / "decisions.parquet" for step in DECIDED[:n]]
        for n in range(1, len(DECIDED) + 1)
    ]
    listed = listing.stored(folder)
    shards = listed.shards if listed else []
    sets += [[folder / "shards" / shard / name for shard in shards] for name in OF_SHARDS]
    complete = [files for files in sets if files and all(map(Path.exists, files))]
    if not complete:
        return None
    newest = max(complete, key=lambda files: max(path.stat().st_mtime_ns for path in files))
    merged = facts_of / "recordings.parquet"
    if newest[0].name == "decisions.parquet":
        recordings = tables.read(merged)
        segments = decisions.read_unchecked(facts_of, [path.parent for path in newest])
    elif newest[0].parent in (facts_of, folder):
        recordings, segments = tables.read(merged), tables.read(newest[0])
    else:
        normalized = [path.with_name("normalize.parquet") for path in newest]
        recordings = merge.merge_recordings(normalized)
        segments = merge.merge_segments(newest, recordings)
    conflicts = merged.with_name("conflicts.jsonl")
    return Reviewed(
        corpus=folder.name,
        segments=segments,
        recordings=recordings,
        corrections=corrections if corrections and corrections.exists() else None,
        conflicts=facts.read_conflicts(conflicts) if conflicts.exists() else [],
        digest=sha256_json([sha256_file(path) for path in newest])[:16],
    )
