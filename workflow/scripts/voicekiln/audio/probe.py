"""What an audio file says about itself, from its header alone.

libsndfile (soundfile) is asked first; whatever it does not know (m4a, mp4, webm, wma, ...) goes to
FFmpeg's libraries (PyAV). Both are asked by content, so a wrong extension does no harm, and both
get an open file instead of a name, so that no name is ever taken for an address or an option.
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

# FFmpeg also reads playlists, image sequences and network addresses; only plain media containers
# are let in, and none of them may open a second file.
CONTAINERS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,eac3,flac,flv,latm,loas,matroska,mov,mp3,mp4,mpc,mpc8"
    ",mpeg,mpegts,ogg,rm,tta,w64,wav,webm,wv,xwma"
)
# These carry no duration; FFmpeg's guess from size and bit rate may be far off.
UNTIMED_CONTAINERS = frozenset("aac ac3 amr eac3 latm loas mp3 mpeg mpegts".split())
MIN_LATE_S, MAX_UNSTATED_LATE_S = 0.03, 60.0
MIN_RATE_HZ, MAX_RATE_HZ = 4_000, 768_000
MAX_CHANNELS = 64
MAX_SAMPLES_PER_S = 6_144_000  # all channels: 32 at 192 kHz, 8 at 768 kHz
# What a small file may unfold into. Silence of 8 kHz in FLAC has 0.04 s a byte, Opus 0.004.
MAX_S_PER_BYTE, UNCHECKED_S = 0.1, 600
MAX_FILE_S = 48 * 3600
MAX_KNOWN_SAMPLES = 1 << 60  # libsndfile answers 2**63 - 1 for a stream of unstated length
STREAMED_BYTES = 0x7FFFF000  # programs that write into a pipe claim the largest chunk there is


class AudioError(UserError):
    """A file that cannot be used as a recording, and why."""


@dataclass(frozen=True)
class Probe:
    """Header of an audio file."""

    rate_hz: int
    channels: int
    n_samples: int | None  # per channel; None where only decoding tells
    duration_s: float | None  # None where neither header nor packets tell
    container: str
    codec: str
    track: int = 0  # of `n_tracks` sound tracks, the one that is used
    n_tracks: int = 1


def probe(path: Path) -> Probe:
    """Header of `path`; no sample is decoded.

    Raises:
        AudioError: not a file, empty, not audio, no audio stream, or cut off.
    """
    try:
        header = _probe_soundfile(path)
    except soundfile.LibsndfileError as refusal:
        header = _probe_ffmpeg(path, refusal)
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


def _probe_ffmpeg(path, refusal=None):
    with open_ffmpeg(path, refusal) as container:
        stream = sound_track(container)
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


def sound_track(container: av.container.InputContainer) -> av.AudioStream:
    """The sound track that a player plays: the first one marked as default, or else the first."""
    tracks = container.streams.audio
    return next((one for one in tracks if one.disposition & Disposition.default), tracks[0])


def stated_samples(sound: soundfile.SoundFile) -> int | None:
    """Samples per channel that the header promises; None where it leaves that open."""
    return sound.frames if sound.frames < MAX_KNOWN_SAMPLES else None


def stated_duration_s(container: av.container.InputContainer) -> float | None:
    """Seconds of sound that the header promises; None where it leaves that open.

    A container's own duration is that of its longest stream, which may be a picture or subtitles.
    """
    if container.format.name in UNTIMED_CONTAINERS:
        return None
    stream = sound_track(container)
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
    """Seconds that a sound which begins at `at_s` is later than the picture.

    What is no more than a codec's delay counts as 0.
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
    """Seconds of sound up to the last packet: recorders in a browser state no duration."""
    stream = sound_track(container)
    first, last = None, None
    for packet in container.demux(stream):
        if packet.pts is not None:
            first = packet.pts if first is None else min(first, packet.pts)
            last = max(last or 0, packet.pts + (packet.duration or 0))
    return None if last is None else float((last - first) * stream.time_base)


def check_length(path: Path, seconds: float) -> None:
    """Refuse a file that is, or unfolds into, more audio than can be meant.

    Raises:
        AudioError: longer than a file may be, or than one of its size may be.
    """
    if seconds > MAX_FILE_S:
        raise AudioError(
            f"{path}: {seconds / 3600:.0f} hours of audio in one file; expected"
            f" {MAX_FILE_S // 3600} at most: split it"
        )
    n_bytes = path.stat().st_size
    if seconds > max(UNCHECKED_S, MAX_S_PER_BYTE * n_bytes):
        raise AudioError(
            f"{path}: {seconds:.0f} s of audio in {n_bytes} bytes: damaged, or made to fill the"
            " disk"
        )


@contextmanager
def open_soundfile(path: Path) -> Iterator[soundfile.SoundFile]:
    """`path` opened by libsndfile, its header found plausible.

    Raises:
        soundfile.LibsndfileError: not a format that libsndfile knows.
        AudioError: no file, or a header that cannot be true.
    """
    with _open_regular(path) as handle:
        with soundfile.SoundFile(handle.fileno(), closefd=False) as sound:
            _check_header(path, sound.samplerate, sound.channels)
            if sound.frames == 0:
                raise AudioError(f"{path}: a {sound.format} header without a single sample")
            _check_chunk(path, sound.extra_info)
            yield sound


def _check_chunk(path, header_log):
    """libsndfile cuts a chunk that claims more than there is, and says so only in its log."""
    note = re.search(r"^ ?(?:data|SSND) : (\d+) \(should be (\d+)\)", header_log, re.MULTILINE)
    if note is None:
        return
    claimed, present = int(note[1]), int(note[2])
    if present < claimed < STREAMED_BYTES:
        raise AudioError(
            f"{path}: cut off: its header promises {claimed} bytes of samples, {present} are there;"
            " copy or export it again"
        )


@contextmanager
def open_ffmpeg(
    path: Path, refusal: Exception | None = None
) -> Iterator[av.container.InputContainer]:
    """`path` opened by FFmpeg's libraries, with at least one audio stream.

    Args:
        refusal: why libsndfile did not take the file, for the message.

    Raises:
        AudioError: no file, no known container, no audio in it, or an implausible header.
    """

    def refuse(*_):
        raise AudioError(f"{path}: refers to other files; only self-contained audio is read")

    with _open_regular(path) as handle:
        try:
            container = av.open(
                handle,
                metadata_errors="replace",
                options={"format_whitelist": CONTAINERS},
                buffer_size=1 << 18,
                io_open=refuse,
            )
        except (av.FFmpegError, OSError) as error:
            reasons = [_reason(e) for e in (refusal, error) if e is not None]
            raise AudioError(
                f"{path}: not audio that can be read ({'; '.join(reasons)}); damaged, cut off, or"
                " no audio file?"
            ) from error
        with container:
            if not container.streams.audio:
                raise AudioError(f"{path}: no audio stream in this {container.format.name} file")
            codec = sound_track(container).codec_context
            if codec is None:
                raise AudioError(f"{path}: its audio has a codec that FFmpeg does not know")
            _check_header(path, codec.sample_rate, codec.channels)
            yield container


def _reason(error):
    if isinstance(error, soundfile.LibsndfileError):
        return f"libsndfile: {error.error_string.rstrip('.')}"
    if isinstance(error, av.ArgumentError):  # the answer to what is outside of CONTAINERS
        return "FFmpeg: not a container that is read here"
    return f"FFmpeg: {error.strerror}"


def _open_regular(path):
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(
                f"{path}: expected an audio file, found something that is no plain file"
            )
        if status.st_size == 0:
            raise AudioError(f"{path}: expected audio, found an empty file (0 bytes)")
        return path.open("rb")
    except OSError as error:
        raise AudioError(f"{path}: cannot be opened: {error.strerror}") from error


def _check_header(path, rate_hz, channels):
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            f"{path}: its header says {rate_hz} samples a second; expected {MIN_RATE_HZ} to"
            f" {MAX_RATE_HZ}"
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError(
            f"{path}: its header says {channels} channels; expected 1 to {MAX_CHANNELS}"
        )
    if rate_hz * channels > MAX_SAMPLES_PER_S:
        raise AudioError(
            f"{path}: its header says {channels} channels of {rate_hz} Hz; expected at most"
            f" {MAX_SAMPLES_PER_S} samples a second in all"
        )
