"""The data set as clips and lists, as coqui-tts and AllTalk read it: `file|text|speaker`."""

import csv
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile

from voicekiln.audio.span import load_span
from voicekiln.store.files import write_json
from voicekiln.store.items import Store

COLUMNS = ("audio_file", "text", "speaker_name")
LISTS = {"train": "metadata_train.csv", "val": "metadata_eval.csv"}
RECORD = "clips.json"
UNKNOWN = "und"  # ISO 639: undetermined


def write_clips(table: pd.DataFrame, store: Store, folder: Path) -> dict[str, Any]:
    """Write a folder for each language, which these programs take one at a time.

    A folder has `wavs/` (16-bit PCM at the rate of the corpus), `metadata_train.csv`,
    `metadata_eval.csv` (a header and `|` between the columns; a field with `|` or `"` is quoted)
    and `lang.txt`. The format is that of coqui-tts's formatter `coqui`.

    Args:
        table: kept segments, `dataset.load`.
        store: of normalised audio.
        folder: an empty one.

    Returns:
        the content of `clips.json`, which is written last: for each language clips, seconds.
    """
    record = {}
    table = table.assign(language=table["language"].fillna(UNKNOWN))
    for language, rows in table.groupby("language", sort=True):
        here = folder / language
        (here / "wavs").mkdir(parents=True)
        rows = rows.sort_values(["recording_id", "start"])  # each recording is read in order
        for row in rows.itertuples():
            samples = load_span(store, row.item, row.start, row.end)
            path = here / f"wavs/{row.segment_id}.wav"
            soundfile.write(path, samples.clip(-1, 1), row.rate_hz, subtype="PCM_16")
        for side, name in LISTS.items():
            _write_list(here / name, rows[rows["split"] == side])
        (here / "lang.txt").write_text(f"{language}\n", encoding="utf-8")
        seconds = float(((rows["end"] - rows["start"]) / rows["rate_hz"]).sum())
        record[language] = {"clips": len(rows), "seconds": round(seconds, 3)}
    write_json(folder / RECORD, record)
    return record


def _write_list(path: Path, rows: pd.DataFrame) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="|", lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows.itertuples():
            writer.writerow([f"wavs/{row.segment_id}.wav", row.text, row.speaker])
