"""Base checkpoint + vocabulary -> weights without training state, with rows for new tokens."""


rule check_base:
    """Check that the base fits its vocabulary and architecture."""
    input:
        base=of_base(bases.inputs),
    output:
        "results/runs/{run}/base/checked.json",
    log:
        "logs/check_base/{run}.log",
    # before the data steps run for hours
    priority: 100
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=16000,
        runtime="1h",
    params:
        code=family_code("check_base.py"),
        settings=settings("family"),
        architecture=of_base(bases.model),
        base=of_base(bases.record),
        sha256=of_base(bases.hashes),
    script:
        "../scripts/check_base.py"


# a checkpoint: behind it an unchanged base stops the chain
checkpoint reset_base:
    """Strip the training state of the base and extend its vocabulary."""
    input:
        checkpoints=behind_checkpoints,
        checked=of_base(bases.checked),
        base=of_base(bases.inputs),
        coverage="results/runs/{run}/tokenizer/coverage.json",
    output:
        record=report(
            "results/runs/{run}/base/reset.json",
            caption="../report/reset.rst",
            category="Models",
            labels={"run": "{run}", "what": "reset base"},
        ),
    log:
        "logs/reset_base/{run}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=16000,
        runtime="1h",
    params:
        code=family_code("reset_base.py"),
        settings=settings("family", "reset"),
        architecture=of_base(bases.model),
        base=of_base(bases.record),
    script:
        "../scripts/reset_base.py"
