"""Transcripts -> checked against the audio: edges, known texts, confidence."""


rule align:
    """Check the transcripts of one shard against audio and known texts."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/transcribe.parquet",
        recordings="results/corpora/{corpus}/shards/{shard}/normalize.parquet",
        checked="results/corpora/{corpus}/checked.json",
        model=acoustic_files,
    output:
        table="results/corpora/{corpus}/shards/{shard}/align.parquet",
        unsaid="results/corpora/{corpus}/shards/{shard}/unsaid.jsonl",
    log:
        "logs/align/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/align/{corpus}/{shard}.tsv"
    conda:
        "../../envs/align.yaml"
    threads: threads_to_align
    resources:
        gpu=gpus_to_align,
        mem_mb=memory_to_align,
        runtime="4h",
    params:
        code=code("align.py"),
        settings=corpus_settings("align", "segment"),
        network=network_to_segment,
        model=acoustic_model,
        romanizer=romanizer_to_align,
        store=store("align"),
        acoustic_store=acoustic_store,
    script:
        "../scripts/align.py"
