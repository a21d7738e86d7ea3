"""Kept segments -> train.jsonl, val.jsonl, the final tables and the ledger."""


# a checkpoint: behind it an unchanged data set stops the chain, before anything expensive
checkpoint split_corpus:
    """Split a corpus without leaks, and account for every sample."""
    input:
        facts="results/corpora/{corpus}/tables/correct/DIGEST.json",
        duplicates="results/corpora/{corpus}/tables/deduplicate/DIGEST.json",
        validated="results/corpora/{corpus}/tables/validate/DIGEST.json",
        checked="results/corpora/{corpus}/checked.json",
    output:
        digest="results/corpora/{corpus}/DIGEST.json",
    log:
        "logs/split_corpus/{corpus}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=code("split_corpus.py"),
        settings=settings("split", "max_loss"),
    script:
        "../scripts/split_corpus.py"
