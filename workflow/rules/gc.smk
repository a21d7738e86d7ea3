"""Store and voices -> unused items and old voices, listed, and deleted on request."""


rule gc:
    """List unused store items and old voices, and delete them on request."""
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
        delete_voices=SETTINGS["gc"]["delete_voices"],
        keep_days=SETTINGS["gc"]["keep_days"],
    script:
        "../scripts/gc.py"


localrules:
    gc,
