"""Download a released Whisper checkpoint and check its SHA-256."""

import hashlib
import logging
import os
import urllib.error
import urllib.request
from pathlib import Path

import whisper
from voicekiln import job
from voicekiln.errors import UserError
from voicekiln.store.items import temporary

log = logging.getLogger("fetch_model")


def main(smk):
    job.start(smk)
    name, target = smk.wildcards.model, Path(smk.output.model)
    if name not in whisper.available_models():
        raise UserError(
            f"transcribe.model: {name} is neither a file (write ./{name}) nor a released model; "
            f"those are {', '.join(whisper.available_models())}"
        )
    url = whisper._MODELS[name]  # openai-whisper's own table; the SHA-256 is part of the address
    expected = url.split("/")[-2]
    part = temporary(target)
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=60) as source, open(part, "wb") as file:
            total = int(source.headers.get("Content-Length", 0))
            blocks = iter(lambda: source.read(1 << 22), b"")
            for block in job.track(blocks, total >> 22, f"blocks of 4 MiB of {name}"):
                digest.update(block)
                file.write(block)
    except (urllib.error.URLError, OSError) as error:
        part.unlink(missing_ok=True)
        raise UserError(
            f"Whisper {name} could not be downloaded ({error}). Fetch it on a machine with network "
            "and give its path as transcribe.model."
        ) from error
    if digest.hexdigest() != expected:
        part.unlink()
        raise UserError(f"Whisper {name}: the download's SHA-256 is not {expected}; run again")
    os.replace(part, target)
    log.info("%s: SHA-256 %s", target, expected)


if "snakemake" in globals():
    main(snakemake)
