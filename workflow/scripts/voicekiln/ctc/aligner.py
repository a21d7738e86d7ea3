"""Times and confidence of a text's words from the outputs of an acoustic model.

The confidence is that of CTC segmentation (Kürzinger et al. 2020, arXiv 2007.09127): the
log-probabilities along the path are averaged over each window of a second, and the smallest mean
counts, because a sentence with one wrong word is right almost everywhere. Frames of the star token
carry no evidence and are left out.
"""

from dataclasses import dataclass

import numpy as np

from voicekiln.ctc.viterbi import best_path
from voicekiln.ctc.vocabulary import Spelled, Vocabulary

WINDOW_S = 1.0


@dataclass(frozen=True)
class Aligned:
    """A text aligned to its audio.

    Attributes:
        words: `[word, start_s, end_s, probability]`; the probability is the geometric mean over
            the frames of its letters, null for a word without any letter that the model knows.
        score: the smallest mean log-probability of a frame, at most 0; None if only unknown words
            were aligned.
    """

    words: list[list]
    score: float | None


def align(
    log_probs: np.ndarray, spelled: Spelled, vocabulary: Vocabulary, frame_s: float
) -> Aligned | None:
    """Align a text to the outputs of its audio; None if it has more tokens than there are frames.

    Args:
        log_probs: `[T, V]`, natural logarithms.
        spelled: the text, with at least one word.
        vocabulary: of the model.
        frame_s: duration of a frame.
    """
    star = np.zeros((len(log_probs), 1), log_probs.dtype)  # any sound, with probability 1
    log_probs = np.concatenate([log_probs, star], axis=1)
    tokens, places = vocabulary.sequence(spelled)
    path = best_path(log_probs, tokens, vocabulary.blank)
    if path is None:
        return None
    labels = np.full(2 * len(tokens) + 1, vocabulary.blank)
    labels[1::2] = tokens
    said = labels[path]
    values = log_probs[np.arange(len(path)), said].astype(np.float64)
    words = []
    for word, (first, last) in zip(spelled.words, places, strict=True):
        inside = np.flatnonzero((path >= 2 * first + 1) & (path <= 2 * last - 1))
        spoken = inside[(said[inside] != vocabulary.blank) & (said[inside] != vocabulary.star)]
        probability = round(float(np.exp(values[spoken].mean())), 4) if len(spoken) else None
        start_s, end_s = inside[0] * frame_s, (inside[-1] + 1) * frame_s
        words.append([word, round(float(start_s), 3), round(float(end_s), 3), probability])
    known = any(probability is not None for *_, probability in words)
    evidence = values[said != vocabulary.star]
    return Aligned(words, score(evidence, round(WINDOW_S / frame_s)) if known else None)


def score(values: np.ndarray, window: int) -> float:
    """The smallest mean of `window` neighbouring values, of all if there are fewer."""
    window = min(window, len(values))
    sums = np.cumsum(np.concatenate([[0.0], values]))
    return round(float((sums[window:] - sums[:-window]).min() / window), 3)


def decode(log_probs: np.ndarray, vocabulary: Vocabulary, frame_s: float) -> list[list]:
    """The words of the likeliest token in each frame, as `Aligned.words` are.

    Without a delimiter in the vocabulary all letters are one word.
    """
    letters = {column: letter for letter, column in vocabulary.ids.items()}
    best = log_probs.argmax(axis=1)
    changed = np.flatnonzero(np.diff(best, prepend=-1))
    words: list[list] = []
    text, frames = "", []
    for start, end in zip(changed, [*changed[1:], len(best)], strict=True):
        token = int(best[start])
        if token in letters:
            text += letters[token]
            frames += range(start, end)
        elif token == vocabulary.delimiter and text:
            words.append(_word(text, frames, log_probs, best, frame_s))
            text, frames = "", []
    if text:
        words.append(_word(text, frames, log_probs, best, frame_s))
    return words


def _word(text, frames, log_probs, best, frame_s) -> list:
    probability = float(np.exp(log_probs[frames, best[frames]].astype(np.float64).mean()))
    start_s, end_s = float(frames[0] * frame_s), float((frames[-1] + 1) * frame_s)
    return [text, round(start_s, 3), round(end_s, 3), round(probability, 4)]
