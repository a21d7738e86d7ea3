"""Folders and manifests -> one row per recording: content hash, format, speaker, known text."""


rule inventory:
    """List the recordings of one shard and look into each."""
    output:
        table="results/corpora/{corpus}/shards/{shard}/inventory.parquet",
    log:
        "logs/inventory/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/inventory/{corpus}/{shard}.tsv"
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        code=code("inventory.py"),
        corpus=listed,
        listing=shard_listing,
        store=store("inventory"),
    script:
        "../scripts/inventory.py"
