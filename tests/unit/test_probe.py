"""Headers of audio files, and the reasons for which files are rejected."""

import csv
import os
import struct

import av
import numpy as np
import pytest
import soundfile
from voicekiln.audio.probe import AudioError, probe
from voicekiln.errors import UserError

RATE_HZ = 16_000


def tone(seconds=1.0, rate_hz=RATE_HZ, channels=1):
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.repeat(0.3 * np.sin(2 * np.pi * 440 * times_s)[:, None], channels, axis=1)


def write_with_ffmpeg(path, codec, samples, rate_hz):
    """`path` in a container that only FFmpeg writes; `samples` is `[n, 1]`."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz)
        stream.layout = "mono"
        stream.bit_rate = 96_000
        frame = av.AudioFrame.from_ndarray(samples.T.astype(np.float32), "fltp", "mono")
        frame.sample_rate = rate_hz
        for piece in (frame, None):
            for packet in stream.encode(piece):
                container.mux(packet)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "FLOAT"),
        ("a.wav", "DOUBLE"),
        ("a.flac", "PCM_16"),
        ("a.mp3", "MPEG_LAYER_III"),
        ("a.ogg", "VORBIS"),
        ("a.opus", "OPUS"),
        ("a.aiff", "PCM_16"),
    ],
)
def test_formats_of_libsndfile(tmp_path, name, subtype):
    path = tmp_path / name
    container = "OGG" if name == "a.opus" else None
    soundfile.write(path, tone(1.0, channels=2), RATE_HZ, subtype=subtype, format=container)
    header = probe(path)
    assert (header.rate_hz, header.channels) == (RATE_HZ, 2)
    assert header.duration_s == pytest.approx(1.0, abs=0.08)
    assert header.codec == subtype.lower()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.m4a", "aac"),
        ("a.aac", "aac"),
        ("a.webm", "libopus"),
        ("a.m4a", "alac"),
        ("a.wma", "wmav2"),
    ],
)
def test_formats_of_ffmpeg(tmp_path, name, codec):
    path = tmp_path / name
    write_with_ffmpeg(path, codec, tone(2.0, 48_000), 48_000)
    header = probe(path)
    assert (header.rate_hz, header.channels, header.n_samples) == (48_000, 1, None)
    assert header.duration_s == pytest.approx(2.0, abs=0.08)


def test_format_is_detected_by_content_not_by_suffix(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(), RATE_HZ)
    (tmp_path / "a.flac").rename(tmp_path / "a.wav")
    assert probe(tmp_path / "a.wav").container == "flac"


@pytest.mark.parametrize(
    "name", ["a b.wav", "-i.wav", "a'\"{x}\n.wav", "http:x.wav", "concat:a|b.wav"]
)
def test_odd_names(tmp_path, name):
    soundfile.write(tmp_path / "plain.wav", tone(), RATE_HZ)
    (tmp_path / "plain.wav").rename(tmp_path / name)
    assert probe(tmp_path / name).n_samples == RATE_HZ


def test_name_outside_utf8(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff\xfe.wav")
    soundfile.write(tmp_path / "plain.wav", tone(), RATE_HZ)
    (tmp_path / "plain.wav").rename(path)
    assert probe(path).n_samples == RATE_HZ


def wav_claiming(n_bytes):
    header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 0x7FFFFFFF, b"WAVE", b"fmt ", 16, 1, 1,
                         RATE_HZ, 2 * RATE_HZ, 2, 16, b"data", n_bytes)  # fmt: skip
    return header + bytes(2 * RATE_HZ)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (np.random.default_rng(0).bytes(20_000), "cannot be read as audio"),
        (b"Some text.\n" * 50, "cannot be read as audio"),
        (wav_claiming(2 * RATE_HZ)[:30], "cannot be read as audio"),
        (wav_claiming(0)[:44], "file without samples"),
        (wav_claiming(3600 * 2 * RATE_HZ), "states 115200000 bytes of samples, found 32000"),
    ],
    ids=["zero", "garbage", "text", "header", "no-samples", "claims-an-hour"],
)
def test_unusable_files_are_reported_with_the_reason(tmp_path, content, reason):
    path = tmp_path / "bad.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError) as error:
        probe(path)
    assert reason in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert isinstance(error.value, UserError)


def test_a_playlist_is_not_followed(tmp_path):
    write_with_ffmpeg(tmp_path / "a.aac", "aac", tone(), RATE_HZ)
    (tmp_path / "a.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile://{tmp_path}/a.aac\n#EXT-X-ENDLIST\n"
    )
    with av.open(str(tmp_path / "a.m3u8"), options={"allowed_extensions": "ALL"}) as container:
        assert container.format.name == "hls"  # so it would be, if let
    with pytest.raises(AudioError, match="not a supported container"):
        probe(tmp_path / "a.m3u8")


def test_a_header_written_to_a_pipe_is_read_to_the_end_of_the_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_claiming(0xFFFFFFFF))
    assert probe(tmp_path / "a.wav").n_samples == RATE_HZ


def test_implausible_rates_are_rejected(tmp_path):
    content = bytearray(wav_claiming(2 * RATE_HZ))
    content[24:28] = struct.pack("<I", 2_000_000)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(AudioError, match="sample rate 2000000 Hz"):
        probe(tmp_path / "a.wav")


def test_video_without_audio(tmp_path):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    with pytest.raises(AudioError, match="without an audio stream"):
        probe(tmp_path / "a.mkv")


def test_paths_other_than_regular_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    for path, reason in [
        (tmp_path, "other than a regular file"),
        (tmp_path / "pipe.wav", "other than a regular file"),
        (tmp_path / "none.wav", "No such file"),
    ]:
        with pytest.raises(AudioError, match=reason):
            probe(path)


def test_real_recordings_agree_with_their_manifest(shared_data):
    with open(shared_data / "manifest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 50
    for row in rows:
        header = probe(shared_data / row["path"])
        assert header.rate_hz == int(row["sample_rate_hz"]), row["path"]
        assert header.channels == int(row["channels"]), row["path"]
        assert header.duration_s == pytest.approx(float(row["duration_s"]), abs=0.1), row["path"]
