"""Chunks of a long segment for a recogniser: cut at pauses, at most 30 s."""

import numpy as np
import soundfile

from voicekiln.store.items import Store

VERSION = 1
FRAME_S = 0.02
SMOOTH_FRAMES = 5  # levels are averaged over 100 ms
MIN_PAUSE_S = 0.4  # Whisper's own cue for the end of a phrase
MAX_CHUNK_S = 29.0
QUIET_FRACTION = 0.25  # of the distance from the noise floor to loud speech, in dB
READ_S = 60.0


def chunks(audio: Store, item: str, start: int, end: int) -> list[list[int]]:
    """The chunks of a segment, `[start, end]` in samples, without gaps.

    Every pause of `MIN_PAUSE_S` is cut in its middle. A chunk that is still too long is cut where
    it is quietest, in the second half of the maximum length. The audio is read in blocks, so a
    segment may last for hours.

    Args:
        audio: the store of normalised audio.
        item: key of the recording in it.
        start, end: the segment's samples.
    """
    levels_db, frame = frame_levels(audio, item, start, end)
    if not len(levels_db):
        return [[start, end]]
    cuts = sorted({*pauses(levels_db), 0, len(levels_db)})
    limit = round(MAX_CHUNK_S / FRAME_S)
    borders = [0]
    for cut in cuts[1:]:
        while cut - borders[-1] > limit:
            at = borders[-1] + limit // 2
            borders.append(at + int(levels_db[at : borders[-1] + limit].argmin()))
        borders.append(cut)
    samples = [start + border * frame for border in borders[:-1]] + [end]
    return [list(pair) for pair in zip(samples, samples[1:], strict=False)]


def pauses(levels_db: np.ndarray) -> list[int]:
    """The middle frame of each pause between two stretches of speech."""
    floor_db, loud_db = np.percentile(levels_db, [10, 95])
    loud = np.flatnonzero(levels_db > floor_db + QUIET_FRACTION * (loud_db - floor_db))
    gaps = np.flatnonzero(np.diff(loud) > MIN_PAUSE_S / FRAME_S)
    return [int(loud[i] + loud[i + 1]) // 2 for i in gaps]


def frame_levels(audio: Store, item: str, start: int, end: int) -> tuple[np.ndarray, int]:
    """Smoothed levels `[n_frames]` of the segment, dB re full scale, and a frame's samples."""
    try:
        with soundfile.SoundFile(audio.path(item, ".flac")) as file:
            frame = round(FRAME_S * file.samplerate)
            file.seek(start)
            powers = []
            for block in file.blocks(
                round(READ_S / FRAME_S) * frame, frames=end - start, dtype="float32"
            ):
                whole = block[: len(block) // frame * frame].reshape(-1, frame)
                powers.append((whole**2).mean(axis=1))
    except (soundfile.LibsndfileError, OSError) as error:
        audio.report(item, f"cannot be read ({error})")
    power = np.concatenate(powers) if powers else np.zeros(0)
    if len(power) >= SMOOTH_FRAMES:
        power = np.convolve(power, np.full(SMOOTH_FRAMES, 1 / SMOOTH_FRAMES), "same")
    return 10 * np.log10(power + 1e-10), frame
