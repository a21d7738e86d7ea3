"""Transcripts -> checked against audio and reference texts: cut words, confidence."""

from voicekiln.config import files, hypotheses


rule align:
    """Check the transcripts of one shard against audio and reference texts."""
    input:
        table="results/corpora/{corpus}/shards/{shard}/transcribe.parquet",
        recordings="results/corpora/{corpus}/shards/{shard}/normalize.parquet",
        checked=ancient("results/corpora/{corpus}/checked.json"),
        model=computed(files.acoustic_model, None, ROOT),
    output:
        table="results/corpora/{corpus}/shards/{shard}/align.parquet",
        unsaid="results/corpora/{corpus}/shards/{shard}/unsaid.jsonl",
    log:
        "logs/align/{corpus}/{shard}.log",
    benchmark:
        "results/benchmarks/align/{corpus}/{shard}.tsv"
    conda:
        "../../envs/align.yaml"
    threads: if_set("align.acoustic_model", 2, 1)
    resources:
        gpu=if_set("align.acoustic_model", 1, 0),
        # a model of a billion parameters needs 4000 by itself
        mem_mb=if_set("align.acoustic_model", 10000, 2000),
        runtime="4h",
    params:
        code=code("align.py"),
        settings=settings("align", "segment"),
        network=computed(extras.of_segment, "segment.engine"),
        model=named_folder("align.acoustic_model"),
        decodes=computed(hypotheses.by_acoustic_model, None),
        romanizer=if_set("align.acoustic_model", extras.version("uroman"), None),
        store=store("align"),
        acoustic_store=store_if_set("align.acoustic_model", "acoustic"),
    script:
        "../scripts/align.py"
