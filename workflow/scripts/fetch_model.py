"""Download a released Whisper checkpoint and check its SHA-256."""

from pathlib import Path

import whisper
from voicekiln import job
from voicekiln.asr.fetch import fetch
from voicekiln.errors import UserError


def main(smk):
    job.start(smk)
    name, target = smk.wildcards.model, Path(smk.output.model)
    if name not in whisper.available_models():
        raise UserError(
            f"transcribe.model: {name} is neither a file (write ./{name}) nor a released model; "
            f"those are {', '.join(whisper.available_models())}"
        )
    url = whisper._MODELS[name]  # openai-whisper's own table; the SHA-256 is part of the address
    progress = None

    def say(done, total):
        nonlocal progress
        progress = progress or job.Progress(total >> 20, f"MiB of Whisper {name} downloaded")
        progress((done >> 20) - progress.done)

    fetch(url, url.split("/")[-2], target, say)


if "snakemake" in globals():
    main(snakemake)
