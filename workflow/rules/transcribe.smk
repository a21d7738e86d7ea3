"""Segments -> text with scores and word timestamps by Whisper; models downloaded and converted."""

from voicekiln.config import hypotheses, whisper_models

CONVERSIONS = whisper_models.conversions(CORPORA, ROOT)


rule transcribe:
    """Transcribe the segments of one shard, batched, with one model load."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/segment.parquet",
        checked=ancient("results/corpora/{corpus}/checked.json"),
        model=computed(whisper_models.input_file, "transcribe", "model", ROOT),
        second_model=computed(
            whisper_models.input_file, "transcribe", "second_model", ROOT
        ),
        parts=computed(whisper_models.input_parts, "transcribe", ROOT),
    output:
        table="results/corpora/{corpus}/shards/{shard}/transcribe.parquet",
    log:
        "logs/transcribe/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/transcribe/{corpus}/{shard}.tsv"
    conda:
        "../../envs/asr.yaml"
    threads: if_set("transcribe.model", 2, 1)
    resources:
        gpu=if_set("transcribe.model", 1, 0),
        mem_mb=if_set("transcribe.model", 12000, 2000),
        runtime="12h",
    params:
        code=code("transcribe.py"),
        settings=settings("transcribe"),
        decoded_later=computed(hypotheses.by_acoustic_model, None),
        sha256=computed(whisper_models.expected_sha256, "transcribe", ROOT),
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
        model=lookup("{converted}/file", within=CONVERSIONS),
        parts=lookup("{converted}/parts", within=CONVERSIONS),
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
        sha256=lookup("{converted}/sha256", within=CONVERSIONS),
    script:
        "../scripts/convert_model.py"


localrules:
    fetch_model,
