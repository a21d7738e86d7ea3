"""Distance between a reference text and a hypothesis."""

from rapidfuzz.distance import Levenshtein

from voicekiln.text.clean import letters


def character_error_rate(reference: str, hypothesis: str) -> float:
    """Edits between the letters and digits of two texts, per letter or digit of the reference.

    Spaces do not count, because some scripts have none and they are not audible. If the reference
    has no letters, the rate is 1 for any hypothesis that has some, else 0.
    """
    reference, hypothesis = letters(reference), letters(hypothesis)
    if not reference:
        return float(bool(hypothesis))
    return round(Levenshtein.distance(reference, hypothesis) / len(reference), 4)
