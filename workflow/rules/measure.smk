"""Segments -> noise, bandwidth, pitch, speaker features, fingerprint, opinion scores."""


rule measure:
    """Compute acoustic measurements of the segments of one shard."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/align.parquet",
        speaker_model=named_file("measure.speaker_model"),
        checked=ancient("results/corpora/{corpus}/checked.json"),
    output:
        table="results/corpora/{corpus}/shards/{shard}/measure.parquet",
        acoustics="results/corpora/{corpus}/shards/{shard}/acoustics.parquet",
    log:
        "logs/measure/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/measure/{corpus}/{shard}.tsv"
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="4h",
    params:
        code=code("measure.py"),
        settings=settings("measure"),
        resemblyzer=computed(extras.of_measure, "measure.speaker_model"),
        mos=computed(extras.of_mos, "measure.mos"),
        store=store("measure"),
    script:
        "../scripts/measure.py"
