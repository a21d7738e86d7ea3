"""Segments of the data set -> features for the model, in packs of the store."""


rule extract_features:
    """Compute the features of one shard of a corpus."""
    input:
        dataset="results/corpora/{corpus}/DIGEST.json",
        checkpoints="results/corpora/{corpus}/tables/correct/DIGEST.json",
        base=of_base(bases.original_inputs),
    output:
        index="results/runs/{run}/features/{corpus}/{shard}.parquet",
    log:
        "logs/extract_features/{run}/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/extract_features/{run}/{corpus}/{shard}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        gpu=computed(bases.gpus_for_features, "family"),
        mem_mb=4000,
        runtime="4h",
    params:
        code=family_code("extract_features.py"),
        settings=settings("family", "features"),
        base=of_base(bases.original),
        batch_s=setting("train.batch_s"),
        shards=shard_count,
        store=store("features"),
    script:
        "../scripts/extract_features.py"
