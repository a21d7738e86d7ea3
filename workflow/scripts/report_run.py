"""Write the report of a run: one page with what went in, what came out, and how it sounds.

Snakemake writes it when a run is done. For a look at one that is under way:

    .venv/bin/python workflow/scripts/report_run.py config/my.yaml my_voice_f5
"""

import argparse
from pathlib import Path

from voicekiln import job
from voicekiln.config import checks, yaml_files
from voicekiln.config.resolve import resolve
from voicekiln.errors import UserError
from voicekiln.report.facts import gather
from voicekiln.report.lock import lock
from voicekiln.report.page import render
from voicekiln.store.files import write_atomic, write_json

RESULTS = Path("results")
SCRIPTS = Path(__file__).resolve().parent


def main(smk):
    job.start(smk)
    settings = smk.params.settings
    content = lock(*folders(Path(smk.output.lock).parent, settings), settings, SCRIPTS)
    write_json(Path(smk.output.lock), content)
    write(Path(smk.output.report), settings)


def folders(run, settings):
    """The folders of a run and of its corpora."""
    return run, [RESULTS / "corpora" / name for name in checks.corpora_of(settings["run"])]


def write(target, settings):
    run, corpora = folders(target.parent, settings)
    write_atomic(target, render(gather(run, corpora, RESULTS / "store", settings)))
    job.say(f"the report is {target} ({target.stat().st_size / 2**20:.1f} MiB)")


def look():
    """The page of a run that is not done, under a name that Snakemake does not wait for."""
    parser = argparse.ArgumentParser(description="Write results/runs/RUN/report_so_far.html")
    parser.add_argument("configfile", type=Path, nargs="+", help="later ones override earlier ones")
    parser.add_argument("run")
    arguments = parser.parse_args()
    try:
        content, lines = yaml_files.read_all(arguments.configfile)
        whole = resolve(content, lines)
    except UserError as error:
        parser.error(str(error))
    if arguments.run not in whole["runs"]:
        runs = ", ".join(whole["runs"]) or "(none)"
        parser.error(f"no run {arguments.run}; the configuration has the runs {runs}")
    run = whole["runs"][arguments.run]
    folder = RESULTS / "runs" / arguments.run
    write(folder / "report_so_far.html", checks.with_corpora(run, whole["corpora"]))


if "snakemake" in globals():
    main(snakemake)
elif __name__ == "__main__":
    look()
