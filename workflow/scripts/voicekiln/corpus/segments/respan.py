"""Segments whose edges somebody moved on the review page.

A moved segment is measured again, and what it gives up is non-speech. Its text, its hypothesis and
the features of its speaker stay as they were.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import measure
from voicekiln.corpus.corrections import NO_COPIES, Correction, conflict, match, of_used
from voicekiln.corpus.segments.segments import Given, cut, still_forced
from voicekiln.store.items import Store

LEAST_S = 0.1  # a segment is never made shorter
MEASURES = ("snr_db", "bandwidth_hz", "pitch_hz", "music")
Spans = dict[int, tuple[int, int]]  # row: start and end in samples


def moves(
    table: pd.DataFrame,
    recordings: pd.DataFrame,
    corrections: list[Correction],
    copies: Mapping[str, str] = NO_COPIES,
) -> tuple[Spans, list[dict[str, Any]]]:
    """The new span of each row of `table` whose edges are to be moved, and the moves refused.

    A span has to lie in its recording, to share something with the old one, and to overlap no other
    segment, whether that is kept or dropped; of two moves that collide the later line is refused.

    Args:
        table: `tables.SEGMENTS`, as the corrections were made for it.
        recordings: `tables.RECORDINGS`, merged.
        corrections: all of them; those without new edges move nothing.
        copies: `corrections.names_of_copies`.
    """
    given = [of_used(one, copies) for one in corrections]
    rows, _ = match(table, given)
    used = recordings[recordings["status"] == "ok"].drop_duplicates("recording_id")
    n_samples = used.set_index("recording_id")["n_samples"].to_dict()
    wanted: Spans = {}
    by: dict[int, Correction] = {}
    refused = []
    for row, one in zip(rows.tolist(), given, strict=True):
        if row < 0 or one.new_start_s is None:
            continue
        rate_hz = int(table["rate_hz"].iat[row])
        span = round(one.new_start_s * rate_hz), round(one.new_end_s * rate_hz)
        why = _impossible(span, table.iloc[row], n_samples[table["recording_id"].iat[row]])
        if why:
            refused.append(conflict(one, f"its edges stay where they are: {why}"))
        elif span != (table["start"].iat[row], table["end"].iat[row]):
            wanted[row], by[row] = span, one
    for row, why in _collisions(table, wanted, by):
        refused.append(conflict(by[row], f"its edges stay where they are: {why}"))
        del wanted[row]
    return wanted, refused


def _impossible(span, row, n_samples) -> str | None:
    start, end = span
    if end - start < LEAST_S * row["rate_hz"]:
        return f"the segment would be shorter than {LEAST_S:g} s"
    if end > n_samples:
        return f"the recording ends at {n_samples / row['rate_hz']:.2f} s"
    if start >= row["end"] or end <= row["start"]:
        return "the new span shares nothing with the old one"
    return None


def _collisions(table, wanted, by):
    """Rows whose new spans overlap another segment, each with the reason, until none is left."""
    left = dict(wanted)
    where: dict[str, list[int]] = {}
    touched = {table["recording_id"].iat[row] for row in left}
    for row, name in enumerate(table["recording_id"]):
        if name in touched:
            where.setdefault(name, []).append(row)
    starts, ends = table["start"].tolist(), table["end"].tolist()

    def span(row):
        return left.get(row, (starts[row], ends[row]))

    def collision():
        for row in sorted(left, key=lambda row: -by[row].line):
            start, end = span(row)
            for other in where[table["recording_id"].iat[row]]:
                first, last = span(other)
                if other != row and start < last and first < end:
                    rate_hz = table["rate_hz"].iat[row]
                    return row, f"{first / rate_hz:.2f}-{last / rate_hz:.2f} s is another segment"
        return None

    while found := collision():
        yield found
        del left[found[0]]


def move(
    table: pd.DataFrame, acoustics: pd.DataFrame, spans: Spans, audio: Store, s: SegmentSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`table` and `acoustics` with these rows' spans changed and measured again.

    Args:
        table: `tables.SEGMENTS`.
        acoustics: `tables.ACOUSTICS`, in the same order.
        spans: what `moves` returned.
        audio: the store of normalised audio.
        s: section `segment`.

    Raises:
        UserError: a recording is damaged; it will be made again.
    """
    table, acoustics = table.copy(), acoustics.copy()
    by_item: dict[str, list[int]] = {}
    for row in spans:
        by_item.setdefault(table["item"].iat[row], []).append(row)
    for item, rows in sorted(by_item.items()):
        places = sorted({spans[row] for row in rows})
        found = _measured(audio, item, places, s)
        for row in rows:
            start, end = spans[row]
            record = dict(found[(start, end)])
            print_ = bytes.fromhex(record.pop("fingerprint"))
            name = f"{table['recording_id'].iat[row]}_{start}_{end}"
            old = table.iloc[row]
            forced = still_forced(old["forced_cut"], (old["start"], old["end"]), record)
            record |= {"segment_id": name, "forced_cut": forced}
            for column, value in record.items():
                table.iat[row, table.columns.get_loc(column)] = value
            acoustics.iat[row, acoustics.columns.get_loc("segment_id")] = name
            acoustics.iat[row, acoustics.columns.get_loc("fingerprint")] = print_
    return table, acoustics


def _measured(audio, item, places, settings) -> dict[tuple[int, int], dict]:
    """What is measured of these spans, by span."""
    spans = [list(place) for place in places]
    clipped = audio.require(item)["clipped"]
    records = cut(audio, item, Given(spans, []), clipped, settings)["segments"]
    sounds = measure.measure(audio, item, spans, lambda samples, rate_hz: [])
    return {
        place: record
        | {name: sound[name] for name in MEASURES}
        | {"fingerprint": sound["fingerprint"]}
        for place, record, sound in zip(places, records, sounds, strict=True)
    }
