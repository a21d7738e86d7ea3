"""Check the language of recordings on a sample of segments."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from voicekiln.asr.hypothesis import RATE_HZ, Block, Clip, Recogniser
from voicekiln.audio.span import load_span
from voicekiln.store.items import Store

log = logging.getLogger("transcribe")

VERSION = 1
MIN_S = 2.0  # shorter spans hardly identify a language
CONFIDENT, UNLIKELY = 0.8, 0.1  # probability of the detected and of the expected language
SHOWN = 5
# languages that Whisper does not reliably distinguish
RELATED = (
    {"bs", "hr", "sr", "sl"},
    {"hi", "ur"},
    {"id", "ms", "jw", "su"},
    {"no", "nn", "da", "sv"},
    {"cs", "sk"},
    {"uk", "be", "ru"},
    {"es", "gl", "ca"},
    {"bg", "mk"},
    {"zh", "yue"},
    {"nl", "af"},
    {"tr", "az"},
    {"de", "lb"},
)


def sample(blocks: Sequence[Block], rates: Mapping[str, int], most: int) -> list[Block]:
    """Blocks of single spans, at most `most`, one recording after the other, longest first.

    Args:
        blocks: audio to transcribe; only blocks with an expected language are sampled.
        rates: sample rate of each item.
    """
    spans_of: dict[tuple[str, str], list[Block]] = defaultdict(list)
    for block in blocks:
        for span in block.spans:
            if block.language and span[1] - span[0] >= MIN_S * rates[block.item]:
                one = Block(block.key, block.item, block.language, (span,))
                spans_of[block.item, block.language].append(one)
    for spans in spans_of.values():
        spans.sort(key=lambda one: (one.spans[0][0] - one.spans[0][1], one.spans))
    chosen: list[Block] = []
    for turn in range(3):  # spans of a recording
        chosen += [spans[turn] for spans in spans_of.values() if len(spans) > turn]
    return chosen[:most]


def detect(
    chosen: Iterable[Block], audio: Store, transcripts: Store, recogniser: Recogniser | None
) -> list[dict[str, float]] | None:
    """Language probabilities of each block, from the store or by the recogniser.

    None if any is missing from the store and there is no recogniser.
    """
    found = []
    for one in chosen:
        key = transcripts.key(spoken=VERSION, item=one.item, span=list(one.spans[0]))
        record = transcripts.get(key)
        if record is None:
            if recogniser is None:
                return None
            (likely,) = recogniser.language_probabilities(
                [Clip(load_span(audio, one.item, *one.spans[0], RATE_HZ), None)]
            )
            record = {"likely": {code: round(p, 4) for code, p in likely.items() if p >= 0.01}}
            transcripts.put(key, record)
        found.append(record["likely"])
    return found


def mismatch_warnings(
    chosen: Sequence[Block], likely: Sequence[Mapping[str, float]], paths: Mapping[str, str]
) -> list[str]:
    """Warnings about recordings that are probably not in the expected language.

    Args:
        chosen: blocks with their expected languages.
        likely: language probabilities of each, by `detect`.
        paths: of the recordings, by item.
    """
    names, warnings = _names(), []
    probabilities_of: dict[tuple[str, str], list[Mapping[str, float]]] = defaultdict(list)
    for one, probabilities in zip(chosen, likely, strict=True):
        if probabilities and one.language in names:
            probabilities_of[one.language, one.item].append(probabilities)
    others: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for (language, item), spans in probabilities_of.items():
        counts[language] += 1
        mean = {
            code: sum(one.get(code, 0.0) for one in spans) / len(spans)
            for code in set().union(*spans)
        }
        detected = max(sorted(mean), key=mean.get)
        close = any({language, detected} <= group for group in RELATED)
        if mean[detected] >= CONFIDENT and mean.get(language, 0.0) <= UNLIKELY and not close:
            others[language].append((paths[item], detected, mean[detected]))
    for language, rows in others.items():
        examples = ", ".join(
            f"{path} ({names[detected].title()}, {probability:.2f})"
            for path, detected, probability in rows[:SHOWN]
        )
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        warnings.append(
            f"{len(rows)} of {counts[language]} checked recordings are probably not in "
            f"{names[language].title()} ({language}): {examples}{more}; correct the language "
            "of the corpus, set the language of these recordings in a list, or remove them"
        )
    return warnings


def unsupported_warnings(
    languages: Iterable[str | None], multilingual: bool, model: str
) -> list[str]:
    """Warnings about languages that the model does not support."""
    wanted = sorted(set(filter(None, languages)))
    if not multilingual:
        return [
            f"{model}: an English-only model, but the corpus is in {code}; use a model without .en "
            "in its name"
            for code in wanted
            if code != "en"
        ]
    return [
        f"Whisper does not support the language {code} and will write texts in another one; supply "
        f"reference texts, or use a Whisper model fine-tuned for {code}"
        for code in wanted
        if code not in _names()
    ]


def _names() -> dict[str, str]:
    """Whisper's languages by code; its package takes seconds, which a job without a model saves."""
    from whisper.tokenizer import LANGUAGES

    return LANGUAGES
