"""Write a review page of each corpus from the newest tables there are, when a limit stopped it."""

from pathlib import Path

from voicekiln import job
from voicekiln.review import so_far
from voicekiln.review.build import build


def main(smk):
    job.start(smk)
    for corpus, settings in smk.params.corpora.items():
        folder = Path("results", "corpora", corpus)
        corrections = settings["corrections"]
        what = so_far.find(folder, corrections and Path(corrections))
        if what is None:
            job.say(f"{folder}: no segments yet, so there is nothing to listen to")
        else:
            build(folder / "review_so_far" / "index.html", what, settings["review"])


if "snakemake" in globals():
    main(snakemake)
