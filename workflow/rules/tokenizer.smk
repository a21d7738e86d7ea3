"""Texts of the data set + the base's vocabulary -> the run's tokenizer and its coverage."""


# a checkpoint: behind it an unchanged vocabulary stops the chain
checkpoint extend_vocabulary:
    """Extend the base's vocabulary for the texts of the data set."""
    input:
        datasets=run_datasets,
        checkpoints=behind_checkpoints,
        base=of_base(bases.vocabulary_inputs),
        files=of_base(bases.tokenizer_inputs),
    output:
        # the tokenizer's files beside it are undeclared: it has their names and hashes
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
        settings=settings("family", "evaluate", "train_on"),
        tokenizer=of_base(bases.tokenizer_settings),
        base=of_base(bases.vocabulary),
    script:
        "../scripts/extend_vocabulary.py"
