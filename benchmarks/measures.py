"""How right and how dear the measures of recordings and segments are, on real speech.

    python benchmarks/measures.py [--hours 12]
    python benchmarks/measures.py --mos

Reads ../shared/data; makes what it needs of noise, hum, rooms and narrow bands from it. `--hours`
adds the time and peak memory of normalising and measuring one recording of that length. `--mos`
prints the opinion scores that DNSMOS predicts, and nothing else; it needs speechmos.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path

import librosa
import noisereduce
import numpy as np
import soundfile
import soxr
from scipy import signal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from long_recording import write  # noqa: E402
from voicekiln.audio import decode, dnsmos, measures, vad  # noqa: E402
from voicekiln.audio.enhance import denoise  # noqa: E402
from voicekiln.audio.normalize import NormalizeSettings, normalize  # noqa: E402
from voicekiln.audio.pitch import voiced_pitch_hz  # noqa: E402
from voicekiln.audio.speaker import speaker_distances, statistics  # noqa: E402
from voicekiln.corpus.measure import measure  # noqa: E402
from voicekiln.store.items import Store  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
SPEAKERS = ("en_lj/wavs", "de_kerstin/raw", "am_spk098/wavs")
READINGS = ("long/en_lj_001-0019_0032.flac", "long/de_kerstin_session.flac",
            "long/fr_fleursdumal_006.mp3")  # fmt: skip
RATED = (*SPEAKERS, "ar_quran/wavs")
RATED_READINGS = ("long/fr_fleursdumal_006.mp3", "long/en_sonnet_001.mp3")
SETTINGS = NormalizeSettings(24_000, -23.0, -1.0, 30.0)
RATE_HZ = SETTINGS.rate_hz


def decoded(path: Path, rate_hz: int = RATE_HZ) -> np.ndarray:
    """`[n]` float32 mono at RMS 0.07, without offset."""
    with decode.stream(path) as audio:
        samples = np.concatenate(list(audio.blocks)).mean(axis=1)
        samples = soxr.resample(samples, audio.rate_hz, rate_hz)
    samples -= samples.mean()
    return (samples * 0.07 / samples.std()).astype(np.float32)


def levels(samples: np.ndarray) -> np.ndarray:
    """Of 10 ms frames."""
    pcm = np.rint(samples * 32767).clip(-32768, 32767).astype(np.int16)
    return vad.levels_db(pcm, RATE_HZ)


def cost(clips: dict[str, list[np.ndarray]]) -> None:
    """CPU of the measures, and of two ways to the pitch."""
    every = list(itertools.chain(*clips.values()))
    hours = sum(map(len, every)) / RATE_HZ / 3600
    low = [soxr.resample(clip, RATE_HZ, 8_000) for clip in every]
    sizes = {"fmin": 60, "fmax": 500, "sr": 8_000, "frame_length": 512, "hop_length": 160}
    librosa.pyin(low[0][:8000], **sizes), voiced_pitch_hz(every[0], RATE_HZ)  # compiled by now
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), "normalize")
        keys = [stored(store, clip, i) for i, clip in enumerate(every)]
        began = time.process_time()
        for key, clip in zip(keys, every, strict=True):
            measure(store, key, [[0, len(clip)]])
        print(f"measure: {(time.process_time() - began) / hours:.1f} CPU seconds per hour")
    began = time.process_time()
    ours = [np.median(voiced_pitch_hz(clip, RATE_HZ)) for clip in every]
    between = time.process_time()
    theirs = [np.nanmedian(librosa.pyin(clip, **sizes)[0]) for clip in low]
    ended = time.process_time()
    lost = np.array(theirs) < 61  # its lower bound
    off = np.abs(np.array(ours) / theirs - 1)[~lost]
    print(
        f"pitch: {(between - began) / hours:.1f} CPU seconds per hour, librosa.pyin"
        f" {(ended - between) / hours:.0f}; in {lost.sum()} of {len(every)} clips pyin ends at its"
        f" lowest pitch, the other medians differ by {np.median(off):.1%} (half of them),"
        f" {off.max():.1%} (all); ours are {', '.join(spread(clips, ours))}"
    )


def spread(clips, values):
    """Least and most of the values of each speaker's clips."""
    values = iter(values)
    for name, parts in clips.items():
        there = [next(values) for _ in parts]
        yield f"{name} {min(there):.0f} ... {max(there):.0f} Hz"


def stored(store, samples, name):
    """Key of a clip in a store of normalised audio."""
    key = store.key(content=name)
    part = store.workfile(key, "flac")
    soundfile.write(part, samples, RATE_HZ, format="FLAC", subtype="PCM_16")
    store.put(key, {}, flac=part)
    return key


def noise(clips: dict[str, list[np.ndarray]]) -> None:
    """SNR found in speech with white noise at a known one."""
    print("\nSNR, dB      found: mean (least ... most)")
    for true_db in (5, 10, 15, 20, 30):
        found = []
        for clip in clips["en_lj/wavs"] + clips["de_kerstin/raw"]:
            clean = levels(clip)
            loud = np.percentile(clean, measures.LOUD_PERCENTILE) - measures.ACTIVE_RANGE_DB
            power = np.mean(10 ** (clean[clean >= loud] / 10)) / 10 ** (true_db / 10)
            noisy = clip + np.random.default_rng(0).normal(0, np.sqrt(power), len(clip))
            there = levels(noisy)
            found.append(measures.snr_db(there, measures.noise_floor_db(there)))
        print(f"{true_db:7}      {np.mean(found):.1f} ({min(found):.1f} ... {max(found):.1f})")


def bandwidth(folder: Path) -> None:
    """Of the same speech as it is and up-sampled."""

    def of(samples, rate_hz):
        samples = np.rint(samples * 32767) / 32768
        power = measures.power_spectra(samples.astype(np.float32), rate_hz)
        return measures.bandwidth_hz(power.mean(axis=0), rate_hz)

    print("\nbandwidth, Hz: least ... most")
    paths = sorted(folder.iterdir())
    found = [of(decoded(path, 22_050), 22_050) for path in paths]
    print(f"22050 Hz as it is: {min(found):.0f} ... {max(found):.0f}")
    for low_hz in (8_000, 11_025, 16_000):
        found = [of(soxr.resample(decoded(p, low_hz), low_hz, 44_100), 44_100) for p in paths]
        print(f"{low_hz} Hz stored at 44100 Hz: {min(found):.0f} ... {max(found):.0f}")


def room(readings: list[np.ndarray]) -> None:
    """Hum and reverberation added to readings."""
    print("\nhum, dB: of three readings clean, and with mains of 50 and of 60 Hz at a level")
    t = np.arange(max(map(len, readings))) / RATE_HZ
    print("  clean   ", *(f"{hum(clip):6.1f}" for clip in readings))
    for level_db, hz in itertools.product((-60, -50, -40), (50, 60)):
        lines = {1: 1.0, 2: 0.5, 3: 0.6, 5: 0.3}
        mains = sum(a * np.sin(2 * np.pi * hz * k * t + k) for k, a in lines.items())
        mains *= 10 ** (level_db / 20) / mains.std()
        found = [hum(clip + mains[: len(clip)]) for clip in readings]
        print(f"  {level_db} {hz} Hz", *(f"{value:6.1f}" for value in found))
    print("\nreverberation, s: of three readings dry, and in made-up rooms")
    print("  dry ", *(f"{measures.reverb_s(levels(clip)):6.2f}" for clip in readings))
    for seconds in (0.2, 0.4, 0.7, 1.2):
        t = np.arange(round(1.2 * seconds * RATE_HZ)) / RATE_HZ
        tail = np.random.default_rng(0).normal(size=len(t)) * 10 ** (-3 * t / seconds)
        tail /= np.sqrt((tail**2).sum())
        tail[0] += 1
        found = [
            measures.reverb_s(levels(signal.fftconvolve(clip, tail)[: len(clip)]))
            for clip in readings
        ]
        print(f"  {seconds:4}", *(f"{value:6.2f}" for value in found))


def hum(samples: np.ndarray) -> float:
    """As `normalize` measures it."""
    meter = measures.RoomMeter(RATE_HZ)
    pcm = np.rint(samples * 32767).clip(-32768, 32767).astype(np.int16)
    for start in range(0, len(pcm), 10 * RATE_HZ):
        meter.update(pcm[start : start + 10 * RATE_HZ])
    return meter.measures()["hum_db"]


def speakers(clips: dict[str, list[np.ndarray]]) -> None:
    """How often two clips of another speaker, or two of their own that sound otherwise, rank
    worst among a speaker's."""

    def features(clip):
        power = measures.power_spectra(clip, RATE_HZ)
        return statistics(power, RATE_HZ, voiced_pitch_hz(clip, RATE_HZ))

    def worst(own, other):
        hits = []
        for i in range(len(other) - 1):
            found = speaker_distances(own + other[i : i + 2], ["s"] * (len(own) + 2))
            hits.append(set(np.argsort(-found)[:2]) == {len(own), len(own) + 1})
        return f"{sum(hits)} of {len(hits)}"

    known = {name: [features(clip) for clip in parts] for name, parts in clips.items()}
    print("\ntwo clips of another speaker rank worst:")
    for own, other in itertools.permutations(known, 2):
        print(f"  {other} among {own}: {worst(known[own], known[other])}")
    print("two of their own after a telephone's bandwidth rank worst:")
    for name, parts in clips.items():
        narrow = [
            soxr.resample(soxr.resample(clip, RATE_HZ, 8_000), 8_000, RATE_HZ) for clip in parts
        ]
        hits = []
        for i in range(len(parts) - 1):
            there = list(known[name])
            there[i : i + 2] = [features(clip) for clip in narrow[i : i + 2]]
            found = speaker_distances(there, ["s"] * len(there))
            hits.append(set(np.argsort(-found)[:2]) == {i, i + 1})
        print(f"  {name}: {sum(hits)} of {len(hits)}")


def denoising(speech: np.ndarray) -> None:
    """Speech against everything else before and after `denoise`, scale-invariant."""

    def ratio_db(found):
        part = (found @ speech) / (speech @ speech) * speech
        return 10 * np.log10((part @ part) / ((found - part) @ (found - part)))

    print("\ndenoise: speech to all else, dB: before -> after; CPU s per hour; noisereduce alone")
    for true_db in (5, 10, 20, 30):
        draw = np.random.default_rng(0).normal(0, speech.std() * 10 ** (-true_db / 20), len(speech))
        noisy = (speech + draw).astype(np.float32)
        began = time.process_time()
        found = np.concatenate(list(denoise(lambda noisy=noisy: [noisy], RATE_HZ)))
        spent = (time.process_time() - began) / len(speech) * RATE_HZ * 3600
        alone = noisereduce.reduce_noise(noisy, RATE_HZ)
        print(
            f"  {ratio_db(noisy):.1f} -> {ratio_db(found):.1f}; {spent:.0f}; {ratio_db(alone):.1f}"
        )


def long(hours: float) -> None:
    """Time and peak memory of one very long recording."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "long.flac")
        write(source, hours)
        store = Store(Path(folder), "normalize")
        key = store.key(content=source.name)
        part = store.workfile(key, "flac")
        began = time.process_time()
        found = normalize(source, part, SETTINGS)
        store.put(key, {}, flac=part)
        between = time.process_time()
        spans = [[i, i + 8 * RATE_HZ] for i in range(0, found.n_samples - 8 * RATE_HZ, 9 * RATE_HZ)]
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"\n{hours:g} hours: normalize {between - began:.0f} CPU s, peak {peak_mb:.0f} MB")
        measure(store, key, spans)
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"measure, {len(spans)} segments: {time.process_time() - between:.0f} CPU s,"
              f" peak of both {peak_mb:.0f} MB")  # fmt: skip


def opinions() -> None:
    """Predicted opinion scores of clips as recorded and in white noise, speaker by speaker."""
    rates = {n: dnsmos.Rater(n) for n in (dnsmos.MAX_WINDOWS, None)}
    clips = {name: [decoded(p) for p in sorted((DATA / name).iterdir())] for name in RATED}
    for name in RATED_READINGS:
        samples = decoded(DATA / name)
        clips[name] = [samples[at : at + 6 * RATE_HZ] for at in range(0, len(samples), 6 * RATE_HZ)]
        clips[name] = [clip for clip in clips[name] if len(clip) >= 3 * RATE_HZ][:16]
    print("median (mean) of speech, background and overall; SNR of the recordings; CPU s per s")
    away = []
    for name, parts in clips.items():
        seconds = sum(map(len, parts)) / RATE_HZ
        found, spent = rated(parts, rates[dnsmos.MAX_WINDOWS])
        away += list(found - rated(parts, rates[None])[0])
        snr = [measures.snr_db(levels(p), measures.noise_floor_db(levels(p))) for p in parts]
        print(f"{name}: {len(parts)} clips, {shown(found)}; {np.median(snr):.0f} dB;"
              f" {spent / seconds:.2f}")  # fmt: skip
        for snr_db in (20, 10):
            noisy = [in_noise(clip, snr_db) for clip in parts]
            there = rated(noisy, rates[dnsmos.MAX_WINDOWS])[0]
            for k, score in ((1, "background"), (2, "overall")):
                lower = np.mean(there[:, k] < found[:, k])
                pairs = np.mean(found[:, None, k] > there[None, :, k])
                print(
                    f"  {score}: {lower:.0%} of the clips lower in noise of {snr_db} dB, and"
                    f" {pairs:.0%} of the pairs of a clip as recorded and one in noise"
                )
            print(f"  in noise of {snr_db} dB: {shown(there)}")
    off = np.abs(away).max(axis=1)
    print(f"{dnsmos.MAX_WINDOWS} windows instead of all move a score by {np.median(off):.3f}"
          f" (half), {np.quantile(off, 0.95):.3f} (95 %), {off.max():.3f} (all)")  # fmt: skip
    conditions(clips, rates[dnsmos.MAX_WINDOWS])
    clean = decoded(DATA / "en_lj/wavs/LJ001-0007.wav")
    recorded = decoded(DATA / "noisy/en_lj_001-0007_snr8.wav")
    print("LJ001-0007 as recorded and in recorded noise of 8 dB:",
          *rated([clean, recorded], rates[dnsmos.MAX_WINDOWS])[0].tolist())  # fmt: skip


def conditions(clips, rate) -> None:
    """How far length, level and an offset move the overall score of the same recordings."""
    every = [clip for name in SPEAKERS for clip in clips[name] if len(clip) > 5 * RATE_HZ]
    whole = rated(every, rate)[0][:, 2]
    ways = {
        "the middle 2 s": lambda clip: clip[len(clip) // 2 - RATE_HZ :][: 2 * RATE_HZ],
        "the middle 4 s": lambda clip: clip[len(clip) // 2 - 2 * RATE_HZ :][: 4 * RATE_HZ],
        "12 dB quieter": lambda clip: clip / 4,
        "6 dB louder": lambda clip: clip * 2,
        "with an offset of 1 % of full scale": lambda clip: clip + np.float32(0.01),
        "with an offset of 12 % of full scale": lambda clip: clip + np.float32(0.12),
    }
    for name, way in ways.items():
        change = rated([way(clip) for clip in every], rate)[0][:, 2] - whole
        print(f"{name}: overall {change.mean():+.2f} on average, {change.min():+.2f} to"
              f" {change.max():+.2f}, {len(every)} clips")  # fmt: skip


def rated(clips, rate):
    """`[n, 3]` scores, and the CPU seconds that they took."""
    began = time.process_time()
    found = [list(rate(clip, RATE_HZ).values()) for clip in clips]
    return np.array(found), time.process_time() - began


def in_noise(clip: np.ndarray, snr_db: float) -> np.ndarray:
    """With white noise so far below the level of the whole clip."""
    draw = np.random.default_rng(0).normal(size=len(clip)) * clip.std() * 10 ** (-snr_db / 20)
    return (clip + draw).astype(np.float32)


def shown(scores):
    middle, mean = np.median(scores, axis=0), scores.mean(axis=0)
    return ", ".join(f"{a:.2f} ({b:.2f})" for a, b in zip(middle, mean, strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=0.0)
    parser.add_argument("--mos", action="store_true")
    wanted = parser.parse_args()
    if wanted.mos:
        opinions()
        sys.exit()
    if wanted.hours:
        long(wanted.hours)
    clips = {name: [decoded(p) for p in sorted((DATA / name).iterdir())] for name in SPEAKERS}
    cost(clips)
    noise(clips)
    bandwidth(DATA / SPEAKERS[0])
    room([decoded(DATA / name) for name in READINGS])
    speakers(clips)
    denoising(decoded(DATA / READINGS[0])[: 60 * RATE_HZ])
