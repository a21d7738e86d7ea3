"""Recordings and segments of all shards -> checked against the limits, before any GPU is used."""

# the sections that hold limits
CHECKED = ("max_bad_recordings", "min_total_s", "max_loss", "segment", "split")


def other_corpora(wildcards, input):
    """Params: settings of all other corpora, for a message that names their problems.

    Snakemake does not follow params that take `input`, so they never make the corpus run again.
    """
    return {
        name: canonical({section: corpus[section] for section in CHECKED})
        for name, corpus in CORPORA.items()
        if name != wildcards.corpus
    }


# a checkpoint: its small output stays the same while the corpus is within its limits, so a changed
# recording reruns only the steps of its own shard. Shard jobs take it as ancient: then a dry run,
# too, names only that shard's jobs
checkpoint check_corpus:
    """Stop a corpus that cannot become a data set, with all known problems in one message."""
    input:
        recordings=shard_files("normalize.parquet"),
        segments=shard_files("segment.parquet"),
        events=shard_files("segment.json"),
    output:
        checked="results/corpora/{corpus}/checked.json",
    log:
        "logs/check_corpus/{corpus}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=code("check_corpus.py"),
        settings=settings(*CHECKED),
        others=other_corpora,
    script:
        "../scripts/check_corpus.py"
