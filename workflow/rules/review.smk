"""Finished corpus -> an offline page for listening to segments, correcting and dropping them."""

from voicekiln.config import files
from voicekiln.review import page


rule review_corpus:
    """Write the review page of a corpus."""
    input:
        digest="results/corpora/{corpus}/DIGEST.json",
        merged="results/corpora/{corpus}/tables/correct/DIGEST.json",
        corrections=computed(files.corrections, "corrections", ROOT),
        checked="results/corpora/{corpus}/checked.json",
    output:
        page="results/corpora/{corpus}/review/index.html",
    log:
        "logs/review_corpus/{corpus}.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        code=code("review_corpus.py"),
        template=[template(f"voicekiln/review/{part}") for part in page.PARTS],
        settings=settings("review"),
    script:
        "../scripts/review_corpus.py"


rule review_so_far:
    """Write review pages of unfinished corpora, for example after a limit stopped the run."""
    log:
        "logs/review_so_far.log",
    conda:
        "../../envs/report.yaml"
    resources:
        mem_mb=4000,
        runtime="2h",
    params:
        corpora={
            name: {
                "review": corpus["review"],
                "corrections": located(corpus["corrections"] or ""),
            }
            for name, corpus in CORPORA.items()
        },
    script:
        "../scripts/review_so_far.py"


localrules:
    review_so_far,
