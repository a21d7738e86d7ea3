"""The data set as manifests: one JSON object a line, as NVIDIA NeMo writes them."""

import json
import os
from pathlib import Path

import pandas as pd

from voicekiln.store.files import write_atomic
from voicekiln.store.items import Store
from voicekiln.store.tables import missing


def write_manifests(table: pd.DataFrame, folder: Path, store: Path) -> list[Path]:
    """Write `train.jsonl` and `val.jsonl` into `folder`; the files written.

    `audio_filepath` is relative to the manifest's folder (as NeMo reads it), `offset` and
    `duration` are seconds of the normalised recording; times its rate they are whole samples.
    """
    audio = Store(store, "normalize")
    files = []
    for side in ("train", "val"):
        lines = []
        for row in table[table["split"] == side].itertuples():
            entry = {
                "audio_filepath": os.path.relpath(audio.path(row.item, ".flac"), folder),
                "offset": row.start / row.rate_hz,
                "duration": (row.end - row.start) / row.rate_hz,
                "text": row.text,
                "speaker": row.speaker,
                "language": row.language,
                "id": row.segment_id,
            }
            if not missing(row.romanized):
                entry["romanized"] = row.romanized
            lines.append(json.dumps(entry, ensure_ascii=False) + "\n")
        files.append(folder / f"{side}.jsonl")
        write_atomic(files[-1], "".join(lines))
    return files
