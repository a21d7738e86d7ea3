"""Acoustic measures of each segment of a recording, which is read once, in order."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import soundfile

from voicekiln.audio import measures
from voicekiln.audio.fingerprint import fingerprint
from voicekiln.audio.music import STEPS_PER_S, musical
from voicekiln.audio.pitch import MIN_VOICED, voiced_pitch_hz
from voicekiln.audio.speaker import statistics
from voicekiln.audio.vad import FRAMES_PER_S, levels_db
from voicekiln.store.items import Store

VERSION = 4
BLOCK_S = 10  # a whole number, see vad.levels_db
MAX_S = 60  # only the first 60 s of a longer segment are measured; validate.max_s is at most 60
SURROUNDINGS_S = 5  # on both sides, where the noise floor of a segment is looked for
Describe = Callable[[np.ndarray, int], np.ndarray]  # samples, rate_hz -> speaker features
Rate = Callable[[np.ndarray, int], dict[str, float | None]]  # samples, rate_hz -> opinion scores


def measure(
    audio: Store,
    item: str,
    spans: Sequence[Sequence[int]],
    embed: Describe | None = None,
    rate: Rate | None = None,
) -> list[dict]:
    """One record for each span: the measures of `sound_of`, `snr_db`, and `music`, the fraction
    of the span with music.

    Args:
        audio: the store of normalised audio.
        item: the recording's key in it.
        spans: [start, end] in samples, sorted.
        embed: makes the speaker features; None takes `speaker.statistics`.
        rate: predicts opinion scores (`dnsmos.Rater`); None leaves them out.

    Raises:
        UserError: the recording is damaged; it will be made again.
    """
    levels: list[np.ndarray] = []
    music: list[np.ndarray] = []
    try:
        with soundfile.SoundFile(audio.path(item, ".flac")) as sound:
            rate_hz = sound.samplerate
            records = [
                sound_of(samples, rate_hz, embed, rate)
                for samples in stretches(sound, spans, levels, music)
            ]
    except (soundfile.LibsndfileError, EOFError) as error:
        audio.report(item, f"cannot be read ({error})")
    whole = np.concatenate([np.zeros(0, np.float32), *levels])
    tones = np.concatenate([np.zeros(0, bool), *music])
    for record, (start, end) in zip(records, spans, strict=True):
        first, last = start * FRAMES_PER_S // rate_hz, -(-end * FRAMES_PER_S // rate_hz)
        reach = SURROUNDINGS_S * FRAMES_PER_S
        floor_db = measures.noise_floor_db(whole[max(0, first - reach) : last + reach])
        record["snr_db"] = _rounded(measures.snr_db(whole[first:last], floor_db), 1)
        here = slice(start * STEPS_PER_S // rate_hz, -(-end * STEPS_PER_S // rate_hz))
        record["music"] = _rounded(tones[here].mean(), 3)
    return records


def sound_of(
    samples: np.ndarray, rate_hz: int, embed: Describe | None, rate: Rate | None = None
) -> dict:
    """Measures of one segment by itself; add new measures here.

    Args:
        samples: `[n]` int16.
    """
    samples = samples.astype(np.float32) / 32768
    pitch_hz = voiced_pitch_hz(samples, rate_hz)
    power = measures.power_spectra(samples, rate_hz)
    if embed is None:
        features = statistics(power, rate_hz, pitch_hz)
    else:
        features = embed(samples, rate_hz)
    median_hz = np.median(pitch_hz) if len(pitch_hz) >= MIN_VOICED else None
    return {
        "bandwidth_hz": _rounded(measures.bandwidth_hz(power.mean(axis=0), rate_hz), 0),
        "pitch_hz": _rounded(median_hz, 1),
        "fingerprint": fingerprint(samples, rate_hz).astype("<u4").tobytes().hex(),
        "speaker_features": [round(float(value), 4) for value in features],
    } | (rate(samples, rate_hz) if rate else {})


def by_segment(segments: pd.DataFrame, names: Sequence[str], values: Sequence) -> pd.Series:
    """`values` of the segments called `names`, by the index of `segments`; None where missing."""
    held = dict(zip(names, values, strict=True))
    found = pd.Series(index=segments.index, dtype=object)
    found[:] = [held.get(name) for name in segments["segment_id"]]
    return found


def stretches(
    sound: soundfile.SoundFile,
    spans: Sequence[Sequence[int]],
    levels: list[np.ndarray],
    music: list[np.ndarray],
) -> Iterator[np.ndarray]:
    """`[n]` int16 of each span, while the whole file is read once in blocks.

    Args:
        spans: [start, end], sorted; at most `MAX_S` of each are given.
        levels: takes the levels of the 10 ms frames of every block.
        music: takes `musical` of every block.

    Raises:
        EOFError: the file ends before a span does.
    """
    longest = MAX_S * sound.samplerate
    waiting = [(start, min(end, start + longest)) for start, end in spans]
    held, origin, i = np.zeros(0, np.int16), 0, 0
    for block in sound.blocks(BLOCK_S * sound.samplerate, dtype="int16"):
        levels.append(levels_db(block, sound.samplerate))
        music.append(musical(block, sound.samplerate))
        held = np.concatenate([held, block])
        while i < len(waiting) and waiting[i][1] <= origin + len(held):
            yield held[waiting[i][0] - origin : waiting[i][1] - origin]
            i += 1
        done = min(len(held), waiting[i][0] - origin) if i < len(waiting) else len(held)
        held, origin = held[done:], origin + done
    if i < len(waiting):
        raise EOFError(f"ends before sample {waiting[i][1]}")


def _rounded(value, digits):
    return None if value is None else round(float(value), digits)
