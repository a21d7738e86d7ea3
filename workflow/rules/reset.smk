"""Base checkpoint + vocabulary -> weights alone, with rows for the new tokens."""


rule check_base:
    """Look whether the base fits vocabulary and architecture, first of all."""
    input:
        checkpoint=base_checkpoint,
        base_vocab=base_vocabulary,
    output:
        "results/runs/{run}/base/checked.json",
    log:
        "logs/check_base/{run}.log",
    # what it finds is worth knowing before the data steps have run for hours
    priority: 100
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=16000,
        runtime="1h",
    params:
        code=family_code("check_base.py"),
        settings=run_settings("family"),
        architecture=architecture,
        sha256=base_hashes,
    script:
        "../scripts/check_base.py"


# a checkpoint: behind it an unchanged base stops the chain
checkpoint reset_base:
    """Strip the training state of the base and grow its vocabulary."""
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
        settings=run_settings("family", "reset"),
        architecture=architecture,
    script:
        "../scripts/reset_base.py"
