"""The store -> what no table refers to any more, listed, and removed on request."""


rule gc:
    """List, and with gc.delete remove, what of the store is no longer in use."""
    log:
        "logs/gc.log",
    conda:
        "../../envs/audio.yaml"
    threads: workflow.cores
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        delete=SETTINGS["gc"]["delete"],
        keep_days=SETTINGS["gc"]["keep_days"],
        shards={name: corpus["shards"] for name, corpus in CORPORA.items()},
    script:
        "../scripts/gc.py"


localrules:
    gc,
