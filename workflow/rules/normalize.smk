"""Recordings -> mono FLAC of one rate and loudness, in the store."""


rule normalize:
    """Normalise the recordings of one shard."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/inventory.parquet",
        separator=named_file("normalize.separate"),
    output:
        table="results/corpora/{corpus}/shards/{shard}/normalize.parquet",
    log:
        "logs/normalize/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/normalize/{corpus}/{shard}.tsv"
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        gpu=if_set("normalize.separate", 1, 0),
        # the source separation network needs 1500 by itself
        mem_mb=if_set("normalize.separate", 3000, 1500),
        runtime="8h",
    params:
        code=code("normalize.py"),
        settings=settings("normalize"),
        folders=audio_folders,
        packages=computed(extras.of_normalize, "normalize"),
        store=store("normalize"),
    script:
        "../scripts/normalize.py"
