"""Checkpoints -> validation losses, audio samples, and the choice of the one to export."""

from voicekiln.voice import vocoders


rule evaluate_run:
    """Choose the checkpoint, and synthesise the test sentences with it."""
    input:
        datasets=run_datasets,
        checkpoints=behind_checkpoints,
        finished="results/runs/{run}/training/finished.json",
        coverage="results/runs/{run}/tokenizer/coverage.json",
        base=of_base(bases.original_inputs),
        vocoder=computed(vocoders.run_files, None, located),
    output:
        choice=report(
            "results/runs/{run}/choice.json",
            caption="../report/choice.rst",
            category="Models",
            labels={"run": "{run}", "what": "chosen checkpoint"},
        ),
    log:
        "logs/evaluate_run/{run}.log",
    benchmark:
        "results/benchmarks/evaluate_run/{run}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=16000,
        runtime="2h",
    params:
        code=family_code("evaluate_run.py"),
        settings=settings("family", "evaluate", "features", "speak", "train_on"),
        architecture=of_base(bases.model),
        base=of_base(bases.original),
        vocoder=named_folder("vocoder"),
        vocoder_content=computed(vocoders.run_content, None, located),
    script:
        "../scripts/evaluate_run.py"
