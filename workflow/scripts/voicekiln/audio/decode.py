"""Decode any audio file block by block."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile

from voicekiln.audio.probe import (
    UNTIMED_CONTAINERS,
    AudioError,
    audio_track,
    check_length,
    late_s,
    open_ffmpeg,
    open_soundfile,
    stated_duration_s,
    stated_samples,
)

log = logging.getLogger("decode")

# A recording may be this much shorter than its header states: encoders round up to whole packets.
MISSING_S, MISSING_FRACTION = 0.5, 0.01
MAX_BAD_PACKETS_FRACTION = 0.01
# Gaps between packets that are filled with silence
MIN_GAP_S, MAX_GAP_S = 0.1, 60.0
MAX_SILENT_FRAME = 1 << 17  # samples per channel
# Full scale is 1, but some programs write 16- or 32-bit integers as floats.
MAX_SAMPLE = 2.0**32
STEP_16_BIT = 2.0**-15
# 8-bit codes; telephony codes have steps of 1/32 near full scale
COARSE_STEPS = {"pcm_u8": 2.0**-7, "pcm_s8": 2.0**-7} | dict.fromkeys(
    ["ulaw", "alaw", "pcm_mulaw", "pcm_alaw"], 2.0**-5
)


@dataclass(frozen=True)
class Stream:
    """Samples of one file; the blocks can be iterated once."""

    rate_hz: int
    channels: int
    resolution: float  # one quantisation step, full scale 1
    blocks: Iterator[
        np.ndarray
    ]  # `[n, channels]` float32, full scale 1; n is fixed except in the last


@contextmanager
def stream(path: Path, block_s: float = 10.0) -> Iterator[Stream]:
    """Samples of `path` in blocks of `block_s`; only one block is in memory at a time.

    Raises:
        AudioError: on entry as `probe`; while reading: the file is damaged, shorter than its
            header states, implausibly long for its size, or has NaN or infinite samples.
    """
    with ExitStack() as opened:
        try:
            sound = opened.enter_context(open_soundfile(path))
        except soundfile.LibsndfileError as libsndfile_error:
            container = opened.enter_context(open_ffmpeg(path, libsndfile_error))
            codec = audio_track(container).codec_context
            rate_hz, channels = codec.sample_rate, codec.channels
            resolution = COARSE_STEPS.get(codec.name, STEP_16_BIT)
            blocks = _ffmpeg_blocks(path, container, round(block_s * rate_hz))
        else:
            rate_hz, channels = sound.samplerate, sound.channels
            resolution = COARSE_STEPS.get(sound.subtype.lower(), STEP_16_BIT)
            blocks = _soundfile_blocks(path, sound, round(block_s * rate_hz))
        yield Stream(rate_hz, channels, resolution, _checked(path, rate_hz, blocks))


def _soundfile_blocks(path, sound, block_samples):
    n_read = 0
    while True:
        try:
            block = sound.read(block_samples, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            at_s = _readable_samples(path, n_read + block_samples) / sound.samplerate
            raise AudioError(
                f"{path}: damaged after {at_s:.1f} s ({error.error_string.rstrip('.')});"
                " copy or export the file again"
            ) from error
        n_read += len(block)
        if len(block):
            yield block
        if len(block) < block_samples:
            break
    stated = stated_samples(sound)
    if stated is not None:
        _check_complete(path, n_read / sound.samplerate, stated / sound.samplerate)


def _readable_samples(path, limit):
    """How many of the first `limit` samples of a damaged file can be read, in steps of 10 ms."""
    n_read = 0
    with open_soundfile(path) as sound:
        step = max(1, sound.samplerate // 100)
        try:
            while n_read < limit:
                n_read += len(sound.read(min(step, limit - n_read), dtype="float32"))
        except soundfile.LibsndfileError:
            pass
    return n_read


def _ffmpeg_blocks(path, container, block_samples):
    # Queueing frames in FFmpeg costs a tenth of converting each one to an array.
    queue = av.AudioFifo()
    for frame in _frames(path, container):
        frame.pts = None
        queue.write(frame)
        while queue.samples >= block_samples:
            yield _as_float(queue.read(block_samples))
    if queue.samples:
        yield _as_float(queue.read())


def _frames(path, container):
    """Decoded frames, with gaps in the container's timestamps filled by silence."""
    stream = audio_track(container)
    rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    n_read = n_late = n_packets = n_bad = 0
    origin_s = None  # timestamp of sample 0
    for packet in _packets(path, container, stream):
        n_packets += 1
        try:
            frames = packet.decode()
        except av.FFmpegError:
            n_bad += 1
            continue
        for frame in frames:
            if (frame.sample_rate, frame.layout.nb_channels) != (rate_hz, channels):
                raise AudioError(
                    f"{path}: the format changes from {rate_hz} Hz x {channels} channels to"
                    f" {frame.sample_rate} Hz x {frame.layout.nb_channels} channels after"
                    f" {n_read / rate_hz:.1f} s; split the file there"
                )
            if frame.pts is not None:
                at_s = float(frame.pts * frame.time_base)
                gap_s = at_s - n_read / rate_hz - (origin_s or 0.0)
                if origin_s is None:
                    gap_s = late_s(container, at_s)
                    origin_s, n_late = at_s - gap_s, round(gap_s * rate_hz)
                elif abs(gap_s) > MAX_GAP_S:  # the timestamps were reset
                    origin_s, gap_s = at_s - n_read / rate_hz, 0.0
                elif gap_s > MIN_GAP_S:  # keeps later speech at its time
                    _warn_gap(path, gap_s, n_read / rate_hz)
                else:
                    gap_s = 0.0
                for silence in _silence_like(frame, round(gap_s * rate_hz)):
                    n_read += silence.samples
                    yield silence
            n_read += frame.samples
            yield frame
    if n_read == 0 or n_bad > MAX_BAD_PACKETS_FRACTION * n_packets:
        raise AudioError(
            f"{path}: damaged: {n_bad} of {n_packets} packets cannot be decoded;"
            " copy or export the file again"
        )
    if stated_s := stated_duration_s(container):
        _check_complete(path, (n_read - n_late) / rate_hz, stated_s)


def _warn_gap(path, gap_s, at_s):
    if at_s > MIN_GAP_S:  # earlier: sound that starts after the video
        log.warning(
            "%s: %.2f s of audio missing at %.1f s, replaced by silence",
            *(path, gap_s, at_s),
        )


def _packets(path, container, stream):
    """Packets of one stream.

    If only the container states a duration, the last packet of any stream must reach it.
    """
    whole_s = None
    if container.duration and container.format.name not in UNTIMED_CONTAINERS:
        if stated_duration_s(container) is None:
            whole_s = container.duration / av.time_base
    end_s = start_s = (container.start_time or 0) / av.time_base
    try:
        for packet in container.demux(*([stream] if whole_s is None else container.streams)):
            if packet.pts is not None and whole_s is not None:
                end = packet.pts + (packet.duration or 0)
                end_s = max(end_s, float(end * packet.time_base))
            if packet.stream is stream:
                yield packet
    except av.FFmpegError as error:
        raise AudioError(
            f"{path}: damaged ({error.strerror}); copy or export the file again"
        ) from error
    if whole_s is not None:
        _check_complete(path, end_s - start_s, whole_s)


def _silence_like(frame, n_samples):
    """Frames of silence, `n_samples` in total, each at limit a few seconds long."""
    if not n_samples:
        return  # before to_ndarray, which takes longer than decoding
    like = frame.to_ndarray()  # planar: [channels, n]; interleaved: [1, channels * n]
    width = like.shape[1] // frame.samples
    for start in range(0, n_samples, MAX_SILENT_FRAME):
        n = min(MAX_SILENT_FRAME, n_samples - start)
        zero = 128 if like.dtype == np.uint8 else 0
        silence = np.full((like.shape[0], n * width), zero, like.dtype)
        made = av.AudioFrame.from_ndarray(silence, frame.format.name, frame.layout.name)
        made.sample_rate = frame.sample_rate
        yield made


def _as_float(frame):
    """Convert any of FFmpeg's sample formats to `[n, channels]` float32, full scale 1."""
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)


def _checked(path, rate_hz, blocks):
    """`blocks`, raising on NaN, infinite samples and implausible length."""
    n_before = 0
    for block in blocks:
        check_length(path, (n_before + len(block)) / rate_hz)
        flat = block.reshape(-1)
        # The sum of squares needs one pass and no temporary array, and flags every bad block;
        # only then are single samples checked.
        with np.errstate(over="ignore"):
            power = np.dot(flat, flat)
        if not power <= MAX_SAMPLE**2:
            _reject_samples(path, rate_hz, block, n_before)
        n_before += len(block)
        yield block


def _reject_samples(path, rate_hz, block, n_before):
    for wrong, what in (
        (~np.isfinite(block), "is NaN or infinite"),
        (np.abs(block) > MAX_SAMPLE, f"is more than {MAX_SAMPLE:.0e} times full scale"),
    ):
        if wrong.any():
            at = n_before + int(np.argmax(wrong.any(axis=1)))
            raise AudioError(
                f"{path}: sample {at} ({at / rate_hz:.2f} s) {what}; export the file again"
            )


def _check_complete(path, read_s, stated_s):
    if stated_s - read_s > max(MISSING_S, MISSING_FRACTION * stated_s):
        raise AudioError(
            f"{path}: truncated: its header states {stated_s:.1f} s, found {read_s:.1f} s;"
            " copy or export the file again"
        )
