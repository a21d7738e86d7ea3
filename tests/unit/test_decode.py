"""Samples of every format, block by block; damage is detected while reading."""

import re
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_probe import RATE_HZ, tone, write_with_ffmpeg
from voicekiln.audio.decode import stream
from voicekiln.audio.probe import AudioError, check_length, probe
from voicekiln.corpus.sources.inventory import look_into


def read(path, block_s=10.0):
    with stream(path, block_s) as audio:
        return np.concatenate(list(audio.blocks)), audio.rate_hz


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)],
)
def test_wav_of_every_bit_depth(tmp_path, subtype, step):
    samples = tone(channels=2)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype=subtype)
    decoded, rate_hz = read(tmp_path / "a.wav")
    assert rate_hz == RATE_HZ
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, samples, atol=1.01 * step)


@pytest.mark.parametrize(
    ("name", "codec", "worst"),
    [
        ("a.m4a", "alac", 1e-4),
        ("a.mkv", "pcm_u8", 0.01),
        ("a.mkv", "pcm_s32le", 1e-4),
        ("a.mkv", "pcm_f64le", 1e-4),
        ("a.m4a", "aac", 0.05),
        ("a.webm", "libopus", 0.05),
        ("a.wma", "wmav2", 0.05),
    ],
)
def test_ffmpeg_gives_full_scale_one(tmp_path, name, codec, worst):
    samples = tone(2.0, 48_000)
    write_with_ffmpeg(tmp_path / name, codec, samples, 48_000)
    decoded, _ = read(tmp_path / name)
    assert abs(len(decoded) - len(samples)) < 4096
    middle = slice(20_000, 60_000)
    shifts = range(-3000, 3001) if worst > 0.02 else [0]  # codecs with an initial delay
    best = min(
        np.abs(decoded[middle.start + s : middle.stop + s, 0] - samples[middle, 0]).max()
        for s in shifts
    )
    assert best < worst


@settings(max_examples=25, deadline=None)
@given(block_s=st.floats(0.01, 3.0))
@pytest.mark.parametrize("name", ["a.flac", "a.m4a"])
def test_block_size_does_not_matter(name, block_s, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / f"blocks-{name}"
    if not path.exists():
        noise = np.random.default_rng(1).uniform(-0.5, 0.5, (30_000, 1))
        if name == "a.flac":
            soundfile.write(path, noise, 48_000)
        else:
            write_with_ffmpeg(path, "aac", noise, 48_000)
    whole, _ = read(path, 100.0)
    with stream(path, block_s) as audio:
        blocks = list(audio.blocks)
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * 48_000)}
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_samples_are_rejected(tmp_path, wrong):
    samples = tone().astype(np.float32)
    samples[12_000] = wrong
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"sample 12000 \(0\.75 s\) is NaN or infinite"):
        read(tmp_path / "a.wav", 0.1)


@pytest.mark.parametrize("huge", [1e10, -1e18, 3e30])
@pytest.mark.parametrize("how_many", [1, 4000])
def test_huge_finite_samples_are_rejected(tmp_path, huge, how_many):
    samples = tone().astype(np.float32)
    samples[12_000 : 12_000 + how_many] = huge
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"sample 12000 \(0\.75 s\) is more than 4e\+09"):
        read(tmp_path / "a.wav", 0.1)


def test_floats_scaled_as_integers_are_read(tmp_path):
    samples = (tone() * 2**31).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], samples)


@pytest.mark.parametrize("at_s", [3.0, 12.0])
def test_damage_is_reported_with_its_position(tmp_path, at_s):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(3).uniform(-0.5, 0.5, 20 * RATE_HZ), RATE_HZ)
    content = bytearray(path.read_bytes())
    at = round(len(content) * at_s / 20)
    content[at : at + 2000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="damaged after") as refused:
        read(path)
    told_s = float(re.search(r"after ([\d.]+) s", str(refused.value))[1])
    assert told_s == pytest.approx(at_s, abs=0.5)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.webm", "a.aac"])
def test_truncated_files_are_rejected(tmp_path, name):
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (5 * 48_000, 1))
    path = tmp_path / name
    if name in ("a.flac", "a.mp3"):
        soundfile.write(path, noise, 48_000)
    else:
        write_with_ffmpeg(path, "libopus" if name == "a.webm" else "aac", noise, 48_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if name == "a.aac":  # a raw stream states no length, so it cannot be truncated
        assert 100_000 < len(read(path)[0]) < 140_000
    else:
        with pytest.raises(AudioError, match="truncated|damaged"):
            read(path)


def test_damaged_packets_are_rejected(tmp_path):
    path = tmp_path / "a.m4a"
    write_with_ffmpeg(path, "aac", tone(5.0, 48_000), 48_000)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 1000
    content[start : start + 20_000] = np.random.default_rng(3).bytes(20_000)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="packets cannot be decoded"):
        read(path)


def test_errors_of_the_reader_pass_through(tmp_path):
    """An error in the code that uses the stream is not reported as an error of the file."""
    soundfile.write(tmp_path / "a.wav", tone(), RATE_HZ)
    with pytest.raises(soundfile.LibsndfileError):
        with stream(tmp_path / "a.wav") as audio:
            next(audio.blocks)
            soundfile.SoundFile(tmp_path / "none.wav")


def flac_bomb(path, blocks=200):
    """Silence in FLAC's longest blocks at its lowest rate: 16 s in some 35 bytes."""
    n, rate_hz = 65_535, 4_000
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "flac", rate=rate_hz, layout="mono", format="s16", options={"frame_size": str(n)}
        )
        for k in range(blocks):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, n), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts = rate_hz, k * n
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_decompression_bomb_is_rejected_by_header_and_while_decoding(tmp_path):
    path = tmp_path / "a.flac"
    flac_bomb(path)
    with pytest.raises(AudioError, match="3277 s of audio in .* bytes"):
        probe(path)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO: number of samples unknown
    content[22:26] = bytes(4)
    path.write_bytes(content)
    n_read = 0
    with pytest.raises(AudioError, match="crafted to fill the disk"), stream(path) as audio:
        for block in audio.blocks:
            n_read += len(block)
    assert n_read / 4_000 <= 0.1 * len(content), "no more is decoded than it takes to see it"


def test_files_of_days_are_rejected(tmp_path):
    (tmp_path / "a.wav").write_bytes(bytes(1000))
    check_length(tmp_path / "a.wav", 600)
    with pytest.raises(AudioError, match="50 hours of audio in one file, expected at most 48"):
        check_length(tmp_path / "a.wav", 50 * 3600)


@pytest.mark.parametrize("name, codec", [("a.mka", "libopus"), ("a.m4a", "aac")])
def test_audio_after_a_gap_keeps_its_time(tmp_path, name, codec):
    """A second of packets is missing; the audio after it keeps its time."""
    rate_hz, n = 48_000, 960 if codec == "libopus" else 1024
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        out = container.add_stream(codec, rate=rate_hz, layout="mono")
        for k in range(10 * rate_hz // n):
            at = k * n
            loud = 0.5 if 8 * rate_hz <= at < 9 * rate_hz else 0.0
            wave = loud * np.sin(2 * np.pi * 440 * np.arange(at, at + n) / rate_hz)
            frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
            if codec == "libopus":
                frame = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "flt", "mono")
            frame.sample_rate, frame.pts = rate_hz, at
            for packet in out.encode(frame):
                if not 3 <= packet.pts * packet.time_base < 4:
                    container.mux(packet)
        container.mux(out.encode(None))
    samples, _ = read(path)
    heard = np.flatnonzero(np.abs(samples[:, 0]) > 0.1) / rate_hz
    assert heard[0] == pytest.approx(8, abs=0.05) and heard[-1] == pytest.approx(9, abs=0.05)
    assert not samples[int(3.2 * rate_hz) : int(3.8 * rate_hz)].any()


def film(path, sounds, picture_s=4.0, starts_s=0.0, default=0, codec="aac"):
    """A video whose audio tracks alternate every 0.5 s: silence, tone, silence, ..."""
    rate_hz = 48_000
    video = {"webm": "libvpx"}.get(path.suffix[1:], "mpeg4")
    with av.open(str(path), "w") as container:
        picture = container.add_stream(video, rate=10, width=64, height=64, pix_fmt="yuv420p")
        tracks = [container.add_stream(codec, rate=rate_hz, layout="mono") for _ in sounds]
        for number, track in enumerate(tracks):
            track.disposition = av.stream.Disposition.default if number == default else 0
        packets = []
        for number in range(round(picture_s * 10)):
            image = av.VideoFrame.from_ndarray(
                np.full((64, 64, 3), number % 256, np.uint8), "rgb24"
            )
            image.pts, image.time_base = number, Fraction(1, 10)
            packets += picture.encode(image)
        packets += picture.encode(None)
        for track, samples in zip(tracks, sounds, strict=True):
            kind = "flt" if codec == "libopus" else "fltp"
            frame = av.AudioFrame.from_ndarray(samples[None].astype(np.float32), kind, "mono")
            frame.sample_rate, frame.time_base = rate_hz, Fraction(1, rate_hz)
            frame.pts = round(starts_s * rate_hz)
            packets += [*track.encode(frame), *track.encode(None)]
        for packet in sorted(packets, key=lambda one: one.dts * one.time_base):
            container.mux(packet)
    return path


def beep(begins_s, hz=440.0, seconds=3.0):
    times_s = np.arange(round(seconds * 48_000)) / 48_000
    return 0.5 * np.sin(2 * np.pi * hz * times_s) * (times_s >= begins_s)


FILMS = [
    *((name, "aac") for name in ("a.mp4", "a.mov", "a.mkv", "a.ts")),
    *((name, "libopus") for name in ("a.mkv", "a.webm")),
]


@pytest.mark.parametrize(("name", "codec"), FILMS)
@pytest.mark.parametrize("starts_s", [0.0, 0.4, 1.7])
def test_audio_keeps_its_delay_behind_the_video(tmp_path, name, codec, starts_s):
    path = film(tmp_path / name, [beep(0.5)], 6.0, starts_s, codec=codec)
    samples, rate_hz = read(path)
    heard_s = np.flatnonzero(np.abs(samples[:, 0]) > 0.2)[0] / rate_hz
    assert heard_s == pytest.approx(starts_s + 0.5, abs=0.05)
    assert len(samples) / rate_hz == pytest.approx(starts_s + 3.0, abs=0.1)


@pytest.mark.parametrize(("name", "codec"), FILMS)
@pytest.mark.parametrize("tags", [True, False])
def test_longer_video_does_not_make_audio_truncated(tmp_path, name, codec, tags):
    path = film(tmp_path / name, [beep(0.5)], 8.0, codec=codec)
    if not tags:  # the track durations in Matroska
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"DURATIOX"))
    samples, rate_hz = read(path)
    assert len(samples) / rate_hz == pytest.approx(3.0, abs=0.1)
    assert probe(path).duration_s == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("tags", [True, False])
def test_a_truncated_video_is_rejected(tmp_path, tags):
    path = film(tmp_path / "a.mkv", [beep(0.0, seconds=30.0)], 31.0)
    content = path.read_bytes() if tags else path.read_bytes().replace(b"DURATION", b"DURATIOX")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError, match="truncated"):
        read(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
@pytest.mark.parametrize("default", [0, 1, 2])
def test_the_default_audio_track_is_used(tmp_path, name, default):
    path = film(tmp_path / name, [beep(0, 300), beep(0, 1000), beep(0, 3000)], default=default)
    header = probe(path)
    assert (header.track, header.n_tracks) == (default, 3)
    samples, rate_hz = read(path)
    spectrum = np.abs(np.fft.rfft(samples[:rate_hz, 0]))
    assert np.argmax(spectrum) == pytest.approx([300, 1000, 3000][default], abs=2)


def test_several_audio_tracks_are_logged(tmp_path, caplog):
    look_into(film(tmp_path / "one.mkv", [beep(0)]))
    assert not caplog.records
    look_into(film(tmp_path / "two.mkv", [beep(0), beep(0)], default=1))
    assert "two.mkv: it has 2 sound tracks; number 2, the default track, is used" in caplog.text


def sound_file(name):
    """Bytes of a small file of this format."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        if name == "a.mp4":
            film(path, [beep(0.2, seconds=0.5)], 0.5)
        elif name == "a.m4a":
            write_with_ffmpeg(path, "aac", tone(0.5, 48_000), 48_000)
        elif name == "a.mkv":
            film(path, [beep(0.2, seconds=0.5)], 0.5, codec="libopus")
        else:
            soundfile.write(path, tone(0.5, channels=2), RATE_HZ)
        return path.read_bytes()


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "a.mp4", "a.mkv"])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])
@given(data=st.data())
def test_a_corrupted_file_is_read_or_rejected(name, data):
    """Overwritten bytes, mostly in headers, and truncation raise no other error."""
    content = bytearray(SMALL.setdefault(name, sound_file(name)))
    for _ in range(data.draw(st.integers(1, 6))):
        most = data.draw(st.sampled_from([64, 512, len(content)]))
        at = data.draw(st.integers(0, min(most, len(content)) - 1))
        new = data.draw(st.binary(min_size=1, max_size=8))
        content[at : at + len(new)] = new
    end = data.draw(st.integers(len(content) // 4, len(content)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content[:end])
        for look in (probe, read):
            try:
                look(path)
            except AudioError as refused:
                assert str(path) in str(refused) and "\n" not in str(refused)


SMALL = {}
