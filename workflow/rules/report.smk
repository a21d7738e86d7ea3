"""Results of a run -> one page: input, output, dropped audio, curves, audio samples."""

from voicekiln.config.checks import with_corpora


rule report_run:
    """Write the report of a run, and the hashes of all its inputs."""
    input:
        datasets=run_datasets,
        checkpoints=behind_checkpoints,
        coverage="results/runs/{run}/tokenizer/coverage.json",
        reset="results/runs/{run}/base/reset.json",
        finished="results/runs/{run}/training/finished.json",
        choice="results/runs/{run}/choice.json",
        voice="results/runs/{run}/export/MANIFEST.json",
    output:
        report=report(
            "results/runs/{run}/report.html",
            caption="../report/run.rst",
            category="Voices",
            labels={"run": "{run}", "what": "report"},
        ),
        lock="results/runs/{run}/run.lock.json",
    log:
        "logs/report_run/{run}.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime="30m",
    params:
        code=code("report_run.py"),
        template=template("voicekiln/report/run.html.j2"),
        settings=computed(with_corpora, None, CORPORA),
    script:
        "../scripts/report_run.py"
