"""Write the data set of a corpus as clips, for other programs."""

from pathlib import Path

from voicekiln import job
from voicekiln.corpus.clips import write_clips
from voicekiln.corpus.dataset import load
from voicekiln.store.files import atomic_folder
from voicekiln.store.items import STORE, Store


def main(smk):
    job.start(smk)
    folder = Path(smk.output.record).parent
    table = load([smk.input.digest])
    with atomic_folder(folder) as part:
        record = write_clips(table, Store(STORE, "normalize"), part)
    for language, found in record.items():
        job.say(
            f"{found['clips']} clips, {found['seconds'] / 60:.1f} minutes, in {folder / language}/"
        )


if "snakemake" in globals():
    main(snakemake)
