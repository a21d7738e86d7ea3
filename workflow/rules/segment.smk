"""Normalised recordings -> speech segments: views in samples, cut at pauses."""

from voicekiln.config import hypotheses


rule segment:
    """Cut the recordings of one shard at their pauses."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/normalize.parquet",
    output:
        table="results/corpora/{corpus}/shards/{shard}/segment.parquet",
        events="results/corpora/{corpus}/shards/{shard}/segment.json",
    log:
        "logs/segment/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/segment/{corpus}/{shard}.tsv"
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=1500,
        runtime="4h",
    params:
        code=code("segment.py"),
        settings=settings("segment"),
        network=computed(extras.of_segment, "segment.engine"),
        recogniser=computed(hypotheses.exist, None),
        store=store("segment"),
    script:
        "../scripts/segment.py"
