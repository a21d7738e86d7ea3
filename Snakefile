"""VoiceKiln: from raw recordings to a fine-tuned text-to-speech voice."""

from pathlib import Path

from snakemake.utils import min_version

min_version("9.11")

# without --configfile: the working directory's config/config.yaml, else the shipped one
if not workflow.config_settings.configfiles:
    CONFIGFILES = (Path("config/config.yaml"), Path(workflow.basedir, "config/config.yaml"))

    configfile: next(filter(Path.exists, CONFIGFILES))


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/inventory.smk"
include: "workflow/rules/normalize.smk"
include: "workflow/rules/segment.smk"
include: "workflow/rules/transcribe.smk"
include: "workflow/rules/correct.smk"
include: "workflow/rules/deduplicate.smk"
include: "workflow/rules/validate.smk"
include: "workflow/rules/split.smk"


rule dataset:
    """The data sets of all corpora."""
    input:
        expand("results/corpora/{corpus}/DIGEST.json", corpus=CORPORA),


localrules:
    dataset,
