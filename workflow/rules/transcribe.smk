"""Segments -> text with scores and word times, by Whisper; its models fetched and converted."""


rule transcribe:
    """Transcribe the segments of one shard, batched, with one model load."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/segment.parquet",
        checked="results/corpora/{corpus}/checked.json",
        model=whisper_model("model"),
        second_model=whisper_model("second_model"),
        parts=whisper_parts,
    output:
        table="results/corpora/{corpus}/shards/{shard}/transcribe.parquet",
    log:
        "logs/transcribe/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/transcribe/{corpus}/{shard}.tsv"
    conda:
        "../../envs/asr.yaml"
    threads: 2
    resources:
        gpu=gpus_to_transcribe,
        mem_mb=12000,
        runtime="12h",
    params:
        code=code("transcribe.py"),
        settings=corpus_settings("transcribe"),
        sha256=model_hashes,
        store=store("transcribe"),
    script:
        "../scripts/transcribe.py"


rule fetch_model:
    """Download a released Whisper checkpoint and check its SHA-256."""
    output:
        model="results/models/whisper/{model}.pt",
    log:
        "logs/fetch_model/{model}.log",
    conda:
        "../../envs/asr.yaml"
    params:
        code=code("fetch_model.py"),
    script:
        "../scripts/fetch_model.py"


rule convert_model:
    """Convert a Whisper checkpoint for faster-whisper, without a network."""
    input:
        model=checkpoint_to_convert,
        parts=parts_to_convert,
    output:
        model="results/models/ctranslate2/{converted}/model.bin",
    log:
        "logs/convert_model/{converted}.log",
    conda:
        "../../envs/asr.yaml"
    threads: 1
    resources:
        mem_mb=16000,
        runtime="1h",
    params:
        code=code("convert_model.py"),
        sha256=hash_to_convert,
    script:
        "../scripts/convert_model.py"


localrules:
    fetch_model,
