"""Write the report of a run: one page with what went in, what came out, and how it sounds."""

from pathlib import Path

from voicekiln import job
from voicekiln.report.facts import gather
from voicekiln.report.page import render
from voicekiln.store.items import write_atomic

STORE = Path("results", "store")


def main(smk):
    job.start(smk)
    target = Path(smk.output.report)
    corpora = [Path(digest).parent for digest in smk.input.datasets]
    write_atomic(target, render(gather(target.parent, corpora, STORE, smk.params.settings)))
    job.say(f"the report is {target} ({target.stat().st_size / 2**20:.1f} MiB)")


if "snakemake" in globals():
    main(snakemake)
