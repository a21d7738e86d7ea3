"""Convert an openai-whisper checkpoint into the folder that faster-whisper loads."""

import logging
import tempfile
from pathlib import Path

from voicekiln import job
from voicekiln.asr import engines
from voicekiln.asr.convert import convert

log = logging.getLogger("convert_model")


def main(smk):
    job.start(smk)
    checkpoint, target = Path(smk.input.model), Path(smk.output.model)
    engines.digest(checkpoint, smk.params.sha256)
    job.say(f"converting {engines.title(checkpoint)} for faster-whisper")
    with tempfile.TemporaryDirectory(dir=target.parent.parent) as folder:
        convert(checkpoint, Path(folder))
        files = sorted(Path(folder).iterdir(), key=lambda file: file.name == target.name)
        for file in files:  # model.bin last
            file.replace(target.parent / file.name)
    log.info("%s: %d files", target.parent, len(files))


if "snakemake" in globals():
    main(snakemake)
