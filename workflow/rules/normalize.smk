"""Recordings -> mono FLAC of one rate and loudness, in the store."""


rule normalize:
    """Normalise the recordings of one shard."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/inventory.parquet",
        separator=separator_model,
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
        gpu=gpus_to_separate,
        mem_mb=memory_to_normalize,
        runtime="8h",
    params:
        code=code("normalize.py"),
        settings=corpus_settings("normalize"),
        folders=audio_folders,
        packages=packages_to_normalize,
        store=store("normalize"),
    script:
        "../scripts/normalize.py"
