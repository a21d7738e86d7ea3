"""Read the header of an audio file.

libsndfile (soundfile) is tried first, then FFmpeg's libraries (PyAV) for formats that it lacks
(m4a, mp4, webm, wma, ...). Both detect the format by content, so a wrong extension is harmless, and
both receive an open file instead of a name, so that no name can act as a URL or an option.
"""

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import soundfile
from av.stream import Disposition

from voicekiln.errors import UserError

# FFmpeg also reads playlists, image sequences and URLs; only plain media containers are allowed,
# and none of them may open a second file.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,latm,loas,matroska,mov,mp3,mp4,mpc,mpc8"
    ",mpeg,mpegts,ogg,rm,tta,w64,wav,webm,wv,xwma"
)
# These store no duration; FFmpeg's estimate from size and bit rate may be far off.
UNTIMED_CONTAINERS = frozenset("aac ac3 amr eac3 latm loas mp3 mpeg mpegts".split())
MIN_LATE_S, MAX_UNSTATED_LATE_S = 0.03, 60.0
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 768_000
MAX_CHANNELS = 64
MAX_SAMPLES_PER_S = 6_144_000  # all channels: 32 at 192 kHz, 8 at 768 kHz
# Limits against decompression bombs. Silence at 8 kHz in FLAC has 0.04 s per byte, Opus 0.004.
MAX_S_PER_BYTE, UNCHECKED_S = 0.1, 600
MAX_FILE_S = 48 * 3600
MAX_STATED_SAMPLES = 1 << 60  # libsndfile returns 2**63 - 1 for a stream of unknown length
STREAMED_BYTES = 0x7FFFF000  # programs that write into a pipe state the largest possible chunk


class AudioError(UserError):
    """A file that cannot be used as a recording."""


@dataclass(frozen=True)
class Probe:
    """Header of an audio file."""

    rate_hz: int
    channels: int
    n_samples: int | None  # per channel; None if unknown before decoding
    duration_s: float | None  # None if stated by neither header nor packets
    container: str
    codec: str
    track: int = 0  # index of the used audio track, of `n_tracks`
    n_tracks: int = 1


def probe(path: Path) -> Probe:
    """Header of `path`; nothing is decoded.

    Raises:
        AudioError: not a file, empty, not audio, without audio stream, or truncated.
    """
    try:
        header = _probe_soundfile(path)
    except soundfile.LibsndfileError as libsndfile_error:
        header = _probe_ffmpeg(path, libsndfile_error)
    check_length(path, header.duration_s or 0.0)
    return header


def _probe_soundfile(path):
    with open_soundfile(path) as sound:
        header = Probe(
            rate_hz=sound.samplerate,
            channels=sound.channels,
            n_samples=stated_samples(sound),
            duration_s=sound.frames / sound.samplerate,
            container=sound.format.lower(),
            codec=sound.subtype.lower(),
        )
    if header.n_samples is None:
        return _probe_ffmpeg(path)
    return header


def _probe_ffmpeg(path, libsndfile_error=None):
    with open_ffmpeg(path, libsndfile_error) as container:
        stream = audio_track(container)
        return Probe(
            rate_hz=stream.codec_context.sample_rate,
            channels=stream.codec_context.channels,
            n_samples=None,
            duration_s=stated_duration_s(container) or _last_packet_s(container),
            container=container.format.name,
            codec=stream.codec_context.name,
            track=container.streams.audio.index(stream),
            n_tracks=len(container.streams.audio),
        )


def audio_track(container: av.container.InputContainer) -> av.AudioStream:
    """The audio track that a player chooses: the first marked as default, or the first."""
    tracks = container.streams.audio
    return next((one for one in tracks if one.disposition & Disposition.default), tracks[0])


def stated_samples(sound: soundfile.SoundFile) -> int | None:
    """Samples per channel by the header; None if not stated."""
    return sound.frames if sound.frames < MAX_STATED_SAMPLES else None


def stated_duration_s(container: av.container.InputContainer) -> float | None:
    """Duration of the audio track by the header, seconds; None if not stated.

    The duration of a container is that of its longest stream, which may be video or subtitles.
    """
    if container.format.name in UNTIMED_CONTAINERS:
        return None
    stream = audio_track(container)
    if stream.duration:
        return float(stream.duration * stream.time_base)
    for name, value in stream.metadata.items():
        # Matroska's statistics: DURATION, or DURATION-eng; the end of the track
        if name.split("-")[0] == "DURATION" and (end_s := _seconds(value)):
            first = stream.start_time or 0
            return end_s - late_s(container, float(first * stream.time_base))
    alone = len(container.streams) == 1
    return container.duration / av.time_base if alone and container.duration else None


def late_s(container: av.container.InputContainer, at_s: float) -> float:
    """Delay of an audio track that starts at `at_s` behind the video, seconds.

    A delay no longer than that of a codec counts as 0.
    """
    if container.start_time is None:
        return 0.0
    late = at_s - container.start_time / av.time_base
    most = container.duration / av.time_base if container.duration else MAX_UNSTATED_LATE_S
    return late if MIN_LATE_S < late <= most else 0.0


def _seconds(clock):
    match = re.fullmatch(r"(\d{1,4}):(\d\d):(\d\d(?:\.\d+)?)", clock)
    return match and int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _last_packet_s(container):
    """Duration up to the last packet, seconds: browser recorders state no duration."""
    stream = audio_track(container)
    first, last = None, None
    for packet in container.demux(stream):
        if packet.pts is not None:
            first = packet.pts if first is None else min(first, packet.pts)
            last = max(last or 0, packet.pts + (packet.duration or 0))
    return None if last is None else float((last - first) * stream.time_base)


def check_length(path: Path, seconds: float) -> None:
    """Reject implausibly long audio, such as decompression bombs.

    Raises:
        AudioError: longer than allowed for any file, or for a file of this size.
    """
    if seconds > MAX_FILE_S:
        raise AudioError(
            f"{path}: {seconds / 3600:.0f} hours of audio in one file, expected at most"
            f" {MAX_FILE_S // 3600}; split the file"
        )
    n_bytes = path.stat().st_size
    if seconds > max(UNCHECKED_S, MAX_S_PER_BYTE * n_bytes):
        raise AudioError(
            f"{path}: {seconds:.0f} s of audio in {n_bytes} bytes: damaged, or crafted to fill the"
            " disk; remove the file"
        )


@contextmanager
def open_soundfile(path: Path) -> Iterator[soundfile.SoundFile]:
    """Open `path` with libsndfile and check its header.

    Raises:
        soundfile.LibsndfileError: unknown format.
        AudioError: not a file, or an implausible header.
    """
    with _open_regular(path) as handle:
        with soundfile.SoundFile(handle.fileno(), closefd=False) as sound:
            _check_header(path, sound.samplerate, sound.channels)
            if sound.frames == 0:
                raise AudioError(f"{path}: {sound.format} file without samples; export it again")
            _check_chunk(path, sound.extra_info)
            yield sound


def _check_chunk(path, header_log):
    """Detect truncation: libsndfile shortens an incomplete chunk and reports it only in its log."""
    note = re.search(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", header_log, re.MULTILINE)
    if note is None:
        return
    stated, present = int(note[1]), int(note[2])
    if present < stated < STREAMED_BYTES:
        raise AudioError(
            f"{path}: truncated: its header states {stated} bytes of samples, found {present};"
            " copy or export the file again"
        )


@contextmanager
def open_ffmpeg(
    path: Path, libsndfile_error: Exception | None = None
) -> Iterator[av.container.InputContainer]:
    """Open `path` with FFmpeg's libraries and check its audio track.

    Args:
        libsndfile_error: libsndfile's error, for the message.

    Raises:
        AudioError: not a file, unknown container, no audio stream, or an implausible header.
    """

    def reject(*_):
        raise AudioError(
            f"{path}: refers to other files; only self-contained audio files are supported"
        )

    with _open_regular(path) as handle:
        try:
            container = av.open(
                handle,
                metadata_errors="replace",
                options={"format_whitelist": CONTAINERS},
                buffer_size=1 << 18,
                io_open=reject,
            )
        except (av.FFmpegError, OSError) as error:
            reasons = [_reason(e) for e in (libsndfile_error, error) if e is not None]
            raise AudioError(
                f"{path}: cannot be read as audio ({'; '.join(reasons)}); the file is damaged,"
                " truncated, or not an audio file"
            ) from error
        with container:
            if not container.streams.audio:
                raise AudioError(f"{path}: {container.format.name} file without an audio stream")
            codec = audio_track(container).codec_context
            if codec is None:
                raise AudioError(
                    f"{path}: FFmpeg does not support its audio codec; convert it to WAV or FLAC"
                )
            _check_header(path, codec.sample_rate, codec.channels)
            yield container


def _reason(error):
    if isinstance(error, soundfile.LibsndfileError):
        return f"libsndfile: {error.error_string.rstrip('.')}"
    if isinstance(error, av.ArgumentError):  # raised for containers not in CONTAINERS
        return "FFmpeg: not a supported container"
    return f"FFmpeg: {error.strerror}"


def _open_regular(path):
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(
                f"{path}: expected an audio file, found something other than a regular file"
            )
        if status.st_size == 0:
            raise AudioError(f"{path}: expected audio, found an empty file (0 bytes)")
        return path.open("rb")
    except OSError as error:
        raise AudioError(f"{path}: cannot open the file: {error.strerror}") from error


def _check_header(path, rate_hz, channels):
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{path}: sample rate {rate_hz} Hz, expected {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(f"{path}: {channels} channels, expected 1 to {MAX_CHANNELS}")
    if rate_hz * channels > MAX_SAMPLES_PER_S:
        raise AudioError(
            f"{path}: {channels} channels at {rate_hz} Hz, expected at most"
            f" {MAX_SAMPLES_PER_S} samples per second in total"
        )
