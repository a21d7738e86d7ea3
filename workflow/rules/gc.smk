"""Store and voices -> what is no longer in use, listed, and removed on request."""


rule gc:
    """List, and remove on request, unused items of the store and old voices of the runs."""
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
