"""Chosen checkpoint -> a folder that the upstream project's own inference loads."""

from voicekiln.voice import vocoders


rule export_run:
    """Write the voice."""
    input:
        datasets=run_datasets,
        checkpoints=behind_checkpoints,
        choice="results/runs/{run}/choice.json",
        coverage="results/runs/{run}/tokenizer/coverage.json",
        base=of_base(bases.original_inputs),
        vocoder=computed(vocoders.run_files, None, located),
        reset="results/runs/{run}/base/reset.json",
    output:
        manifest=report(
            "results/runs/{run}/export/MANIFEST.json",
            caption="../report/voice.rst",
            category="Voices",
            labels={"run": "{run}", "what": "voice"},
        ),
    log:
        "logs/export_run/{run}.log",
    conda:
        "../../envs/train.yaml"
    resources:
        mem_mb=16000,
        runtime="1h",
    params:
        code=family_code("export_run.py"),
        settings=settings("family", "export", "train_on"),
        architecture=of_base(bases.model),
        base=of_base(bases.original),
        vocoder=named_folder("vocoder"),
        vocoder_content=computed(vocoders.run_content, None, located),
    script:
        "../scripts/export_run.py"
