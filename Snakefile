"""VoiceKiln: from raw recordings to a fine-tuned text-to-speech voice."""

from snakemake.utils import min_version

min_version("9.11")


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/list.smk"
include: "workflow/rules/inventory.smk"
include: "workflow/rules/normalize.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/check.smk"
include: "workflow/rules/transcribe.smk"
include: "workflow/rules/align.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/correct.smk"
include: "workflow/rules/deduplicate.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/split.smk"
include: "workflow/rules/clips.smk"
include: "workflow/rules/review.smk"
include: "workflow/rules/tokenizer.smk"
include: "workflow/rules/reset.smk"
include: "workflow/rules/features.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/export.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/gc.smk"


rule all:
    """All data sets, voices and reports."""
    default_target: True
    input:
        expand("results/corpora/{corpus}/DIGEST.json", corpus=CORPORA),
        expand("results/runs/{run}/export/MANIFEST.json", run=RUNS),
        expand("results/runs/{run}/report.html", run=RUNS),


rule dataset:
    """The data sets of all corpora."""
    input:
        expand("results/corpora/{corpus}/DIGEST.json", corpus=CORPORA),


rule clips:
    """The data sets of all corpora as audio files and lists, for other programs."""
    input:
        expand("results/corpora/{corpus}/clips/clips.json", corpus=CORPORA),


rule review:
    """The review pages of all corpora."""
    input:
        expand("results/corpora/{corpus}/review/index.html", corpus=CORPORA),


rule train:
    """Training of all runs."""
    input:
        expand("results/runs/{run}/training/finished.json", run=RUNS),


rule evaluate:
    """Checkpoint choice and audio samples of all runs."""
    input:
        expand("results/runs/{run}/choice.json", run=RUNS),


rule export:
    """The voices of all runs."""
    input:
        expand("results/runs/{run}/export/MANIFEST.json", run=RUNS),


localrules:
    all,
    dataset,
    clips,
    review,
    train,
    evaluate,
    export,


check_targets()
