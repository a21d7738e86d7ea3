"""Samples of any audio file, block by block."""

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
    check_length,
    late_s,
    open_ffmpeg,
    open_soundfile,
    sound_track,
    stated_duration_s,
    stated_samples,
)

log = logging.getLogger("decode")

# A recording may end this much before its header says: encoders round up to whole packets.
MISSING_S, MISSING_SHARE = 0.5, 0.01
MAX_BAD_PACKETS_SHARE = 0.01
# Packets may be missing: from so much on silence takes their place, up to so much
MIN_HOLE_S, MAX_HOLE_S = 0.1, 60.0
MAX_SILENT_FRAME = 1 << 17  # samples per channel
# Full scale is 1, but some programs write whole numbers of 16 or 32 bits as floats.
MAX_SAMPLE = 2.0**32
STEP_16_BIT = 2.0**-15
# 8-bit codes; those of telephony step by 1/32 near full scale
COARSE_STEPS = {"pcm_u8": 2.0**-7, "pcm_s8": 2.0**-7} | dict.fromkeys(
    ["ulaw", "alaw", "pcm_mulaw", "pcm_alaw"], 2.0**-5
)


@dataclass(frozen=True)
class Stream:
    """Samples of one file, to be read once, in order."""

    rate_hz: int
    channels: int
    resolution: float  # one quantisation step, full scale 1
    blocks: Iterator[
        np.ndarray
    ]  # `[n, channels]` float32, full scale 1; n is fixed but for the last


@contextmanager
def stream(path: Path, block_s: float = 10.0) -> Iterator[Stream]:
    """Samples of `path` in blocks of `block_s`; only one block is in memory at a time.

    Raises:
        AudioError: on entry as `probe`; while reading: damaged, shorter than its header says, much
            longer than a file of its size can be, or with samples that are no numbers.
    """
    with ExitStack() as opened:
        try:
            sound = opened.enter_context(open_soundfile(path))
        except soundfile.LibsndfileError as refusal:
            container = opened.enter_context(open_ffmpeg(path, refusal))
            codec = sound_track(container).codec_context
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
                " copy or export it again"
            ) from error
        n_read += len(block)
        if len(block):
            yield block
        if len(block) < block_samples:
            break
    promised = stated_samples(sound)
    if promised is not None:
        _check_complete(path, n_read / sound.samplerate, promised / sound.samplerate)


def _readable_samples(path, most):
    """How many of the first `most` samples a damaged file still gives, in steps of 10 ms."""
    n_read = 0
    with open_soundfile(path) as sound:
        step = max(1, sound.samplerate // 100)
        try:
            while n_read < most:
                n_read += len(sound.read(min(step, most - n_read), dtype="float32"))
        except soundfile.LibsndfileError:
            pass
    return n_read


def _ffmpeg_blocks(path, container, block_samples):
    # Gathering frames in FFmpeg's own queue costs a tenth of turning each into an array.
    queue = av.AudioFifo()
    for frame in _frames(path, container):
        frame.pts = None
        queue.write(frame)
        while queue.samples >= block_samples:
            yield _as_float(queue.read(block_samples))
    if queue.samples:
        yield _as_float(queue.read())


def _frames(path, container):
    """Decoded frames on the container's own clock: silence stands for what it skips."""
    stream = sound_track(container)
    rate_hz, channels = stream.codec_context.sample_rate, stream.codec_context.channels
    n_read = n_late = n_packets = n_bad = 0
    began_s = None  # the container's time at sample 0
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
                    f"{path}: {rate_hz} Hz x {channels} turns into {frame.sample_rate} Hz x"
                    f" {frame.layout.nb_channels} after {n_read / rate_hz:.1f} s; split it there"
                )
            if frame.pts is not None:
                at_s = float(frame.pts * frame.time_base)
                hole_s = at_s - n_read / rate_hz - (began_s or 0.0)
                if began_s is None:
                    hole_s = late_s(container, at_s)
                    began_s, n_late = at_s - hole_s, round(hole_s * rate_hz)
                elif abs(hole_s) > MAX_HOLE_S:  # the clock was set anew
                    began_s, hole_s = at_s - n_read / rate_hz, 0.0
                elif hole_s > MIN_HOLE_S:  # what comes after stays where it was said
                    _warn_of_hole(path, hole_s, n_read / rate_hz)
                else:
                    hole_s = 0.0
                for silence in _silence_like(frame, round(hole_s * rate_hz)):
                    n_read += silence.samples
                    yield silence
            n_read += frame.samples
            yield frame
    if n_read == 0 or n_bad > MAX_BAD_PACKETS_SHARE * n_packets:
        raise AudioError(f"{path}: damaged: {n_bad} of {n_packets} packets cannot be decoded")
    if promised_s := stated_duration_s(container):
        _check_complete(path, (n_read - n_late) / rate_hz, promised_s)


def _warn_of_hole(path, hole_s, at_s):
    if at_s > MIN_HOLE_S:  # before, it is a sound that begins later than the picture
        log.warning(
            "%s: %.2f s of sound are missing at %.1f s; silence takes their place",
            *(path, hole_s, at_s),
        )


def _packets(path, container, stream):
    """Packets of one stream.

    Where its length is not stated but that of the whole is, the last packet of any stream has to
    reach it.
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
        raise AudioError(f"{path}: damaged ({error.strerror})") from error
    if whole_s is not None:
        _check_complete(path, end_s - start_s, whole_s)


def _silence_like(frame, n_samples):
    """Frames of silence, `n_samples` in all, none longer than a few seconds."""
    if not n_samples:
        return  # before the frame is turned into an array, which takes longer than decoding it
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
    """`[n, channels]` float32, full scale 1, of any of FFmpeg's sample formats."""
    samples = frame.to_ndarray()
    samples = samples.T if frame.format.is_planar else samples.reshape(frame.samples, -1)
    if samples.dtype.kind == "u":
        return (samples.astype(np.float32) - 128) / 128
    if samples.dtype.kind == "i":
        return samples.astype(np.float32) / -float(np.iinfo(samples.dtype).min)
    return samples.astype(np.float32, copy=False)


def _checked(path, rate_hz, blocks):
    """`blocks`, refusing NaN, Inf and what does not end."""
    n_before = 0
    for block in blocks:
        check_length(path, (n_before + len(block)) / rate_hz)
        flat = block.reshape(-1)
        # The sum of squares takes one pass and no temporary array; it finds everything that is
        # suspicious, and a second look tells what is wrong.
        with np.errstate(over="ignore"):
            power = np.dot(flat, flat)
        if not power <= MAX_SAMPLE**2:
            _refuse_samples(path, rate_hz, block, n_before)
        n_before += len(block)
        yield block


def _refuse_samples(path, rate_hz, block, n_before):
    for wrong, what in (
        (~np.isfinite(block), "is NaN or infinite"),
        (np.abs(block) > MAX_SAMPLE, f"is more than {MAX_SAMPLE:.0e} times full scale"),
    ):
        if wrong.any():
            at = n_before + int(np.argmax(wrong.any(axis=1)))
            raise AudioError(
                f"{path}: sample {at} ({at / rate_hz:.2f} s) {what}; export the file again"
            )


def _check_complete(path, read_s, promised_s):
    if promised_s - read_s > max(MISSING_S, MISSING_SHARE * promised_s):
        raise AudioError(
            f"{path}: cut off: its header promises {promised_s:.1f} s, {read_s:.1f} s are there;"
            " copy or export it again"
        )
