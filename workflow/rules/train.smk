"""Features + reset base -> checkpoints, metrics and the best model; resumes after a stop."""

from voicekiln.training.settings import job_threads


rule train_run:
    """Fine-tune the base on the data set."""
    input:
        datasets=run_datasets,
        checkpoints=behind_checkpoints,
        features=run_features,
        coverage="results/runs/{run}/tokenizer/coverage.json",
        base=of_base(bases.original_inputs),
        reset="results/runs/{run}/base/reset.json",
    output:
        # the training state is undeclared: Snakemake deletes the declared outputs of a failed job
        finished="results/runs/{run}/training/finished.json",
    log:
        "logs/train_run/{run}.log",
    benchmark:
        "results/benchmarks/train_run/{run}.tsv"
    conda:
        "../../envs/train.yaml"
    # of one process; the processes of several GPUs share them
    threads: computed(job_threads, "train.workers")
    resources:
        gpu=1,
        mem_mb=24000,
        runtime="1d",
    params:
        code=family_code("train_run.py", "voicekiln.training.worker"),
        settings=settings("family", "train", "train_on"),
        architecture=of_base(bases.model),
        base=of_base(bases.original),
        vocoder=named_folder("vocoder"),
        earlier=of_base(bases.earlier),
    script:
        "../scripts/train_run.py"
