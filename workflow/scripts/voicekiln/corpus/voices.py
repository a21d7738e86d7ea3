"""Voices behind a speaker name, by Resemblyzer embeddings of its clips.

Cosine similarity to the main voice: of the same voice in the same recordings 0.83 and more, of
another voice 0.55 to 0.72; of the same voice on another microphone or in another room down to 0.6.
A clip unlike the main voice is therefore certain to be of another voice if it is very unlike, or if
the rest of its recording, made by the same microphone in the same room, is the main voice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

USUAL = 0.1  # 1 - similarity of a voice's own clips to its mean: distances are multiples of it
UNLIKE = 2.8  # in the same recording: validate.max_speaker_distance
VERY_UNLIKE = 4.0
SAME = 0.75  # similarity of two clips of one voice
MIN_CLIPS = 5  # of a speaker, to know the main voice
MIN_SURE_S = 1.6  # of a clip, the window of the network
MAX_SOUGHT = 1000  # clips that are compared to find the voices
MAIN = 2 / 3  # fraction of a speaker's clips from which the others may be dropped
MIN_SECOND = 3  # similar clips that make another voice


@dataclass(frozen=True)
class Voices:
    """The voices of all clips.

    Attributes:
        distance: `[n]` of each clip from its speaker's main voice, 1 is usual; NaN without features
            or with fewer than `MIN_CLIPS` clips of the speaker.
        sure: `[n]` bool: clips that are certain to be of another voice.
        several: by speaker with more than one voice: number of clips of the main voice, and of
            similar ones among the others.
    """

    distance: np.ndarray
    sure: np.ndarray
    several: dict[str, tuple[int, int]]


def tell_apart(
    features: Sequence[np.ndarray | None],
    speakers: Sequence[str],
    recordings: Sequence[str],
    seconds: Sequence[float],
    limit: float = UNLIKE,
) -> Voices:
    """Tell the main voice of each speaker from other voices.

    Args:
        features: unit vectors, or None.
        speakers: speaker name of each clip.
        recordings: recording of each clip.
        seconds: the length of each clip.
        limit: distance from which a clip is unlike the main voice.
    """
    distance, sure = np.full(len(features), np.nan), np.zeros(len(features), bool)
    several = {}
    clips_of: dict[str, list[int]] = {}
    for i, (vector, speaker) in enumerate(zip(features, speakers, strict=True)):
        if vector is not None:
            clips_of.setdefault(speaker, []).append(i)
    names, lengths_s = np.asarray(recordings, dtype=object), np.asarray(seconds, float)
    for speaker, indices in clips_of.items():
        if len(indices) < MIN_CLIPS:
            continue
        clips = np.array(indices)
        vectors = np.array([features[i] for i in indices], np.float32)
        away = (1 - vectors @ main_voice(vectors)) / USUAL
        distance[clips] = away
        unlike = away > limit
        found = (unlike & _mostly_main(names[clips], unlike)) | (away > VERY_UNLIKE)
        sure[clips] = found & (lengths_s[clips] >= MIN_SURE_S) & (np.mean(unlike) <= 1 - MAIN)
        n_second = _n_alike(vectors[unlike])
        if n_second >= MIN_SECOND:
            several[speaker] = int((~unlike).sum()), n_second
    return Voices(distance, sure, several)


def main_voice(vectors: np.ndarray) -> np.ndarray:
    """The mean of the largest set of `[n, d]` unit vectors that are alike, of unit length."""
    some = _sample(vectors)
    alike = some @ some.T >= SAME
    heart = some[alike[alike.sum(axis=1).argmax()]]
    members = vectors[vectors @ _unit(heart) >= SAME]
    return _unit(members if len(members) else heart)


def _n_alike(vectors) -> int:
    """Number of similar clips, of one other voice."""
    if not len(vectors):
        return 0
    some = _sample(vectors)
    return int(round((some @ some.T >= SAME).sum(axis=1).max() * len(vectors) / len(some)))


def _sample(vectors):
    if len(vectors) <= MAX_SOUGHT:
        return vectors
    return vectors[np.linspace(0, len(vectors) - 1, MAX_SOUGHT).astype(int)]


def _unit(vectors):
    mean = vectors.mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _mostly_main(recordings, unlike):
    """For each clip, whether most clips of its recording are of the main voice."""
    _, where = np.unique(recordings.astype(str), return_inverse=True)
    counts = np.bincount(where)
    return (np.bincount(where, weights=~unlike) / counts)[where] > 0.5
