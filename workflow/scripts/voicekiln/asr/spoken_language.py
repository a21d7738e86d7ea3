"""Whether recordings are in the language that they should be in, from a sample of segments."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from whisper.tokenizer import LANGUAGES

from voicekiln.asr.hypothesis import RATE_HZ, Block, Clip, Recogniser
from voicekiln.audio.span import load_span
from voicekiln.store.items import Store

log = logging.getLogger("transcribe")

VERSION = 1
MIN_S = 2.0  # a shorter stretch hardly tells a language
CONFIDENT, UNLIKELY = 0.8, 0.1  # of the language that is heard, and of the expected one
SHOWN = 5
# languages that Whisper does not reliably tell apart
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
    """Single stretches, one recording after the other, at most `most`.

    Args:
        blocks: what is heard, of which only those with an expected language count.
        rates: sample rate of each item.
    """
    of_items: dict[tuple[str, str], list[Block]] = defaultdict(list)
    for block in blocks:
        for span in block.spans:
            if block.language and span[1] - span[0] >= MIN_S * rates[block.item]:
                one = Block(block.key, block.item, block.language, (span,))
                of_items[block.item, block.language].append(one)
    for several in of_items.values():
        several.sort(key=lambda one: (one.spans[0][0] - one.spans[0][1], one.spans))
    chosen: list[Block] = []
    for turn in range(3):  # of one recording
        chosen += [several[turn] for several in of_items.values() if len(several) > turn]
    return chosen[:most]


def detect(
    chosen: Iterable[Block], audio: Store, transcripts: Store, recogniser: Recogniser | None
) -> list[dict[str, float]] | None:
    """Probabilities of the languages of each stretch, from the store or by the recogniser.

    None if some are not in the store and there is no recogniser.
    """
    found = []
    for one in chosen:
        key = transcripts.key(spoken=VERSION, item=one.item, span=list(one.spans[0]))
        record = transcripts.get(key)
        if record is None:
            if recogniser is None:
                return None
            (likely,) = recogniser.spoken(
                [Clip(load_span(audio, one.item, *one.spans[0], RATE_HZ), None)]
            )
            record = {"likely": {code: round(p, 4) for code, p in likely.items() if p >= 0.01}}
            transcripts.put(key, record)
        found.append(record["likely"])
    return found


def concerns(
    chosen: Sequence[Block], likely: Sequence[Mapping[str, float]], paths: Mapping[str, str]
) -> list[str]:
    """Warnings about recordings that are probably in another language than expected.

    Args:
        chosen: stretches with their expected languages.
        likely: what `detect` says of each.
        paths: of the recordings, by item.
    """
    warnings = []
    of_recordings: dict[tuple[str, str], list[Mapping[str, float]]] = defaultdict(list)
    for one, probabilities in zip(chosen, likely, strict=True):
        if probabilities and one.language in LANGUAGES:
            of_recordings[one.language, one.item].append(probabilities)
    others: dict[str, list[tuple[str, str, float]]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for (language, item), several in of_recordings.items():
        counts[language] += 1
        mean = {
            code: sum(one.get(code, 0.0) for one in several) / len(several)
            for code in set().union(*several)
        }
        heard = max(sorted(mean), key=mean.get)
        close = any({language, heard} <= group for group in RELATED)
        if mean[heard] >= CONFIDENT and mean.get(language, 0.0) <= UNLIKELY and not close:
            others[language].append((paths[item], heard, mean[heard]))
    for language, rows in others.items():
        shown = ", ".join(
            f"{path} ({LANGUAGES[heard].title()}, {probability:.2f})"
            for path, heard, probability in rows[:SHOWN]
        )
        more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        warnings.append(
            f"{len(rows)} of {counts[language]} recordings whose language was checked are probably "
            f"not in {LANGUAGES[language].title()} ({language}): {shown}{more}; set the corpus's "
            "language, give these recordings their own in a list, or leave them out"
        )
    return warnings


def unknown(languages: Iterable[str | None], multilingual: bool, model: str) -> list[str]:
    """Warnings about languages that the model was not trained on."""
    wanted = sorted(set(filter(None, languages)))
    if not multilingual:
        return [
            f"{model} was trained on English alone, and the corpus is in {code}; take a model "
            "without .en in its name"
            for code in wanted
            if code != "en"
        ]
    return [
        f"Whisper was not trained on the language {code}; its texts will be in a language that it "
        "takes it for, so give known texts, or a Whisper model that was fine-tuned for it"
        for code in wanted
        if code not in LANGUAGES
    ]
