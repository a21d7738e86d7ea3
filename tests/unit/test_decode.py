"""Samples of every format, block by block, and damage found while reading."""

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from test_probe import RATE_HZ, tone, write_with_ffmpeg
from voicekiln.audio.decode import stream
from voicekiln.audio.probe import AudioError, check_length, probe


def read(path, block_s=10.0):
    with stream(path, block_s) as audio:
        return np.concatenate(list(audio.blocks)), audio.rate_hz


@pytest.mark.parametrize(
    ("subtype", "step"),
    [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("FLOAT", 1e-7), ("DOUBLE", 1e-7)],
)
def test_wav_of_every_depth(tmp_path, subtype, step):
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
    shifts = range(-3000, 3001) if worst > 0.02 else [0]  # coders that start with a delay
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
def test_samples_that_are_no_numbers(tmp_path, wrong):
    samples = tone().astype(np.float32)
    samples[12_000] = wrong
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"sample 12000 \(0\.75 s\) is NaN or infinite"):
        read(tmp_path / "a.wav", 0.1)


def test_huge_finite_samples_are_read(tmp_path):
    samples = np.full((100, 1), 3e30, np.float32)
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], samples)


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.webm", "a.aac"])
def test_cut_off_files(tmp_path, name):
    noise = np.random.default_rng(2).uniform(-0.5, 0.5, (5 * 48_000, 1))
    path = tmp_path / name
    if name in ("a.flac", "a.mp3"):
        soundfile.write(path, noise, 48_000)
    else:
        write_with_ffmpeg(path, "libopus" if name == "a.webm" else "aac", noise, 48_000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if name == "a.aac":  # a raw stream states no length: what is there is the recording
        assert 100_000 < len(read(path)[0]) < 140_000
    else:
        with pytest.raises(AudioError, match="cut off|damaged"):
            read(path)


def test_damaged_packets_are_refused(tmp_path):
    path = tmp_path / "a.m4a"
    write_with_ffmpeg(path, "aac", tone(5.0, 48_000), 48_000)
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 1000
    content[start : start + 20_000] = np.random.default_rng(3).bytes(20_000)
    path.write_bytes(content)
    with pytest.raises(AudioError, match="packets cannot be decoded"):
        read(path)


def test_errors_of_the_reader_pass_through(tmp_path):
    """An error in the code that uses the stream is not taken for one of the file."""
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


def test_a_decompression_bomb_is_refused_by_header_and_while_it_unfolds(tmp_path):
    path = tmp_path / "a.flac"
    flac_bomb(path)
    with pytest.raises(AudioError, match="3277 s of audio in .* bytes"):
        probe(path)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0  # STREAMINFO's number of samples: not known
    content[22:26] = bytes(4)
    path.write_bytes(content)
    n_read = 0
    with pytest.raises(AudioError, match="made to fill the disk"), stream(path) as audio:
        for block in audio.blocks:
            n_read += len(block)
    assert n_read / 4_000 <= 0.1 * len(content), "no more is decoded than it takes to see it"


def test_a_day_in_one_file_is_no_recording(tmp_path):
    (tmp_path / "a.wav").write_bytes(bytes(1000))
    check_length(tmp_path / "a.wav", 600)
    with pytest.raises(AudioError, match="50 hours of audio in one file; expected 48 at most"):
        check_length(tmp_path / "a.wav", 50 * 3600)


@pytest.mark.parametrize("name, codec", [("a.mka", "libopus"), ("a.m4a", "aac")])
def test_what_follows_a_hole_stays_in_its_place(tmp_path, name, codec):
    """A second of packets is missing; what is said after it is not said earlier."""
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
