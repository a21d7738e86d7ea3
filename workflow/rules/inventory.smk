"""The listing of a corpus -> one row per recording: content hash, format, speaker, reference text."""


rule inventory:
    """Read the header, content hash and text of each recording of one shard."""
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
        settings=inventory_settings,
        listing=shard_listing,
        store=store("inventory"),
    script:
        "../scripts/inventory.py"
