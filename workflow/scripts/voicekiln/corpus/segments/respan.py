"""Segments whose edges were moved by hand on the review page.

A moved segment is measured again, and the audio it loses becomes non-speech. Its text, hypothesis
and speaker features do not change.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from voicekiln.audio import dnsmos
from voicekiln.audio.segment import SegmentSettings
from voicekiln.corpus import measure
from voicekiln.corpus.corrections import NO_COPIES, Correction, conflict, match, on_used
from voicekiln.corpus.segments.segments import ReferenceSpans, cut, still_forced
from voicekiln.store.items import Store

LEAST_S = 0.1  # a segment is never made shorter
MEASURES = ("snr_db", "bandwidth_hz", "pitch_hz", "music", *dnsmos.SCORES)
Spans = dict[int, tuple[int, int]]  # row: start and end in samples


def moves(
    table: pd.DataFrame,
    recordings: pd.DataFrame,
    corrections: list[Correction],
    copies: Mapping[str, str] = NO_COPIES,
) -> tuple[Spans, list[dict[str, Any]]]:
    """The new span of each row of `table` whose edges move, and the moves that are refused.

    A span must lie in its recording, overlap the old one, and overlap no other segment, kept or
    dropped. Of two moves that collide, the later line is refused.

    Args:
        table: `tables.SEGMENTS`, before any edge is moved.
        recordings: `tables.RECORDINGS`, merged.
        corrections: all of them; those without new edges are ignored.
        copies: `corrections.names_of_copies`.
    """
    given = [on_used(one, copies) for one in corrections]
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
        return "the new span does not overlap the old one"
    return None


def _collisions(table, wanted, by):
    """Rows whose new spans overlap another segment, each with the reason."""
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
    table: pd.DataFrame,
    acoustics: pd.DataFrame,
    spans: Spans,
    audio: Store,
    s: SegmentSettings,
    rate: measure.Rate | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Change the spans of these rows and measure them again; `table` and `acoustics`.

    Args:
        table: `tables.SEGMENTS`.
        acoustics: `tables.ACOUSTICS`, in the same order.
        spans: from `moves`.
        audio: the store of normalised audio.
        s: section `segment`.
        rate: predicts opinion scores, see `measure.measure`; None leaves a moved segment without.

    Raises:
        UserError: a recording is damaged; the next run recreates it.
    """
    table, acoustics = table.copy(), acoustics.copy()
    by_item: dict[str, list[int]] = {}
    for row in spans:
        by_item.setdefault(table["item"].iat[row], []).append(row)
    for item, rows in sorted(by_item.items()):
        places = sorted({spans[row] for row in rows})
        found = _measured(audio, item, places, s, rate)
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


def _measured(audio, item, places, settings, rate) -> dict[tuple[int, int], dict]:
    """The measures of these spans, by span."""
    spans = [list(place) for place in places]
    clipped = audio.require(item)["clipped"]
    records = cut(audio, item, ReferenceSpans(spans, []), clipped, settings)["segments"]
    sounds = measure.measure(audio, item, spans, lambda samples, rate_hz: [], rate)
    return {
        place: record
        | {name: sound.get(name) for name in MEASURES}
        | {"fingerprint": sound["fingerprint"]}
        for place, record, sound in zip(places, records, sounds, strict=True)
    }
