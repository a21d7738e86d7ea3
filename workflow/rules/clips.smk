"""Data set -> clips and lists for other programs; made on request."""


rule write_clips:
    """Write the clips of a corpus."""
    input:
        digest="results/corpora/{corpus}/DIGEST.json",
        checked="results/corpora/{corpus}/checked.json",
    output:
        record="results/corpora/{corpus}/clips/clips.json",
    log:
        "logs/write_clips/{corpus}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=4000,
        runtime="4h",
    params:
        code=code("write_clips.py"),
    script:
        "../scripts/write_clips.py"
