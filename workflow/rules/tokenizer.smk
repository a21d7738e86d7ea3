"""Texts of the data set + the base's vocabulary -> the run's vocabulary and its coverage."""


# a checkpoint: behind it an unchanged vocabulary stops the chain
checkpoint extend_vocabulary:
    """Extend the base's vocabulary with the characters of the data set."""
    input:
        datasets=run_datasets,
        unchanged=behind_checkpoints,
        base=base_vocabulary,
        pinned=pinned_vocabulary,
    output:
        vocab="results/runs/{run}/tokenizer/vocab.txt",
        leaks="results/runs/{run}/tokenizer/leaks.json",
        coverage=report(
            "results/runs/{run}/tokenizer/coverage.json",
            caption="../report/coverage.rst",
            category="Data sets",
            labels={"run": "{run}", "what": "vocabulary"},
        ),
    log:
        "logs/extend_vocabulary/{run}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=4000,
        runtime="1h",
    params:
        code=family_code("extend_vocabulary.py"),
        settings=settings("family", "tokenizer", "evaluate", "train_on"),
    script:
        "../scripts/extend_vocabulary.py"
