"""Segments with text -> exact and near duplicates, and which of them are dropped."""


rule deduplicate:
    """Find repeated audio and text of a corpus."""
    input:
        facts="results/corpora/{corpus}/tables/correct/DIGEST.json",
        checked="results/corpora/{corpus}/checked.json",
    output:
        digest="results/corpora/{corpus}/tables/deduplicate/DIGEST.json",
    log:
        "logs/deduplicate/{corpus}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=code("deduplicate.py"),
        settings=settings("deduplicate", "max_loss", "split"),
    script:
        "../scripts/deduplicate.py"
