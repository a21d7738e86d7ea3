"""The tables of a corpus: schemas, and Parquet files with a digest.

The declared output of a table is its small DIGEST.json, written last. The Parquet file next to it
is replaced by rename, so a failed job keeps the earlier table.
"""

import json
import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file, to_json
from voicekiln.store.files import atomic, write_json
from voicekiln.store.items import Store

USED = b"voicekiln.items"
S, N, F = pa.string(), pa.int64(), pa.float64()  # text, whole number, number

# one row per input file, good or bad
RECORDINGS = {
    "recording_id": S,  # first digits of content_sha256, -ch<channel>; "" if the file is unreadable
    "root": S,  # position in the corpus's `audio`, counted from 0
    "path": S,  # relative to that folder, or to the list's folder
    "content_sha256": S,
    "bytes": N,
    "container": S,
    "codec": S,
    "source_rate_hz": N,
    "channels": N,
    "channel": N,  # channel of this recording, from 0; null: all channels, mixed
    "duration_s": F,  # from the container
    "speaker": S,
    "language": S,
    "reference_texts": S,  # JSON list of {start_s, end_s, text}; null: transcribe
    "unspoken": S,  # JSON {kind: [count, example]} of annotations removed from a sidecar's texts
    "status": S,  # ok | bad | copy
    "step": S,  # step that rejected it
    "reason": S,
    "item": S,  # key of the normalised audio
    "rate_hz": N,
    "n_samples": N,  # of the normalised audio
    "dc_offset": F,  # fraction of full scale
    "loudness_lufs": F,  # before the gain
    "gain_db": F,
    "true_peak_dbtp": F,  # after the gain
    "audio_sha256": S,  # of the normalised samples: equal for re-tagged copies
    "clipped_share": F,  # of the source's 10 ms frames
    "bandwidth_hz": F,  # estimated; far below half of source_rate_hz in up-sampled audio
    "noise_floor_dbfs": F,  # before the gain
    "snr_db": F,
    "hum_db": F,  # mains lines above their surroundings
    "reverb_s": F,  # estimated decay
}

# one row per segment of the current settings
SEGMENTS = {
    "segment_id": S,
    "recording_id": S,
    "root": S,
    "path": S,
    "item": S,
    "start": N,  # samples at rate_hz
    "end": N,  # exclusive
    "rate_hz": N,
    "speaker": S,
    "language": S,
    "text": S,
    "text_source": S,  # reference | hypothesis | corrected; several before transcribe has chosen
    "raw_text": S,  # as it was before cleaning and corrections; JSON list where there are several
    "romanized": S,  # the text in Latin letters or phonemes, where the configuration asks for it
    "hypothesis": S,  # of the recogniser, if the text is a reference text
    "cer": F,  # of the reference text against the hypothesis
    "avg_logprob": F,
    "no_speech_prob": F,
    "compression_ratio": F,
    "language_prob": F,  # of the detected language; null if the language was configured
    "repetition": F,  # fraction of words that repeat the preceding n-gram
    "hallucination": F,  # 1 if the text is a known ASR hallucination
    "agreement": F,  # 1 - CER between two decodes or two models; of three, with the two others
    "acoustic_score": F,  # of the text's alignment by an acoustic model: ctc/aligner.py
    "unaligned": S,  # characters of the text without a token; all of it if it was not aligned
    "chars_per_s": F,  # letters and digits of `text` per second
    "confidence": F,  # 0 ... 1, combines the above: corpus/confidence.py
    "vad": S,  # webrtcvad | silero: detector used for its recording
    "forced_cut": S,  # start | end | both: edges cut inside speech for lack of a pause
    "level_db": F,  # RMS, dB re full scale
    "silence_share": F,
    "clipped_share": F,
    "snr_db": F,
    "bandwidth_hz": F,
    "pitch_hz": F,  # median of the voiced frames
    "music": F,  # fraction of the segment in which tones hold their pitch: audio/music.py
    "mos_signal": F,  # DNSMOS P.835, 1 (bad) ... 5: the speech; null unless measure.mos
    "mos_background": F,  # the background, 5: no audible noise
    "mos_overall": F,  # audio/dnsmos.py
    "speaker_distance": F,  # from the speaker's other segments
    "audio_sha256": S,  # of the segment's PCM
    "marked": S,  # keep | drop, by hand in the corrections
    "status": S,  # keep | drop
    "step": S,  # step that dropped it
    "reason": S,  # rule
    "value": F,  # measured value
    "limit": F,  # limit of the rule
    "split": S,  # train | val, null when dropped
}

# segments that a step after `correct` drops
DECISIONS = {
    "segment_id": S,
    "step": S,
    "reason": S,  # rule
    "value": F,  # measured value
    "limit": F,  # limit of the rule
}

# the column that validate adds
VALIDATED = {name: SEGMENTS[name] for name in ("segment_id", "speaker_distance")}

# segments with word times, from transcribe to align
TRANSCRIBED = SEGMENTS | {
    "words": S,  # JSON list of [word, start_s, end_s, probability], seconds in the segment
}

# acoustic features of segments, from measure to the merged corpus
ACOUSTICS = {
    "segment_id": S,
    "fingerprint": pa.binary(),  # see audio/fingerprint.py
    "speaker_features": pa.list_(pa.float32()),  # see audio/speaker.py
}

# location of the features of each segment of a run
FEATURES = {
    "segment_id": S,
    "feature": S,  # key in the pack
    "pack": S,  # path
    "pack_bytes": N,
    "n_steps": N,
}


def frame(rows: list[dict], schema: dict[str, pa.DataType]) -> pd.DataFrame:
    """A DataFrame with exactly the columns of `schema`; missing values are null."""
    columns = {
        name: pa.array([None if missing(row.get(name)) else row[name] for row in rows], kind)
        for name, kind in schema.items()
    }
    return pa.table(columns).to_pandas(types_mapper=_pandas_type)


def missing(value) -> bool:
    """Whether a table's cell is null."""
    return value is None or value is pd.NA or value != value


def _pandas_type(kind: pa.DataType):
    return {N: pd.Int64Dtype(), S: pd.StringDtype()}.get(kind)


def write(table: pd.DataFrame, path: Path, schema: dict[str, pa.DataType], *made: Store) -> None:
    """Write `table` as Parquet with `schema`; equal rows give equal bytes.

    Args:
        made: stores of the items that the rows come from; they are closed. The keys go into the
            file's metadata, so that `gc` knows which items are in use.
    """
    used = {}
    for store in made:
        store.close()
        used[store.step] = sorted(store.used)
    arrow = pa.Table.from_pandas(
        table[list(schema)], schema=pa.schema(list(schema.items())), preserve_index=False
    ).replace_schema_metadata({USED: to_json(used)} if used else None)
    with atomic(path) as part:
        pq.write_table(arrow, part, compression="zstd")


def used_items(path: Path) -> dict[str, list[str]]:
    """Keys of the store's items, by step, that a table's rows come from."""
    metadata = pq.read_schema(path).metadata or {}
    return json.loads(metadata.get(USED, b"{}"))


def read(path: Path, rows: pc.Expression | None = None) -> pd.DataFrame:
    """The table of a Parquet file, or the rows that a filter selects."""
    return pq.read_table(path, filters=rows).to_pandas(types_mapper=_pandas_type)


def concat(paths: list[Path], schema: dict[str, pa.DataType], order: list[str]) -> pd.DataFrame:
    """The rows of several files as one table in the order of the columns `order`."""
    whole = pd.concat([read(path) for path in paths], ignore_index=True)
    return whole[list(schema)].sort_values(order, kind="stable", ignore_index=True)


def write_digest(digest: Path, files: list[Path]) -> None:
    """Write the names, sizes and SHA-256 of `files`."""
    rows = [
        {
            "path": os.path.relpath(file, digest.parent),
            "bytes": file.stat().st_size,
            "sha256": sha256_file(file),
        }
        for file in files
    ]
    write_json(digest, {"files": rows})


def check_digest(digest: Path) -> None:
    """Check that the files listed in `digest` exist with their recorded sizes.

    Raises:
        UserError: a file is missing or has another size. `digest` is removed, so that the next run
            writes the table again.
    """
    for row in json.loads(digest.read_text())["files"]:
        path = digest.parent / row["path"]
        if not path.is_file() or path.stat().st_size != row["bytes"]:
            digest.unlink()
            raise UserError(
                f"{path}: missing, or changed since it was written; run snakemake again to "
                "rebuild it"
            )


def read_checked(digest: Path, name: str, rows: pc.Expression | None = None) -> pd.DataFrame:
    """The table `name` next to `digest`, or some of its rows, after `check_digest`."""
    check_digest(digest)
    return read(digest.parent / name, rows)


def read_columns(digest: Path, name: str, columns: list[str]) -> pa.Table:
    """Some columns of the table `name` next to `digest`, as Arrow data, after `check_digest`."""
    check_digest(digest)
    return pq.read_table(digest.parent / name, columns=columns)
