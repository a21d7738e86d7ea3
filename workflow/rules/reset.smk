"""Base checkpoint + vocabulary -> weights without training state, with rows for new tokens."""


rule check_base:
    """Check that the base fits its vocabulary and architecture."""
    input:
        checkpoint=base_checkpoint,
        base_vocab=base_vocabulary,
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
        architecture=architecture,
        sha256=base_hashes,
    script:
        "../scripts/check_base.py"


# a checkpoint: behind it an unchanged base stops the chain
checkpoint reset_base:
    """Strip the training state of the base and extend its vocabulary."""
    input:
        unchanged=behind_checkpoints,
        checked=checked_base,
        checkpoint=base_checkpoint,
        base_vocab=base_vocabulary,
        vocab="results/runs/{run}/tokenizer/vocab.txt",
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
        architecture=architecture,
    script:
        "../scripts/reset_base.py"
