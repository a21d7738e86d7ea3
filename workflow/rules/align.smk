"""Transcripts -> checked against the audio: edges, known texts, confidence."""


rule align:
    """Check the transcripts of one shard against audio and known texts."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/transcribe.parquet",
        recordings="results/corpora/{corpus}/shards/{shard}/normalize.parquet",
        checked="results/corpora/{corpus}/checked.json",
    output:
        table="results/corpora/{corpus}/shards/{shard}/align.parquet",
        unsaid="results/corpora/{corpus}/shards/{shard}/unsaid.jsonl",
    log:
        "logs/align/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/align/{corpus}/{shard}.tsv"
    conda:
        "../../envs/audio.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime="2h",
    params:
        code=code("align.py"),
        settings=corpus_settings("align", "segment"),
        network=network_to_segment,
        store=store("align"),
    script:
        "../scripts/align.py"
