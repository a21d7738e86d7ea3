"""Folders and lists of recordings -> the recordings of each shard, listed when Snakemake starts.

No rule: the listing decides which jobs run, so it is a param of theirs. It is too long for one, so
the param is its digest, and the jobs read the listing from a file.
"""

from voicekiln.corpus.sources import listing as listings
from voicekiln.corpus.sources import recordings

LISTED = {}  # corpora that this process has listed


def sources(corpus):
    """Where a corpus's recordings and reference texts come from, with located paths."""
    section = CORPORA[corpus]
    audio = (
        [section["audio"]] if isinstance(section["audio"], str) else section["audio"]
    )
    transcripts = section["transcripts"]
    if transcripts not in paths.TRANSCRIPT_WORDS:
        transcripts = located(transcripts)
    keys = ("language", "speaker", "path_pattern", "columns")
    return canonical(
        {key: section[key] for key in keys}
        | {"audio": [located(path) for path in audio], "transcripts": transcripts}
    )


def list_corpus(corpus):
    """The listing of a corpus's files as they are now, made once."""
    if corpus not in LISTED:
        section = CORPORA[corpus]
        LISTED[corpus] = recordings.listing_of(
            sources(corpus),
            corpus,
            section["shards"],
            needs_texts=section["transcribe"]["model"] is None,
        )
    return LISTED[corpus]


def listing(corpus):
    """The listing of a corpus; the process of a job reads what the main process wrote.

    If a corpus cannot be listed, the message has the problems of all corpora.
    """
    if not workflow.is_main_process:
        return or_stop(listings.written)(Path("results/corpora", corpus))
    return or_stop(recordings.listing_or_problems)(corpus, list_corpus, CORPORA)


def shard_files(name):
    """Input function: one file from each shard of the corpus."""

    def files(wildcards):
        return expand(
            "results/corpora/{corpus}/shards/{shard}/{name}",
            corpus=wildcards.corpus,
            shard=listing(wildcards.corpus).shards,
            name=name,
        )

    return files


def run_features(wildcards):
    """Input: the feature indices of all shards of the corpora of a run."""
    return [
        f"results/runs/{wildcards.run}/features/{corpus}/{shard}.parquet"
        for corpus in corpora_of(RUNS[wildcards.run])
        for shard in listing(corpus).shards
    ]


def shard_count(wildcards):
    """Params: the number of the corpus's shards."""
    return len(listing(wildcards.corpus).shards)


def shard_listing(wildcards):
    """Params: digest of the shard's recordings, so that only a changed shard runs again."""
    return listing(wildcards.corpus).digests[int(wildcards.shard)]


def inventory_settings(wildcards):
    """Params: how the corpus's recordings and the texts beside them are read."""
    section = CORPORA[wildcards.corpus]
    keys = ("channels", "textgrid_tier")
    return {key: section[key] for key in keys} | {"keep": section["text"]["keep"]}


def audio_folders(wildcards):
    """Params: the folder of each of a corpus's `audio`; tables name it by its position."""
    return [recordings.folder_of(path) for path in sources(wildcards.corpus)["audio"]]


# not in a dry run; before the first job
onstart:
    for corpus in LISTED:
        if or_stop(listings.write)(LISTED[corpus], Path("results/corpora", corpus)):
            listings.report(LISTED[corpus], corpus, logger.info)
