"""Convert an openai-whisper checkpoint into the folder that faster-whisper loads."""

import logging
from pathlib import Path

from voicekiln import job
from voicekiln.asr import engines
from voicekiln.asr.convert import convert
from voicekiln.store.files import atomic_folder

log = logging.getLogger("convert_model")


def main(smk):
    job.start(smk)
    checkpoint, target = Path(smk.input.model), Path(smk.output.model)
    engines.digest(checkpoint, smk.params.sha256)
    job.say(f"converting {engines.title(checkpoint)} for faster-whisper")
    with atomic_folder(target.parent) as folder:
        convert(checkpoint, folder)
        n_files = len(list(folder.iterdir()))
    log.info("%s: %d files", target.parent, n_files)


if "snakemake" in globals():
    main(snakemake)
