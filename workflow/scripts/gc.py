"""List unused items of the store and old voices of the runs; remove them on request."""

import shutil
from pathlib import Path

from voicekiln import job
from voicekiln.corpus.gc import in_use, survey, sweep
from voicekiln.voice import versions

RESULTS = Path("results")


def main(smk):
    job.start(smk)
    used = in_use(RESULTS)
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
    old_voices(smk.params.delete_voices)


def old_voices(delete):
    """List, or remove, the voices that the runs exported before their newest one."""
    total = 0
    for run in sorted(path for path in (RESULTS / "runs").glob("*") if path.is_dir()):
        for folder, size in versions.old(run).items():
            total += size
            job.say(f"{folder}: an older voice of {run.name}, {size / 1e6:.1f} MB")
            if delete:
                shutil.rmtree(folder)
    if total and delete:
        job.say(f"{total / 1e6:.1f} MB of older voices removed")
    elif total:
        job.say("no voice was removed; gc: {delete_voices: true} removes the older ones")


if "snakemake" in globals():
    main(snakemake)
