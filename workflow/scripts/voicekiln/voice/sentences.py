"""Choice of the test sentences: texts, speakers and reference clips."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from voicekiln.errors import UserError
from voicekiln.voice.references import Reference


@dataclass(frozen=True)
class Line:
    """A sentence to synthesise, and its reference clip."""

    text: str
    language: str
    reference: Reference


def plan(
    segments: pd.DataFrame, found: Sequence[Reference], settings: Mapping[str, Any]
) -> list[Line]:
    """Sentences of each speaker, in each language for which the speaker has a reference clip.

    Args:
        segments: the data set.
        found: from `references.references`.
        settings: section `evaluate`.

    Raises:
        UserError: a speaker in evaluate.speakers has no reference clip.
    """
    spoken = {one.speaker for one in speaking(found, settings["speakers"])}
    wanted = [one for one in found if one.speaker in spoken]
    if not settings["sentences"]:
        n = settings["n_sentences"]
        return [
            Line(text, one.language, one)
            for one in wanted
            for text in validation_texts(segments, one)[:n]
        ]
    given = sentences(segments, settings["sentences"])
    languages = {one.language for one in wanted}
    lines = []
    for one in wanted:
        main = next(other for other in wanted if other.speaker == one.speaker)
        for text, language in given:
            # a language without any reference clip is spoken by all, with their main clip
            if language == one.language or (language not in languages and one is main):
                lines.append(Line(text, language, one))
    return lines


def speaking(found: Sequence[Reference], wanted: str | int | Sequence[str]) -> list[Reference]:
    """The main reference clip of each speaker with samples.

    Args:
        wanted: `evaluate.speakers`: `all`, a number (those with most training audio), or names.
    """
    mains: dict[str, Reference] = {}
    for one in found:
        mains.setdefault(one.speaker, one)
    if wanted == "all":
        return list(mains.values())
    if isinstance(wanted, int):
        return list(mains.values())[:wanted]
    unknown = [name for name in wanted if name not in mains]
    if unknown:
        raise UserError(
            f"evaluate.speakers: there is no training clip by {', '.join(unknown)}; expected "
            f"some of {', '.join(list(mains)[:20])}"
        )
    return [mains[name] for name in wanted]


def validation_texts(segments: pd.DataFrame, one: Reference) -> list[str]:
    """Texts of validation clips in the language of a reference clip, the speaker's own first."""
    val = segments[(segments["split"] == "val") & (segments["language"].fillna("") == one.language)]
    others = val["speaker"].fillna("") != one.speaker
    order = val.assign(others=others).sort_values(["others", "segment_id"])
    return list(dict.fromkeys(order["text"]))


def sentences(
    segments: pd.DataFrame, given: Sequence[str | Mapping[str, str]]
) -> list[tuple[str, str]]:
    """Text and language of each of `evaluate.sentences`; missing languages are inferred."""
    texts = segments.assign(language=segments["language"].fillna("")).groupby("language")["text"]
    samples = {language: list(rows) for language, rows in texts}
    found = []
    for entry in given:
        text = entry if isinstance(entry, str) else entry["text"]
        known = None if isinstance(entry, str) else entry["language"]
        found.append((text, known if known is not None else likely_language(text, samples)))
    return found


def likely_language(text: str, samples: Mapping[str, Sequence[str]]) -> str:
    """Most likely language of a sentence, by its pairs of letters.

    Args:
        samples: texts by language.
    """
    if len(samples) < 2:
        return next(iter(samples), "")
    counts = {language: _pairs(" ".join(texts)) for language, texts in samples.items()}
    n_kinds = len(set().union(*counts.values())) + 1
    pairs = _pairs(text)

    def likelihood(language):
        total = counts[language].total() + n_kinds
        return sum(n * math.log((counts[language][pair] + 1) / total) for pair, n in pairs.items())

    return max(sorted(samples), key=likelihood)


def _pairs(text: str) -> Counter:
    padded = f" {text.lower()} "
    return Counter(zip(padded, padded[1:], strict=False))
