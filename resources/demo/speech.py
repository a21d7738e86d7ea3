"""Sentences, and the espeak-ng voices that speak them: what all the demo's resources stand on."""

import random
import re
import subprocess
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import soxr

RATE_HZ = 22050  # what espeak-ng gives

# Every word is one token of GPT-2's vocabulary, with its leading space or opening a sentence.
# No text holds a comma, so that espeak-ng makes no pause inside a sentence.
WORDS = {
    "adjective": "old young quiet dark brown white tall heavy empty broken golden small",
    "animal": "dog cat horse bird fox rabbit farmer teacher sailor queen",
    "animals": "dogs cats horses birds rabbits sailors",
    "thing": "book lamp box letter chair basket bottle clock key blanket picture boat",
    "things": "books lamps boxes letters chairs baskets bottles clocks keys blankets boats",
    "place": "river garden kitchen station bridge forest market castle harbour museum tower hotel",
    "name": "Anna Peter Maria David Laura George Martin Alice",
    "day": "Monday Tuesday Friday Sunday",
    "season": "winter summer spring autumn",
    "daytime": "morning evening",
    "number": "two three four five six seven eight nine ten twelve",
    "relative": "mother father brother sister uncle neighbour",
    "verb": "found lost bought sold painted carried",
    "past": "slept waited walked danced stood played",
    "preposition": "near behind under beside above inside",
    "weather": "rain snow storm wind",
}
TEMPLATES = (
    "The {adjective} {animal} {past} {preposition} the {adjective} {place}.",
    "{name} {verb} {number} {adjective} {things} on {day}.",
    "Did {name} see the {adjective} {animal} {preposition} the {place}?",
    "Where did your {relative} find the {adjective} {thing}?",
    "My {relative} {verb} {number} {things} and {number} {animals}.",
    "We could hear the {weather} {preposition} the {adjective} {place}.",
    "Please put the {adjective} {thing} {preposition} the {thing}.",
    "Every {day} {name} walks to the {adjective} {place}.",
    "In {season} the {weather} was never very {adjective}.",
    "There were {number} {animals} {preposition} the {place} this {daytime}.",
)
_CHOICES = {kind: words.split() for kind, words in WORDS.items()}

# The four speakers of the demo, by the name of their folder.
DEMO_VOICES = {"anna": "en-gb+f2", "ben": "en-us", "carl": "en-us+m3", "dora": "en-gb-x-rp+f4"}


@dataclass(frozen=True)
class Manner:
    """How espeak-ng says a sentence."""

    voice: str  # of `espeak-ng -v`
    words_per_minute: int
    pitch: int  # 0-99


def sentences(seed: str, exclude: Collection[str] = ()) -> Iterator[str]:
    """Endless stream of distinct sentences, the templates taking turns; none of `exclude`."""
    rng = random.Random(seed)
    seen = set(exclude)
    while True:
        for template in TEMPLATES:
            text = re.sub(r"\{(\w+)\}", lambda kind: rng.choice(_CHOICES[kind[1]]), template)
            if text not in seen:
                seen.add(text)
                yield text


def plain_words(text: str) -> list[str]:
    """Lower-case words without punctuation: what word error rates are counted on."""
    return re.sub(r"[^a-z ]", "", text.lower()).split()


def word_errors(said: str, read: str) -> int:
    """Least number of words substituted, inserted or left out between two texts."""
    a, b = plain_words(said), plain_words(read)
    row = list(range(len(b) + 1))
    for i, word in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def speak(text: str, manner: Manner) -> np.ndarray:
    """`[n]` float32 at RATE_HZ: the sentence without the silence that espeak-ng puts around it."""
    done = subprocess.run(
        [*_espeak(manner), "--stdout", text], capture_output=True, check=True, timeout=60
    )
    # espeak-ng streams: its header states no length, so the samples are taken as they come.
    samples = np.frombuffer(done.stdout[44:], dtype="<i2").astype(np.float32) / 32768
    loud = np.flatnonzero(np.abs(samples) > 0.004)
    return samples[max(loud[0] - 200, 0) : loud[-1] + 400]


def phonemes(text: str, manner: Manner) -> str:
    """What espeak-ng says, in the phonetic alphabet, without stress marks and line ends."""
    done = subprocess.run(
        [*_espeak(manner), "-q", "--ipa", text], capture_output=True, check=True, timeout=60
    )
    return re.sub(r"[ˈˌ\n]", "", done.stdout.decode()).strip()


def _espeak(manner: Manner) -> list[str]:
    speed, pitch = str(manner.words_per_minute), str(manner.pitch)
    return ["espeak-ng", "-v", manner.voice, "-s", speed, "-p", pitch]


def background(n: int, level_db: float, rng: np.random.Generator) -> np.ndarray:
    """`[n]` float32 room noise, falling 3 dB an octave, of RMS `level_db` dB re full scale."""
    spectrum = rng.standard_normal(n // 2 + 1) + 1j * rng.standard_normal(n // 2 + 1)
    spectrum /= np.sqrt(np.maximum(np.arange(n // 2 + 1), 20 * n / RATE_HZ))
    noise = np.fft.irfft(spectrum, n)
    return (noise * 10 ** (level_db / 20) / np.sqrt(np.mean(noise**2))).astype(np.float32)


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """`[n, ...]` float32 at another rate."""
    return samples if from_hz == to_hz else soxr.resample(samples, from_hz, to_hz)
