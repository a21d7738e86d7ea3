"""A normalised recording -> segments of speech for training.

A segment is a span of samples of the recording; no audio is copied. All decisions are made on 10 ms
frames, so a 12-hour recording reduces to a few million numbers.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
from scipy import ndimage

from voicekiln.audio import silero, vad
from voicekiln.audio.auto_vad import AutoVad
from voicekiln.audio.vad import FRAMES_PER_S
from voicekiln.errors import UserError
from voicekiln.provenance import sha256_file

log = logging.getLogger("segment")

VERSION = 6
BLOCK_S = 10  # an integer, see vad.levels_db
MAX_HELD_S = 1800  # of audio kept in memory, 86 MB at 24 kHz; longer recordings are read twice
MIN_DIP_FRAMES = 3
MIN_UNPADDED_S = 0.2
QUIET_FRAMES = 5  # cuts are placed at the quietest 50 ms, not at a single zero crossing

# speech regions, resulting segments; joins of two regions; cuts within connected speech, and those
# of them without a pause; extended segments, segments still shorter than min_s, dropped pieces
EVENTS = (
    *("regions", "segments", "merged", "split", "split_without_pause"),
    *("extended", "short", "dropped"),
)
OF_ENGINE = {"webrtcvad": {"aggressiveness", "frame_ms"}, "silero": {"onset", "offset"}}
OF_ENGINE["auto"] = set().union(*OF_ENGINE.values())

Span = tuple[int, int]  # start, end; end exclusive


@dataclass(frozen=True)
class SegmentSettings:
    """Section `segment` of a corpus."""

    min_s: float  # shorter segments are extended into the surrounding silence
    max_s: float  # no segment is longer; lengths near the middle of the two are preferred
    merge_gap_s: float  # speech across a shorter pause may be joined
    pad_s: float  # silence kept at both ends, if available
    drop_below_s: float  # less speech than this between two pauses is a click or a cough
    engine: str  # auto | webrtcvad | silero
    onset: float  # of silero: probability at which speech starts
    offset: float  # of silero: probability below which it ends
    aggressiveness: int  # of webrtcvad, 0 to 3
    frame_ms: int  # of webrtcvad, 10, 20 or 30
    energy_share: float  # threshold, as a fraction of the way from noise to loud speech in dB
    min_pause_s: float  # a shorter dip inside speech is not a pause
    min_sound_s: float  # a shorter sound is not speech

    def __post_init__(self):
        least_s = 2 * self.pad_s + max(2 * self.min_s, MIN_UNPADDED_S)
        if self.max_s < least_s:
            raise UserError(
                f"segment.max_s: {self.max_s:g}, expected at least {least_s:g} (2 x pad_s + 2 x"
                " min_s), so that a cut leaves two usable halves"
            )


@dataclass(frozen=True)
class SegmentResult:
    """Segments of a recording. Spans are [start, end] in samples, sorted, disjoint."""

    rate_hz: int
    n_samples: int
    spans: list[list[int]]
    measures: list[dict[str, float]]  # one per span, see `_measure`
    forced: list[str | None]  # start | end | both: cut without a pause
    speech: list[list[int]]  # speech within the spans
    dropped: list[list[int]]  # speech outside all spans, shorter than drop_below_s
    events: dict[str, int]  # counts of EVENTS; empty if the spans were given
    engine: str  # webrtcvad | silero: the detector used
    samples: np.ndarray | None = field(default=None, compare=False, repr=False)  # see `Frames`


@dataclass(frozen=True)
class Frames:
    """A recording as 10 ms frames."""

    levels: np.ndarray  # `[n_frames]` float32, dB re full scale
    flags: np.ndarray  # `[n_frames]` bool: speech
    rate_hz: int
    n_samples: int
    engine: str = "webrtcvad"  # the detector used
    samples: np.ndarray | None = None  # `[n_samples]` int16; None if longer than MAX_HELD_S


def segment(flac: Path, settings: SegmentSettings, clipped: Iterable[list[int]]) -> SegmentResult:
    """Segments of a normalised recording.

    Args:
        clipped: [first, n] runs of clipped 10 ms frames, by `normalize`.
    """
    frames = read_frames(flac, settings)
    regions = speech_regions(frames, settings)
    spans, forced, dropped, events = plan(regions, frames, settings)
    return replace(_result(frames, spans, regions, dropped, events, clipped), forced=forced)


def whole(
    flac: Path, settings: SegmentSettings, clipped: Iterable[list[int]], trim: bool
) -> SegmentResult:
    """One segment for a recording with a reference text.

    Args:
        trim: remove the silence at both ends except `pad_s`. A recording without detected speech is
            kept whole, for later steps to judge.
    """
    frames = read_frames(flac, settings)
    regions = speech_regions(frames, settings)
    span = (0, len(frames.levels))
    if trim and regions:
        pad = _frames(settings.pad_s)
        span = (max(span[0], regions[0][0] - pad), min(span[1], regions[-1][1] + pad))
    return _result(frames, [span], regions, [], Counter(), clipped)


def measured(
    flac: Path, settings: SegmentSettings, clipped: Iterable[list[int]], spans: list[list[int]]
) -> SegmentResult:
    """Segments with given spans, exact to the sample, and their measures.

    Args:
        spans: [start, end] in samples, sorted and disjoint.
    """
    frames = read_frames(flac, settings)
    regions = speech_regions(frames, settings)
    in_frames = []
    for start, end in spans:
        first = min(start * FRAMES_PER_S // frames.rate_hz, len(frames.levels) - 1)
        in_frames.append((first, max(first + 1, -(-end * FRAMES_PER_S // frames.rate_hz))))
    result = _result(frames, in_frames, regions, [], Counter(), clipped)
    return replace(result, spans=[list(span) for span in spans])


def read_frames(flac: Path, settings: SegmentSettings) -> Frames:
    """Levels and speech flags of a normalised recording, read in blocks."""
    detector = _detector(settings)
    levels, flags, held = [], [], []
    with soundfile.SoundFile(flac) as sound:
        rate_hz, n_samples = sound.samplerate, sound.frames
        hold = n_samples <= MAX_HELD_S * rate_hz
        resampler = soxr.ResampleStream(rate_hz, detector.rate_hz, 1, dtype="float32")
        for block in sound.blocks(BLOCK_S * rate_hz, dtype="int16"):
            if hold:
                held.append(block)
            levels.append(vad.levels_db(block, rate_hz))
            flags.append(detector.update(_int16(resampler.resample_chunk(block.astype("f4")))))
        flags.append(
            detector.update(_int16(resampler.resample_chunk(np.zeros(0, "f4"), last=True)))
        )
    flags.append(detector.finish())
    levels, flags = np.concatenate(levels), np.concatenate(flags)
    speech = np.zeros(len(levels), bool)
    n_common = min(len(levels), len(flags))  # the two may differ in their last frames
    speech[:n_common] = flags[:n_common]
    if detector.reach_frames:  # the network lags by a few frames; the levels are exact
        speech = ndimage.binary_dilation(speech, np.ones(2 * detector.reach_frames + 1))
    speech &= levels > vad.threshold_db(levels, settings.energy_share)
    engine = detector.engine if settings.engine == "auto" else settings.engine
    samples = np.concatenate(held) if held else None
    return Frames(levels, speech, rate_hz, n_samples, engine, samples)


def _detector(settings):
    def webrtcvad():
        return vad.WebRtcVad(settings.aggressiveness, settings.frame_ms)

    def network():
        return silero.SileroVad(settings.onset, settings.offset)

    if settings.engine == "auto":
        return AutoVad(webrtcvad, network, settings.energy_share)
    return network() if settings.engine == "silero" else webrtcvad()


def identity(settings: SegmentSettings) -> dict[str, object]:
    """Everything besides the audio that determines the segments: settings, version, network."""
    others = set().union(*OF_ENGINE.values()) - OF_ENGINE[settings.engine]
    used = {name: value for name, value in asdict(settings).items() if name not in others}
    network = None if settings.engine == "webrtcvad" else sha256_file(silero.model_path())
    return {"settings": used, "version": VERSION, "network": network}


def _int16(samples):
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def speech_regions(frames: Frames, settings: SegmentSettings) -> list[Span]:
    """Stretches of speech between pauses, in frames."""
    regions = vad.speech_regions(
        frames.flags, _frames(settings.min_pause_s), _frames(settings.min_sound_s)
    )
    return vad.with_vowels(regions, frames.levels)


def plan(
    regions: list[Span], frames: Frames, settings: SegmentSettings
) -> tuple[list[Span], list[str | None], list[Span], Counter]:
    """Spans of the segments, their forced cuts (start | end | both), dropped speech regions, and
    counts of EVENTS; spans in frames."""
    quiet = ndimage.uniform_filter1d(frames.levels, QUIET_FRAMES, mode="nearest")
    events = Counter(dict.fromkeys(EVENTS, 0), regions=len(regions))
    pieces, forced = [], set()
    for chain in _chains(regions, _frames(settings.merge_gap_s)):
        short = [
            part for region in chain for part in _shorten(region, frames, quiet, settings, forced)
        ]
        parts = _partition(short, settings)
        events["merged"] += sum(
            before[1] < after[0] for part in parts for before, after in pairwise(part)
        )
        events["split"] += len(parts) - 1
        events["split_without_pause"] += sum(part[-1][1] in forced for part in parts)
        pieces.extend(parts)
    bounds = [(part[0][0], part[-1][1]) for part in pieces]
    enough = _frames(settings.drop_below_s)
    kept = [sum(end - start for start, end in part) >= enough for part in pieces]
    events["segments"], events["dropped"] = kept.count(True), kept.count(False)
    # dropped speech still bounds its neighbours, so that it is in none of them
    spans = [_widen(i, bounds, quiet, settings, events) for i in range(len(bounds)) if kept[i]]
    dropped = [
        region for part, keep in zip(pieces, kept, strict=True) if not keep for region in part
    ]
    sides = [_forced(bounds[i], forced) for i in range(len(bounds)) if kept[i]]
    return spans, sides, dropped, events


def _forced(bound, forced):
    """Sides of a piece that were cut without a pause."""
    start, end = (edge in forced for edge in bound)
    return "both" if start and end else "start" if start else "end" if end else None


def _chains(regions, gap_frames):
    """Group regions that are separated by pauses shorter than `gap_frames`."""
    chains = []
    for region in regions:
        if chains and region[0] - chains[-1][-1][1] < gap_frames:
            chains[-1].append(region)
        else:
            chains.append([region])
    return chains


def _shorten(region, frames, quiet, settings, forced):
    """Split `region` into parts that fit max_s with padding; add cuts without a pause to
    `forced`."""
    start, end = region
    if end - start <= _max_speech_frames(settings):
        return [region]
    cut = _cut_inside(start, end, frames.flags, quiet, forced)
    return [
        *_shorten((start, cut), frames, quiet, settings, forced),
        *_shorten((cut, end), frames, quiet, settings, forced),
    ]


def _partition(chain, settings):
    """Split `chain` into parts that fit max_s with padding, at minimum total cost.

    A part costs the squared distance of its length from the middle between min_s and max_s, in
    units of half that range; a cut costs 1 minus its pause as a fraction of merge_gap_s. Long
    pauses are thus cut for lengths near the middle, short pauses only for a large improvement.
    """
    max_frames, pad = _max_speech_frames(settings), _frames(settings.pad_s)
    gap = max(1, _frames(settings.merge_gap_s))
    middle = (settings.min_s + settings.max_s) / 2 * FRAMES_PER_S - 2 * pad
    half = (settings.max_s - settings.min_s) / 2 * FRAMES_PER_S
    cheapest = [(0.0, 0)]  # of the first n regions: cost, and start of the last part
    for n, (_, end) in enumerate(chain, 1):
        candidates = []
        for first in range(n - 1, -1, -1):
            length = end - chain[first][0]
            if length > max_frames:
                break
            pause = chain[first][0] - chain[first - 1][1] if first else gap
            cut = cheapest[first][0] + 1 - pause / gap
            candidates.append((cut + ((length - middle) / half) ** 2, first))
        cheapest.append(min(candidates))
    parts, end = [], len(chain)
    while end:
        first = cheapest[end][1]
        parts.append(chain[first:end])
        end = first
    return parts[::-1]


def _max_speech_frames(settings):
    """Longest speech that fits max_s with padding, in frames."""
    return _frames(settings.max_s) - 2 * _frames(settings.pad_s)


def _cut_inside(start, end, flags, quiet, forced):
    """Position to cut speech without a pause, outside its first and last quarter: in the longest
    dip, or else at the quietest point."""
    margin = (end - start) // 4
    start, end = start + margin, end - margin
    dips = [
        (start + first, start + last)
        for first, last in vad.runs(~flags[start:end])
        if last - first >= MIN_DIP_FRAMES
    ]
    if dips:
        return _quietest(quiet, *max(dips, key=lambda dip: (dip[1] - dip[0], -dip[0])))
    cut = _quietest(quiet, start, end)
    forced.add(cut)
    return cut


def _quietest(quiet, start, end):
    return start + int(np.argmin(quiet[start:end]))


def _widen(i, bounds, quiet, settings, events):
    """Extend piece `i` by silence at both ends: by `pad_s`, and up to `min_s` if shorter; never
    beyond the middle of the pause to the next speech."""
    start, end = bounds[i]
    first = (bounds[i - 1][1] + start + 1) // 2 if i else 0
    last = (end + bounds[i + 1][0]) // 2 if i + 1 < len(bounds) else len(quiet)
    pad = _frames(settings.pad_s)
    # the edge is the quietest point in the outer half of the padding
    lo, hi = max(first, start - pad), max(first, start - pad // 2)
    wide_start = _quietest(quiet, lo, hi + 1) if hi > lo else lo
    lo, hi = min(last, end + pad // 2), min(last, end + pad)
    wide_end = _quietest(quiet, lo, hi) + 1 if hi > lo else hi
    missing = _frames(settings.min_s) - (wide_end - wide_start)
    if missing <= 0:
        return wide_start, wide_end
    # leave one frame to the middle, so that two extended neighbours do not touch
    before = max(0, wide_start - first - (i > 0))
    after = max(0, last - wide_end - (i + 1 < len(bounds)))
    left = min(before, max(missing // 2, missing - after))
    right = min(after, missing - left)
    events["extended"] += left + right > 0
    if left + right > 0:
        length = wide_end - wide_start
        in_s = [frames / FRAMES_PER_S for frames in (wide_start, length, length + left + right)]
        log.info("extended the segment at %.2f s from %.2f s to %.2f s", *in_s)
    events["short"] += left + right < missing
    return wide_start - left, wide_end + right


def _frames(seconds):
    return round(seconds * FRAMES_PER_S)


def _result(frames, spans, regions, dropped, events, clipped):
    speech, clipping = np.zeros((2, len(frames.levels)), bool)
    for start, end in regions:
        speech[start:end] = True
    for first, n in clipped:
        clipping[first : first + n] = True
    dropped_regions = set(dropped)

    def in_samples(stretches):
        return [
            [min(edge * frames.rate_hz // FRAMES_PER_S, frames.n_samples) for edge in stretch]
            for stretch in stretches
        ]

    return SegmentResult(
        rate_hz=frames.rate_hz,
        n_samples=frames.n_samples,
        spans=in_samples(spans),
        forced=[None] * len(spans),
        measures=[_measure(frames.levels, speech, clipping, span) for span in spans],
        speech=in_samples([region for region in regions if region not in dropped_regions]),
        dropped=in_samples(dropped),
        events=dict(sorted(events.items())),
        engine=frames.engine,
        samples=frames.samples,
    )


def _measure(levels, speech, clipping, span):
    """Level of the speech (of the whole span if it has none), dBFS, and the fractions of frames
    without speech and of clipped frames."""
    here = slice(*span)
    audible = levels[here][speech[here]] if speech[here].any() else levels[here]
    power = np.mean(10 ** (audible.astype(np.float64) / 10))
    return {
        "level_db": round(10 * float(np.log10(power)), 2),
        "silence_share": round(1 - float(speech[here].mean()), 4),
        "clipped_share": round(float(clipping[here].mean()), 4),
    }
