"""Segments -> which are dropped, with the rule, the value and the limit of every drop."""


rule validate_segments:
    """Apply the validation rules to every segment of a corpus."""
    input:
        facts="results/corpora/{corpus}/tables/correct/DIGEST.json",
        duplicates="results/corpora/{corpus}/tables/deduplicate/DIGEST.json",
        checked="results/corpora/{corpus}/checked.json",
    output:
        digest="results/corpora/{corpus}/tables/validate/DIGEST.json",
    log:
        "logs/validate_segments/{corpus}.log",
    conda:
        "../../envs/audio.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=code("validate_segments.py"),
        settings=settings("validate", "measure", "max_loss"),
        resemblyzer=computed(extras.of_measure, "measure.speaker_model"),
    script:
        "../scripts/validate_segments.py"
