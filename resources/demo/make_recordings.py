"""Write recordings/ and sentences.tsv: espeak-ng voices that read sentences in small rooms.

Run from anywhere: `python resources/demo/make_recordings.py`. Takes some seconds; needs espeak-ng.
"""

import random
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import soundfile
import speech

HERE = Path(__file__).resolve().parent
SEED = "demo"
PAUSE_S = (0.7, 1.4)
# Sentences' pauses end on this grid: 60 ms at speech.RATE_HZ, which are whole VAD frames and whole
# samples at 16 and 24 kHz, so that a copied stretch is still an exact copy after resampling.
GRID_SAMPLES = 1323


@dataclass(frozen=True)
class Recording:
    """One file to write."""

    path: str
    n_sentences: int
    rate_hz: int
    channels: int
    peak: float  # of the louder channel, full scale 1
    noise_db: float  # room noise, dB re full scale, before the gain that makes the peak
    offset: float = 0.0  # constant added to every sample, as a poor sound card does
    repeats: int | None = None  # this sentence comes once more at the end, as a copy of its samples
    borrows: bool = False  # begins with a sentence that the recording before it holds, too


RECORDINGS = (
    Recording("anna/garden.flac", 15, 22050, 1, 0.50, -62, repeats=3),
    Recording("anna/letters.m4a", 14, 44100, 1, 0.35, -58),
    Recording("ben/market.ogg", 15, 44100, 2, 0.70, -60, borrows=True),
    Recording("ben/station.flac", 13, 22050, 1, 0.12, -60, offset=0.01),
    Recording("carl/harbour.opus", 14, 48000, 1, 0.60, -56),
    Recording("dora/winter.webm", 14, 48000, 2, 0.80, -58),
)
LIBSNDFILE = {".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS"), ".opus": ("OGG", "OPUS")}
FFMPEG = {".m4a": "aac", ".webm": "libopus"}
BROKEN = "dora/unfinished.wav"


def main() -> None:
    """Write everything; the same sentences, voices, pauses and noise every time."""
    texts = speech.sentences(SEED)
    rows, previous = [], []
    for plan in RECORDINGS:
        own = list(islice(texts, plan.n_sentences - plan.borrows))
        told = previous[1:2] + own if plan.borrows else own
        samples, spans = read_aloud(plan, told)
        target = HERE / "recordings" / plan.path
        target.parent.mkdir(parents=True, exist_ok=True)
        write(target, in_room(plan, samples), plan.rate_hz)
        speaker = plan.path.split("/")[0]
        rows += [(plan.path, f"{start:.3f}", f"{end:.3f}", speaker, t) for start, end, t in spans]
        previous = told
    # A recorder that lost power: the header says that four seconds follow, and nothing does.
    whole = HERE / "recordings" / BROKEN
    soundfile.write(whole, np.zeros(4 * 16000, np.int16), 16000)
    whole.write_bytes(whole.read_bytes()[:30])
    lines = ["\t".join(row) for row in [("recording", "start_s", "end_s", "voice", "text"), *rows]]
    (HERE / "sentences.tsv").write_text("\n".join(lines) + "\n")


def read_aloud(plan: Recording, told: list[str]) -> tuple[np.ndarray, list[tuple]]:
    """The sentences with their pauses.

    Returns:
        `[n]` float32 at speech.RATE_HZ, room noise included, and (start_s, end_s, text) of every
        sentence.
    """
    rng = random.Random(f"{SEED}:{plan.path}")
    voice = speech.DEMO_VOICES[plan.path.split("/")[0]]
    pieces, spans, at = [], [], 0

    def silence(seconds: float) -> None:
        nonlocal at
        n = -(-(at + round(seconds * speech.RATE_HZ)) // GRID_SAMPLES) * GRID_SAMPLES - at
        pieces.append(np.zeros(n, np.float32))
        at += n

    silence(rng.uniform(*PAUSE_S))
    for text in told:
        manner = speech.Manner(voice, rng.randint(138, 160), rng.randint(42, 58))
        said = speech.speak(text, manner)
        pieces.append(said)
        spans.append((at, at + len(said), text))
        at += len(said)
        silence(rng.uniform(*PAUSE_S))
    voiced = np.concatenate(pieces)
    noise_rng = np.random.default_rng([len(told), plan.rate_hz, plan.channels])
    samples = voiced + speech.background(len(voiced), plan.noise_db, noise_rng)
    if plan.repeats is not None:
        start, end, text = spans[plan.repeats]
        margin = 7 * GRID_SAMPLES  # 0.42 s: the noise around it is copied, too
        first = start // GRID_SAMPLES * GRID_SAMPLES - margin
        spans.append((len(samples) + start - first, len(samples) + end - first, text))
        samples = np.concatenate([samples, samples[first : end + margin], samples[:GRID_SAMPLES]])
    return samples, [(a / speech.RATE_HZ, b / speech.RATE_HZ, text) for a, b, text in spans]


def in_room(plan: Recording, samples: np.ndarray) -> np.ndarray:
    """`[n, channels]` float32 at the recording's rate and level; a second channel is quieter."""
    samples = speech.resample(samples, speech.RATE_HZ, plan.rate_hz)
    channels = [samples, 0.7 * samples][: plan.channels]
    return np.stack(channels, 1) * (plan.peak / np.abs(samples).max()) + plan.offset


def write(target: Path, samples: np.ndarray, rate_hz: int) -> None:
    """The file in the container that its name says."""
    if target.suffix in LIBSNDFILE:
        container, codec = LIBSNDFILE[target.suffix]
        n_channels = samples.shape[1]
        with soundfile.SoundFile(target, "w", rate_hz, n_channels, codec, None, container) as file:
            for at in range(0, len(samples), rate_hz):  # a minute of Vorbis at once crashes it
                file.write(samples[at : at + rate_hz])
    else:
        encode(target, samples, rate_hz, FFMPEG[target.suffix])


def encode(target: Path, samples: np.ndarray, rate_hz: int, codec: str) -> None:
    """The containers that libsndfile does not know, written by FFmpeg."""
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(str(target), "w") as container:
        stream = container.add_stream(codec, rate=rate_hz, layout=layout)
        stream.bit_rate = 64000
        packed = np.ascontiguousarray(samples.reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
        to_codec = av.AudioResampler(stream.codec_context.format, layout, rate_hz)
        for piece in [*to_codec.resample(frame), *to_codec.resample(None), None]:
            container.mux(stream.encode(piece))


if __name__ == "__main__":
    main()
