"""Any audio file -> mono FLAC at a fixed rate and loudness, without DC offset.

Several channels are averaged, unless one is selected.

The first pass decodes, downmixes and resamples into an unnamed temporary file of float32 samples
beside the target (340 MB per hour at 24 kHz); the measuring and writing passes read that file.
Decoding twice would cost several times as much CPU for everything but WAV.
"""

import errno
import hashlib
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import soxr

from voicekiln.audio import decode, offset
from voicekiln.audio.clipping import FRAMES_PER_S, ClippingDetector
from voicekiln.audio.downmix import ChannelChoice, ChannelMeter, channel_warning, mean
from voicekiln.audio.enhance import Enhance
from voicekiln.audio.loudness import LoudnessMeter, TruePeakMeter
from voicekiln.audio.measures import RoomMeter, SpectrumMeter
from voicekiln.audio.probe import AudioError

log = logging.getLogger("normalize")
VERSION = 5
BLOCK_S = 10.0
# Aliasing 28 bits down instead of HQ's 20, at 10 % more cost in the cheapest step.
QUALITY = "VHQ"
# Gain and levels are rounded to 0.01 dB, so that last-bit differences between the libraries of two
# machines do not change every sample.
DB_DIGITS = 2
FULL_SCALE = 32768
FULL_BYTES = 16 << 20  # free space below which a disk counts as full
ENDS_SAMPLES = 8192  # far longer than soxr's filter, in samples of the lower rate


@dataclass(frozen=True)
class NormalizeSettings:
    """Section `normalize` of a corpus."""

    rate_hz: int
    loudness_lufs: float  # target
    true_peak_dbtp: float  # ceiling; limits the gain, no compression
    max_gain_db: float  # keeps the noise of near-silent recordings down
    denoise: str | None = None  # see enhance.py
    separate: str | None = None


@dataclass(frozen=True)
class NormalizeResult:
    """Measurements of a recording and the processing applied to it."""

    n_samples: int  # of the result
    rate_hz: int
    source_rate_hz: int
    source_channels: int
    source_samples: int  # per channel, as decoded
    channel: int | None  # used channel, from 0; None: mean of all
    cancelled: float  # fraction of the recording in which channels cancel in the mean
    lost: float  # fraction lost in the used channel
    dc_offset: float  # removed mean, full scale 1
    offset_change: float  # change within the recording, removed by a high-pass; else 0
    loudness_lufs_in: float | None  # of the mono signal; None: silence
    gain_db: float
    true_peak_dbtp: float | None  # of the result; None: digital silence
    clipped: list[list[int]]  # [first, n] runs of clipped 10 ms frames of the source
    audio_sha256: str  # of the result's samples as little-endian int16
    clipped_share: float  # of the source's 10 ms frames
    # see measures.py; None if there is too little audio
    bandwidth_hz: float | None  # of the source
    noise_floor_dbfs: float | None  # before the gain
    snr_db: float | None
    hum_db: float | None
    reverb_s: float | None


def normalize(
    source: Path,
    target: Path,
    settings: NormalizeSettings,
    steps: Sequence[Enhance] = (),
    channel: int | None = None,
) -> NormalizeResult:
    """Write `source` to `target` as mono 16-bit FLAC at `settings.rate_hz`.

    Args:
        steps: the enhancers for `settings.separate` and `settings.denoise`, in order.
        channel: the channel to use, from 0; None: all.

    Raises:
        AudioError: `source` is unusable; no file remains at `target`.
    """
    with ExitStack() as opened:
        spool = opened.enter_context(tempfile.TemporaryFile(dir=target.parent))
        mix = found = _spool(source, spool, settings.rate_hz, channel)
        if found.choice.channel != channel:  # rare: decode again
            mix = _spool(source, spool, settings.rate_hz, found.choice.channel)
        dc = mix.offset
        if problem := channel_warning(found.choice):
            log.warning("%s: %s", source, problem)
        for step in steps:
            restart = partial(_centred, spool, mix, settings.rate_hz)
            enhanced = opened.enter_context(tempfile.TemporaryFile(dir=target.parent))
            for block in step(restart, settings.rate_hz):
                enhanced.write(block)
            spool, mix = enhanced, replace(mix, offset=offset.NONE)
        loudness, peak = LoudnessMeter(settings.rate_hz), TruePeakMeter()
        for block in _centred(spool, mix, settings.rate_hz):
            loudness.update(block)
            peak.update(block)
        loudness_lufs = loudness.loudness_lufs()
        peak_dbtp = 20 * math.log10(peak.true_peak()) if peak.true_peak() > 0 else None
        gain_db = choose_gain_db(loudness_lufs, peak_dbtp, settings)
        room = RoomMeter(settings.rate_hz)
        try:
            n_samples, audio_sha256 = _write(
                _centred(spool, mix, settings.rate_hz), target, settings.rate_hz, gain_db, room
            )
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    n_frames = math.ceil(mix.n_samples * FRAMES_PER_S / mix.rate_hz)
    room_measures = room.measures()
    if room_measures["noise_floor_dbfs"] is not None:
        room_measures["noise_floor_dbfs"] -= gain_db
    return NormalizeResult(
        n_samples=n_samples,
        rate_hz=settings.rate_hz,
        source_rate_hz=mix.rate_hz,
        source_channels=mix.channels,
        source_samples=mix.n_samples,
        channel=found.choice.channel,
        cancelled=round(found.choice.cancelled, 3),
        lost=round(found.choice.lost, 3),
        dc_offset=dc.mean,
        offset_change=round(dc.change, 4) if dc.changes else 0.0,
        loudness_lufs_in=None if loudness_lufs is None else round(loudness_lufs, DB_DIGITS),
        gain_db=gain_db,
        true_peak_dbtp=None if peak_dbtp is None else round(peak_dbtp + gain_db, DB_DIGITS),
        clipped=mix.clipped,
        audio_sha256=audio_sha256,
        clipped_share=round(sum(n for _, n in mix.clipped) / n_frames, 5),
        bandwidth_hz=_rounded(mix.bandwidth_hz, 0),
        **{name: _rounded(value, 2) for name, value in room_measures.items()},
    )


def _rounded(value, digits):
    return None if value is None else round(value, digits)


def choose_gain_db(
    loudness_lufs: float | None, peak_dbtp: float | None, settings: NormalizeSettings
) -> float:
    """Gain to the target loudness, limited by ceiling and maximum, dB; 0 for silence."""
    if loudness_lufs is None or peak_dbtp is None:
        return 0.0
    wanted_db = min(settings.loudness_lufs - loudness_lufs, settings.max_gain_db)
    room_db = settings.true_peak_dbtp - peak_dbtp
    if wanted_db <= room_db:
        return round(wanted_db, DB_DIGITS)
    return math.floor(room_db * 10**DB_DIGITS) / 10**DB_DIGITS


@dataclass(frozen=True)
class _Mix:
    """Result of the decoding pass; the spool holds one channel at the target rate."""

    rate_hz: int
    channels: int
    n_samples: int
    offset: offset.Offset
    choice: ChannelChoice
    clipped: list[list[int]]
    bandwidth_hz: float | None


def _spool(source, spool, rate_hz, channel):
    spool.seek(0)
    spool.truncate()
    with decode.stream(source, BLOCK_S) as audio:
        if channel is not None and channel >= audio.channels:
            raise AudioError(
                f"{source}: channel {channel} (counted from 0) requested, but the file has"
                f" {audio.channels}; correct the channel in the list"
            )
        mixing = channel is None and audio.channels > 1
        clipping = ClippingDetector(
            audio.rate_hz, audio.channels if channel is None else 1, audio.resolution
        )
        resampler = None
        if audio.rate_hz != rate_hz:
            resampler = soxr.ResampleStream(
                audio.rate_hz, rate_hz, 1, dtype="float32", quality=QUALITY
            )
        spectrum, dc = SpectrumMeter(audio.rate_hz), offset.OffsetMeter(audio.rate_hz)
        channels = ChannelMeter(audio.rate_hz, audio.channels)
        n_samples = 0
        for block in audio.blocks:
            if channel is not None:
                block = block[:, [channel]]
            clipping.update(block)
            mono = mean(block)
            if mixing:
                channels.update(block, mono)
            n_samples += len(mono)
            dc.update(mono)
            spectrum.update(mono)
            spool.write(mono if resampler is None else resampler.resample_chunk(mono))
        if n_samples == 0:
            raise AudioError(f"{source}: no audio could be decoded; export the file again")
        if resampler is not None:
            spool.write(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    choice = channels.choose() if mixing else ChannelChoice(channel, 0.0, 0.0)
    return _Mix(
        *(audio.rate_hz, audio.channels, n_samples, dc.offset(), choice),
        *(clipping.runs(), spectrum.bandwidth_hz()),
    )


def _centred(spool, mix, rate_hz) -> Iterator[np.ndarray]:
    """Blocks of the spooled signal as if the offset had been removed before resampling.

    The mean is known only after the decoding pass. Resampling is linear, so the resampled offset is
    subtracted: the offset itself, except near both ends. A changing offset is removed by a
    high-pass.
    """
    high_pass = offset.HighPass(rate_hz) if mix.offset.changes else None
    item = np.dtype(np.float32).itemsize
    n_total = spool.seek(0, os.SEEK_END) // item
    spool.seek(0)
    head, tail = _resampled_ends(mix.rate_hz, rate_hz, mix.n_samples)
    start = 0
    while content := spool.read(round(BLOCK_S * rate_hz) * item):
        block = np.frombuffer(content, np.float32)
        end = start + len(block)
        if mix.offset.constant:
            ones = np.ones(len(block), np.float32)
            if start < len(head):
                ones[: len(head) - start] = head[start:end]
            if end > n_total - len(tail):
                reach = max(start, n_total - len(tail))
                ones[reach - start :] = tail[
                    reach - n_total + len(tail) : end - n_total + len(tail)
                ]
            block = block - np.float32(mix.offset.constant) * ones
        yield block if high_pass is None else high_pass(block)
        start = end


def _resampled_ends(source_hz, rate_hz, n_samples):
    """First and last part of `n_samples` ones after resampling; all values between are 1."""
    if source_hz == rate_hz:
        return np.ones(0, np.float32), np.ones(0, np.float32)
    reach = ENDS_SAMPLES * max(1, math.ceil(source_hz / rate_hz))
    # omitting whole periods of the two rates keeps the phase at the end
    period = source_hz // math.gcd(source_hz, rate_hz)
    left_out = max(0, n_samples - reach) // period * period
    ones = soxr.resample(np.ones(n_samples - left_out, np.float32), source_hz, rate_hz, QUALITY)
    middle = len(ones) // 2
    return ones[:middle], ones[middle:]


def _write(blocks, target, rate_hz, gain_db, room):
    scale = np.float32(FULL_SCALE * 10 ** (gain_db / 20))
    digest = hashlib.sha256()
    n_samples = 0
    with soundfile.SoundFile(
        target, "w", samplerate=rate_hz, channels=1, format="FLAC", subtype="PCM_16"
    ) as flac:
        for block in blocks:
            scaled = np.multiply(block, scale)
            np.rint(scaled, out=scaled)
            pcm = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1, out=scaled).astype("<i2")
            digest.update(pcm)
            try:
                flac.write(pcm)
            except soundfile.LibsndfileError as error:  # it hides the cause
                full = shutil.disk_usage(target.parent).free < FULL_BYTES
                raise OSError(
                    errno.ENOSPC if full else errno.EIO, error.error_string, str(target)
                ) from error
            room.update(pcm)
            n_samples += len(pcm)
    return n_samples, digest.hexdigest()
