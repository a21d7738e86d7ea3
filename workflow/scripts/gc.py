"""List what of the store no table refers to any more; remove it if the configuration says so."""

from pathlib import Path

from voicekiln import job
from voicekiln.store.gc import in_use, survey, sweep

RESULTS = Path("results")


def main(smk):
    job.start(smk)
    used = in_use(RESULTS, smk.params.shards)
    total = 0
    for folder in sorted(path for path in (RESULTS / "store").glob("*") if path.is_dir()):
        found = survey(folder, used.get(folder.name, set()), smk.params.keep_days)
        total += found.dead_bytes
        job.say(
            f"{folder.name}: {found.live} items in use, {len(found.dead)} not, "
            f"{len(found.files)} files and {found.dead_bytes / 1e6:.1f} MB to free"
        )
        if smk.params.delete:
            sweep(folder, found)
    if smk.params.delete:
        job.say(f"{total / 1e6:.1f} MB freed")
    elif total:
        job.say("nothing was deleted; with gc: {delete: true} in the configuration it will be")


if "snakemake" in globals():
    main(snakemake)
